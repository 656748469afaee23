// Convolution of any kernel size, stride and padding through oneDNN, on NHWC activations and KRSC
// filters. oneDNN chooses the layout of the filters itself (plain ones fall back to a slow
// reference implementation); they are reordered per call, 0.15 MB at 64 channels.
#pragma once

#include <array>
#include <cstdint>
#include <dnnl.hpp>
#include <functional>
#include <map>

#include "engine/backend.h"

namespace protolith {

/// The instruction set that oneDNN's kernels use here: "avx512_core_bf16".
const char* onednn_instruction_set();

/// oneDNN's convolution primitives, created once per pass, shape and geometry.
class OneDnnConvolution {
 public:
  using Allocate = std::function<Tensor(Shape, DType)>;
  /// `empty` yields step memory, for reordered filters and scratch pads.
  explicit OneDnnConvolution(Allocate empty);

  void forward(const Tensor& x, const Tensor& weight, ConvolutionGeometry g, const Tensor& y);
  void backward_data(const Tensor& dy, const Tensor& weight, ConvolutionGeometry g,
                     const Tensor& dx);
  void backward_weight(const Tensor& x, const Tensor& dy, ConvolutionGeometry g,
                       const Tensor& dweight);

 private:
  enum class Pass : std::int64_t { forward, backward_data, backward_weight };
  using Key = std::array<std::int64_t, 10>;

  /// A pass for one shape: the primitive, and a reorder between our filters and oneDNN's.
  struct Plan {
    dnnl::primitive convolution, reorder;
    dnnl::memory::desc x, weight, plain_weight, y, scratchpad;
  };

  const Plan& plan(Pass pass, const Shape& x, const Shape& weight, const Shape& y,
                   ConvolutionGeometry g);
  Plan make_plan(Pass pass, const Shape& x, const Shape& weight, const Shape& y,
                 ConvolutionGeometry g) const;
  Tensor scratch(const dnnl::memory::desc& description) const;
  dnnl::memory wrap(const dnnl::memory::desc& description, const Tensor& tensor) const;

  dnnl::engine engine_;
  dnnl::stream stream_;
  Allocate empty_;
  std::map<Key, Plan> plans_;
};

}  // namespace protolith
