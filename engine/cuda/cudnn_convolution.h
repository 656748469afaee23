// Convolution of any kernel size, stride and padding through cuDNN, on NHWC activations and KRSC
// filters, both f32. Plans are made on a shape's first use and kept.
#pragma once

#include <functional>

#include "engine/backend.h"
#include "engine/cuda/cudnn_plan.h"
#include "engine/cuda/plan_cache.h"

namespace protolith::cuda {

enum class ConvolutionPass : std::uint8_t { forward, backward_data, backward_weight };

/// What a convolution's descriptors say: x [N,H,W,C], weight [K,R,S,C], y [N,P,Q,K].
struct ConvolutionShapes {
  Shape x, weight, y;
  ConvolutionGeometry geometry;
};

/// The graph of one pass. Throws Error when the shapes do not fit each other.
OperationGraph convolution_graph(ConvolutionPass pass, const ConvolutionShapes& shapes);

/// The plan of one pass for a device, which need not be here: precompiled engines only. Throws
/// Error naming the shapes when there is none.
CudnnPlan plan_convolution(ConvolutionPass pass, const ConvolutionShapes& shapes,
                           const DeviceProperties& device, const CudnnOptions& options);

/// The three passes on the handle's stream. Every tensor must be f32 and 16-byte aligned. Run each
/// shape once before capturing a stream: a plan is made, and its kernels loaded, on first use.
class CudnnConvolution {
 public:
  /// `bytes` bytes of step memory (u8), 256-byte aligned.
  using Workspace = std::function<Tensor(std::size_t bytes)>;

  /// `handle` must outlive this.
  CudnnConvolution(const CudnnHandle& handle, CudnnOptions options, Workspace workspace);

  /// x [N,H,W,C], weight [K,R,S,C] -> y [N,P,Q,K].
  void forward(const Tensor& x, const Tensor& weight, ConvolutionGeometry g, const Tensor& y);
  /// dy, weight -> dx.
  void backward_data(const Tensor& dy, const Tensor& weight, ConvolutionGeometry g,
                     const Tensor& dx);
  /// x, dy -> dweight.
  void backward_weight(const Tensor& x, const Tensor& dy, ConvolutionGeometry g,
                       const Tensor& dweight);

  std::size_t planned() const noexcept { return plans_.size(); }

 private:
  void run(ConvolutionPass pass, const Tensor& x, const Tensor& weight, const Tensor& y,
           ConvolutionGeometry g);

  const CudnnHandle& handle_;
  DeviceProperties device_;
  CudnnOptions options_;
  Workspace workspace_;
  PlanCache<CudnnPlan> plans_;
};

}  // namespace protolith::cuda
