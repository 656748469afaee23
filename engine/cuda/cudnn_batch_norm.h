// Batch norm over all but the last axis through cuDNN. cuDNN 9.19's graph API has engines for it
// only from compute capability 8.0 on and for channels in multiples of 4, compiles them when the
// plan is made, and has none for given statistics (inference).
#pragma once

#include <array>
#include <functional>
#include <map>

#include "engine/cuda/cudnn_plan.h"
#include "engine/cuda/plan_cache.h"

namespace protolith::cuda {

/// The compute capability (10 * major + minor) from which on cuDNN has any.
inline constexpr int kCudnnNormCapability = 80;

enum class BatchNormPass : std::uint8_t { training, training_running, inference, backward };

/// The graph of one pass over x [N,H,W,C]. `training_running` also updates running statistics.
OperationGraph batch_norm_graph(BatchNormPass pass, const Shape& x);

/// The plan of one pass for a device. Throws Error naming the shape when there is none.
CudnnPlan plan_batch_norm(BatchNormPass pass, const Shape& x, const DeviceProperties& device,
                          const CudnnOptions& options);

/// Batch norm on the handle's stream; x, y and their gradients are [N,H,W,C], the rest [C]. Every
/// tensor must be f32 and 16-byte aligned.
class CudnnBatchNorm {
 public:
  /// `bytes` bytes of step memory (u8), 256-byte aligned.
  using Workspace = std::function<Tensor(std::size_t bytes)>;

  /// `handle` must outlive this.
  CudnnBatchNorm(const CudnnHandle& handle, CudnnOptions options, Workspace workspace);

  /// Whether cuDNN has what training on x [N,H,W,C], with or without `running` statistics, needs on
  /// this device. Makes the plans, once:
  /// the answer is kept, a no too. Throws Error when it has, but cannot build it: without NVRTC,
  /// say, which compiles its kernels.
  bool supports(const Shape& x, bool running);

  /// y = (x - mean) * inv_std * gamma + beta with the batch's mean and inv_std = 1 / sqrt(biased
  /// variance + epsilon), which are written too. Unless undefined, running = (1 - momentum) *
  /// running + momentum * batch in place, where the batch's variance is the unbiased one (cuDNN's
  /// reference does not say so; measured in apache/mxnet issue 21111). Throws Error for one row,
  /// whose unbiased variance does not exist, when running statistics are asked for.
  void forward_training(const Tensor& x, const Tensor& gamma, const Tensor& beta, float epsilon,
                        float momentum, const Tensor& running_mean, const Tensor& running_variance,
                        const Tensor& mean, const Tensor& inv_std, const Tensor& y);
  /// The same with given statistics. Throws Error where cuDNN has no engine: up to 9.19, always.
  void inference(const Tensor& x, const Tensor& gamma, const Tensor& beta, const Tensor& mean,
                 const Tensor& inv_std, const Tensor& y);
  /// Through the batch statistics too.
  void backward(const Tensor& x, const Tensor& dy, const Tensor& gamma, const Tensor& mean,
                const Tensor& inv_std, const Tensor& dx, const Tensor& dgamma, const Tensor& dbeta);

 private:
  const CudnnPlan& plan(BatchNormPass pass, const Shape& x);

  const CudnnHandle& handle_;
  DeviceProperties device_;
  CudnnOptions options_;
  Workspace workspace_;
  PlanCache<CudnnPlan> plans_;
  std::map<std::pair<std::array<std::int64_t, 4>, bool>, bool> supported_;
};

}  // namespace protolith::cuda
