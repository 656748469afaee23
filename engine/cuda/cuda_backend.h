// The CUDA backend: kernels/cuda for everything but convolution and batch norm (cuDNN) and matrix
// products (cuBLAS). All work goes to one stream, in order; only copies to the host wait for it.
#pragma once

#include <memory>
#include <string>

#include "engine/backend.h"
#include "engine/cuda/cudnn_batch_norm.h"
#include "engine/cuda/cudnn_convolution.h"
#include "engine/cuda/handles.h"
#include "engine/cuda/memory.h"

namespace protolith {

class CudaBackend final : public Backend {
 public:
  /// Throws Error when there is no device, UsageError when there are fewer than options.index says.
  explicit CudaBackend(const CudaOptions& options);
  ~CudaBackend() override;

  Device device() const override { return device_; }
  std::string description() const override;
  Tensor empty(Shape shape, DType dtype) override;
  Tensor persistent(Shape shape, DType dtype) override;
  void end_step() override { arena_->reset(); }
  std::size_t step_memory_bytes() const override { return arena_->footprint_bytes(); }
  std::uint64_t step_memory_growths() const override { return arena_->growth_count(); }
  std::unique_ptr<Replay> make_replay(std::function<void()> work) override;
  std::unique_ptr<DeviceTrace> make_device_trace(std::size_t capacity) override;
  void capture_for_profiler(bool on) override;
  void copy(const Tensor& source, const Tensor& target) override;
  void copy_from_host(const void* source, const Tensor& target) override;
  void copy_to_host(const Tensor& source, void* target) override;

  void fill(const Tensor& target, float value) override;
  Tensor add(const Tensor& a, const Tensor& b) override;
  void accumulate(const Tensor& target, const Tensor& a) override;
  void accumulate(std::span<const Accumulation> sums) override;
  Tensor scale(const Tensor& a, const Tensor& factor) override;
  Tensor mean(const Tensor& a) override;
  Tensor rows_backward(const Tensor& dy, const Shape& shape, std::int64_t begin) override;
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

  ConvBlockForward conv_block_forward(const Tensor& x,
                                      const ConvBlockParameters& parameters) override;
  ConvBlockGradients conv_block_backward(std::unique_ptr<ConvBlockContext> context,
                                         const Tensor& dy, bool needs_input_grad) override;

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
  /// An index or turn outside makes its image NaN: the device throws nothing.
  Tensor episode_gather(const Tensor& images, const Tensor& indices, const Tensor& turns,
                        const Tensor& scale, const Tensor& shift) override;

  std::unique_ptr<KernelBench> kernel_bench() override;

 private:
  /// Whether cuDNN computes the batch norm of a convolution's output of that shape. Where it fails
  /// to, it is done with: options_.warn is told, or Error thrown.
  bool norm_by_cudnn(const Shape& convolved, bool running);
  /// A block's forward pass after its convolution: batch norm by cuDNN, or all fused by us.
  ConvBlockForward finish_by_cudnn(const Tensor& x, Tensor convolved,
                                   const ConvBlockParameters& parameters);
  ConvBlockForward finish_fused(const Tensor& x, Tensor convolved,
                                const ConvBlockParameters& parameters);
  /// The forward pass of batch norm's affine part, ReLU and pool.
  BatchNormReluPoolResult normalize_relu_pool(const Tensor& x, const Tensor& scale,
                                              const Tensor& shift, bool pool);
  /// The block's backward pass down to its convolution's output, after finish_by_cudnn().
  BatchNormGradients backward_by_cudnn(const BatchStatistics& statistics,
                                       const BatchNormReluPoolResult& normalized,
                                       const Tensor& convolved, const Tensor& gamma,
                                       const Tensor& dy);
  /// Scratch memory for the reductions of batch norm.
  Tensor reduction_scratch(std::int64_t rows, std::int64_t channels);

  Device device_;
  CudaOptions options_;
  cuda::OwnedStream stream_;
  std::shared_ptr<Arena> arena_;
  cuda::Staging staging_;
  cuda::CudnnHandle dnn_;
  cuda::CudnnConvolution convolution_;
  cuda::CudnnBatchNorm batch_norm_;
  Tensor blas_workspace_;
  cuda::OwnedBlas blas_;
};

}  // namespace protolith
