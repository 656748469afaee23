// Convolution of any kernel size, stride and padding through oneDNN, on NHWC activations and KRSC
// filters. oneDNN chooses the layout of the filters itself (plain ones fall back to a slow
// reference implementation); they are reordered per call, 0.15 MB at 64 channels.
//
// In bf16 both factors of every product are rounded to bf16 (8 bits of mantissa, to nearest, ties
// to even; NaN stays NaN; below 2^-126 may become 0) and products are summed in f32. Tensors stay
// f32: a call rounds what it reads, 6 bytes moved an element. Layers of up to kFewChannels input
// channels compute in f32 all the same: they multiply little and move much.
#pragma once

#include <array>
#include <cstdint>
#include <dnnl.hpp>
#include <functional>
#include <map>

#include "engine/backend.h"

namespace protolith {

/// A convolution with so many input channels at most is bound by memory, and has kernels of its
/// own.
inline constexpr std::int64_t kFewChannels = 4;

/// The instruction set that oneDNN's kernels use here: "avx512_core_bf16".
const char* onednn_instruction_set();

/// oneDNN's convolution primitives, created once per pass, shape and geometry.
class OneDnnConvolution {
 public:
  using Allocate = std::function<Tensor(Shape, DType)>;
  /// `empty` yields step memory, for reordered filters, rounded operands and scratch pads.
  OneDnnConvolution(Allocate empty, CpuPrecision precision);

  void forward(const Tensor& x, const Tensor& weight, ConvolutionGeometry g, const Tensor& y);
  void backward_data(const Tensor& dy, const Tensor& weight, ConvolutionGeometry g,
                     const Tensor& dx);
  void backward_weight(const Tensor& x, const Tensor& dy, ConvolutionGeometry g,
                       const Tensor& dweight);

 private:
  enum class Pass : std::int64_t { forward, backward_data, backward_weight };
  using Key = std::array<std::int64_t, 11>;

  /// A tensor as we hold it and as a primitive takes it, and the reorder between the two, from
  /// ours for what the primitive reads, to ours for what it writes; none where they are the same.
  struct Operand {
    dnnl::memory::desc ours, taken;
    dnnl::reorder reorder;
  };
  /// A pass for one shape.
  struct Plan {
    dnnl::primitive convolution;
    Operand x, weight, y;
    dnnl::memory::desc scratchpad;
  };

  const Plan& plan(Pass pass, const Shape& x, const Shape& weight, const Shape& y,
                   ConvolutionGeometry g, CpuPrecision precision);
  Plan make_plan(Pass pass, const Shape& x, const Shape& weight, const Shape& y,
                 ConvolutionGeometry g, CpuPrecision precision) const;
  void run_forward(const Tensor& x, const Tensor& weight, ConvolutionGeometry g, const Tensor& y,
                   CpuPrecision precision);
  /// That of a layer with `x` as its input.
  CpuPrecision precision_for(const Tensor& x) const;
  Operand operand(const dnnl::memory::desc& ours, const dnnl::memory::desc& taken,
                  bool written) const;
  /// What a primitive reads for `tensor`.
  Tensor read(const Operand& operand, const Tensor& tensor);
  Tensor scratch(const dnnl::memory::desc& description) const;
  dnnl::memory wrap(const dnnl::memory::desc& description, const Tensor& tensor) const;

  CpuPrecision precision_;
  dnnl::engine engine_;
  dnnl::stream stream_;
  Allocate empty_;
  std::map<Key, Plan> plans_;
};

}  // namespace protolith
