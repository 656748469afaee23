// The CPU backend: kernels/cpu for everything but GEMM (OpenBLAS) and those convolutions that the
// fused blocks do not serve (oneDNN).
#pragma once

#include <memory>
#include <string>

#include "engine/backend.h"
#include "engine/cpu/convolution.h"

namespace protolith {

class FirstBlockContext;
class WinogradContext;

class CpuBackend final : public Backend {
 public:
  /// `threads` worker threads, 0: one per core. They are OpenMP's, which are the process's: the
  /// backend made last decides for all.
  CpuBackend(int threads, CpuConvolution blocks, CpuPrecision precision);

  Device device() const override { return {}; }
  std::string description() const override;
  Tensor empty(Shape shape, DType dtype) override;
  Tensor persistent(Shape shape, DType dtype) override;
  void end_step() override { arena_->reset(); }
  std::size_t step_memory_bytes() const override { return arena_->footprint_bytes(); }
  std::uint64_t step_memory_growths() const override { return arena_->growth_count(); }
  void copy(const Tensor& source, const Tensor& target) override;
  void copy_from_host(const void* source, const Tensor& target) override;
  void copy_to_host(const Tensor& source, void* target) override;

  void fill(const Tensor& target, float value) override;
  Tensor add(const Tensor& a, const Tensor& b) override;
  void accumulate(const Tensor& target, const Tensor& a) override;
  Tensor scale(const Tensor& a, const Tensor& factor) override;
  Tensor mean(const Tensor& a) override;
  Tensor matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b) override;

  Tensor convolution(const Tensor& x, const Tensor& weight, ConvolutionGeometry g) override;
  Tensor convolution_backward_data(const Tensor& dy, const Tensor& weight, const Shape& x_shape,
                                   ConvolutionGeometry g) override;
  Tensor convolution_backward_weight(const Tensor& x, const Tensor& dy, const Shape& weight_shape,
                                     ConvolutionGeometry g) override;

  BatchStatistics batch_statistics(const Tensor& x, float epsilon) override;
  void update_running_statistics(const BatchStatistics& batch, std::int64_t rows, float momentum,
                                 const Tensor& running_mean,
                                 const Tensor& running_variance) override;
  Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                    const BatchStatistics& statistics) override;
  void inference_scale_shift(const Tensor& gamma, const Tensor& beta, const Tensor& running_mean,
                             const Tensor& running_variance, float epsilon, const Tensor& scale,
                             const Tensor& shift) override;
  Tensor batch_norm_inference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              const Tensor& running_mean, const Tensor& running_variance,
                              float epsilon) override;
  BatchNormGradients batch_norm_backward(const Tensor& x, const Tensor& dy, const Tensor& gamma,
                                         const BatchStatistics& statistics) override;

  Tensor relu(const Tensor& x) override;
  Tensor relu_backward(const Tensor& y, const Tensor& dy) override;
  PoolResult max_pool(const Tensor& x) override;
  Tensor max_pool_backward(const Tensor& dy, const Tensor& winner, const Shape& x_shape) override;

  BatchNormReluPoolResult batch_norm_relu_pool(const Tensor& x, const Tensor& gamma,
                                               const Tensor& beta,
                                               const BatchStatistics& statistics,
                                               bool pool) override;
  Tensor affine_relu_pool(const Tensor& x, const Tensor& scale, const Tensor& shift,
                          bool pool) override;
  BatchNormGradients batch_norm_relu_pool_backward(const Tensor& x,
                                                   const BatchNormReluPoolResult& forward,
                                                   const Tensor& dy, const Tensor& gamma,
                                                   const BatchStatistics& statistics) override;

  ConvBlockGradients batch_norm_relu_pool_backward_weight(const Tensor& input, const Tensor& x,
                                                          const BatchNormReluPoolResult& forward,
                                                          const Tensor& dy, const Tensor& gamma,
                                                          const BatchStatistics& statistics,
                                                          const Shape& weight_shape) override;

  ConvBlockForward conv_block_forward(const Tensor& x,
                                      const ConvBlockParameters& parameters) override;
  ConvBlockGradients conv_block_backward(std::unique_ptr<ConvBlockContext> context,
                                         const Tensor& dy, bool needs_input_grad) override;
  std::shared_ptr<const PreparedConvBlock> prepare_conv_block(
      const ConvBlockParameters& parameters) override;
  Tensor conv_block_inference(const Tensor& x, const PreparedConvBlock& prepared) override;

  Tensor segment_mean(const Tensor& x, std::int64_t length) override;
  Tensor segment_mean_backward(const Tensor& dmean, std::int64_t length) override;
  Tensor squared_distances(const Tensor& queries, const Tensor& prototypes,
                           DistanceMethod method) override;
  DistanceGradients squared_distances_backward(const Tensor& queries, const Tensor& prototypes,
                                               const Tensor& ddistances) override;
  LossResult leaky_softmax_loss(const Tensor& distances, const Tensor& labels, LeakyDistance metric,
                                bool needs_gradient, LossDiagnostics* diagnostics) override;
  Tensor histogram(const Tensor& values, const Tensor& edges, bool magnitudes) override;

  void adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& m,
                 const Tensor& v, const AdamOptions& options, const Tensor& schedule,
                 const Tensor& failed) override;
  void record_scores(const Tensor& loss, const Tensor& hit, const Tensor& slot,
                     const Tensor& scores, const Tensor& failed) override;
  Tensor gather_rows(const Tensor& table, const Tensor& indices) override;
  Tensor episode_gather(const Tensor& images, const Tensor& indices, const Tensor& turns,
                        const Tensor& scale, const Tensor& shift) override;

  std::unique_ptr<KernelBench> kernel_bench() override;

 private:
  /// Step memory for `count` floats.
  Tensor floats(std::int64_t count);
  void finish_statistics(const BatchStatistics& statistics, std::int64_t rows,
                         const ConvBlockParameters& parameters);
  ConvBlockForward winograd_forward(const Tensor& x, const ConvBlockParameters& parameters);
  ConvBlockGradients winograd_backward(const WinogradContext& saved, const Tensor& dy,
                                       bool needs_input_grad);
  ConvBlockForward first_block_forward(const Tensor& x, const ConvBlockParameters& parameters);
  ConvBlockGradients first_block_backward(const FirstBlockContext& saved, const Tensor& dy,
                                          bool needs_input_grad);

  int threads_;
  CpuConvolution blocks_;
  CpuPrecision precision_;
  std::shared_ptr<Arena> arena_;
  OneDnnConvolution convolution_;
};

}  // namespace protolith
