// CudaBackend's convolution block: cuDNN's convolution, then batch norm, ReLU and pool either by
// cuDNN's batch norm and one kernel for ReLU and pool, or all by our fused kernels.
#include "engine/cuda/cuda_backend.h"
#include "engine/expect.h"
#include "kernels/cuda/batch_norm.h"
#include "kernels/cuda/relu.h"
#include "kernels/cuda/relu_pool.h"

namespace protolith {
namespace {

/// What the backward pass needs. `convolved` is overwritten by its gradient.
class CudaContext : public ConvBlockContext {
 public:
  bool by_cudnn = false;
  Tensor x, weight, gamma, convolved;
  BatchStatistics statistics;          // of cuDNN's: without the variance
  BatchNormReluPoolResult normalized;  // of cuDNN's: without the selected elements
};

std::unique_ptr<CudaContext> make_context(const Tensor& x, const Tensor& convolved,
                                          const ConvBlockParameters& parameters) {
  auto context = std::make_unique<CudaContext>();
  context->x = x;
  context->weight = parameters.weight;
  context->gamma = parameters.gamma;
  context->convolved = convolved;
  return context;
}

}  // namespace

ConvBlockForward CudaBackend::finish_by_cudnn(const Tensor& x, Tensor convolved,
                                              const ConvBlockParameters& p) {
  auto context = make_context(x, convolved, p);
  context->by_cudnn = true;
  const Shape channels = p.gamma.shape();
  context->statistics = {empty(channels, DType::f32), {}, empty(channels, DType::f32)};
  const bool update = p.momentum != 0.0F;
  const Tensor normalized = empty(convolved.shape(), DType::f32);
  const ProfileRange range(profiler(), "cuDNN batch norm", convolved.shape());
  batch_norm_.forward_training(convolved, p.gamma, p.beta, p.epsilon, p.momentum,
                               update ? p.running_mean : Tensor(),
                               update ? p.running_variance : Tensor(), context->statistics.mean,
                               context->statistics.inv_std, normalized);
  BatchNormReluPoolResult& result = context->normalized;
  if (p.pool) {
    const Shape shape = pooled_shape(convolved.shape());
    result = {empty(shape, DType::f32), empty(shape, DType::u8), {}};
    cuda::relu_max_pool_forward(normalized.data<float>(), result.y.data<float>(),
                                result.winner.data<std::uint8_t>(),
                                image_extents(convolved.shape()), stream_.get());
  } else {
    result.y = normalized;
    cuda::relu_forward(normalized.data<float>(), normalized.data<float>(), normalized.elements(),
                       stream_.get());
  }
  Tensor y = result.y;
  return {std::move(y), std::move(context)};
}

ConvBlockForward CudaBackend::finish_fused(const Tensor& x, Tensor convolved,
                                           const ConvBlockParameters& p) {
  auto context = make_context(x, convolved, p);
  const std::int64_t channels = p.gamma.elements();
  const std::int64_t rows = convolved.elements() / channels;
  const auto per_channel = [&] { return empty({channels}, DType::f32); };
  context->statistics = {per_channel(), per_channel(), per_channel()};
  const Tensor scale = per_channel(), shift = per_channel();
  const Tensor scratch = reduction_scratch(rows, channels);
  const bool update = p.momentum != 0.0F;
  cuda::batch_norm_statistics(
      convolved.data<float>(), rows, channels,
      {.epsilon = p.epsilon,
       .mean = context->statistics.mean.data<float>(),
       .variance = context->statistics.variance.data<float>(),
       .inv_std = context->statistics.inv_std.data<float>(),
       .gamma = p.gamma.data<float>(),
       .beta = p.beta.data<float>(),
       .scale = scale.data<float>(),
       .shift = shift.data<float>(),
       .momentum = p.momentum,
       .running_mean = update ? p.running_mean.data<float>() : nullptr,
       .running_variance = update ? p.running_variance.data<float>() : nullptr},
      scratch.raw(), stream_.get());
  context->normalized = normalize_relu_pool(convolved, scale, shift, p.pool);
  Tensor y = context->normalized.y;
  return {std::move(y), std::move(context)};
}

bool CudaBackend::norm_by_cudnn(const Shape& convolved, bool running) {
  // cuDNN has no batch norm for some devices and channels, nor a running variance for one row.
  if (options_.batch_norm != CudaBatchNorm::cudnn || convolved.elements() <= convolved[3]) {
    return false;
  }
  try {
    return batch_norm_.supports(convolved, running);
  } catch (const Error& error) {
    PROTOLITH_CHECK(options_.warn, "{}; without it: --batch-norm fused", error.what());
    options_.warn(
        fmt::format("{}; the fused kernels compute batch norm instead, as with "
                    "--batch-norm fused",
                    error.what()));
    options_.batch_norm = CudaBatchNorm::fused;  // for good: not half a network by either
    return false;
  }
}

ConvBlockForward CudaBackend::conv_block_forward(const Tensor& x, const ConvBlockParameters& p) {
  const ProfileRange range(profiler(), "conv_block_forward", x.shape());
  Tensor convolved = convolution(x, p.weight, {});
  const Shape channels{p.weight.shape()[0]};
  expect_shape(p.gamma, "gamma", device(), channels);
  expect_shape(p.beta, "beta", device(), channels);
  expect_shape(p.running_mean, "running mean", device(), channels);
  expect_shape(p.running_variance, "running variance", device(), channels);
  return norm_by_cudnn(convolved.shape(), p.momentum != 0.0F)
             ? finish_by_cudnn(x, std::move(convolved), p)
             : finish_fused(x, std::move(convolved), p);
}

BatchNormGradients CudaBackend::backward_by_cudnn(const BatchStatistics& statistics,
                                                  const BatchNormReluPoolResult& normalized,
                                                  const Tensor& convolved, const Tensor& gamma,
                                                  const Tensor& dy) {
  expect_shape(dy, "block dy", device(), normalized.y.shape());
  Tensor dnormalized = empty(convolved.shape(), DType::f32);
  if (normalized.winner.defined()) {
    cuda::relu_max_pool_backward(dy.data<float>(), normalized.y.data<float>(),
                                 normalized.winner.data<std::uint8_t>(), dnormalized.data<float>(),
                                 image_extents(convolved.shape()), stream_.get());
  } else {
    cuda::relu_backward(normalized.y.data<float>(), dy.data<float>(), dnormalized.data<float>(),
                        dy.elements(), stream_.get());
  }
  BatchNormGradients g{empty(convolved.shape(), DType::f32), empty(gamma.shape(), DType::f32),
                       empty(gamma.shape(), DType::f32)};
  const ProfileRange range(profiler(), "cuDNN batch norm backward", convolved.shape());
  batch_norm_.backward(convolved, dnormalized, gamma, statistics.mean, statistics.inv_std, g.dx,
                       g.dgamma, g.dbeta);
  return g;
}

ConvBlockGradients CudaBackend::conv_block_backward(std::unique_ptr<ConvBlockContext> context,
                                                    const Tensor& dy, bool needs_input_grad) {
  auto* saved = dynamic_cast<CudaContext*>(context.get());
  PROTOLITH_CHECK(saved != nullptr, "a convolution block's context came from another backend");
  const ProfileRange range(profiler(), "conv_block_backward", saved->x.shape());
  BatchNormGradients norm =
      saved->by_cudnn ? backward_by_cudnn(saved->statistics, saved->normalized, saved->convolved,
                                          saved->gamma, dy)
                      : batch_norm_relu_pool_backward(saved->convolved, saved->normalized, dy,
                                                      saved->gamma, saved->statistics);
  saved->normalized = {};
  saved->convolved = {};
  Tensor dweight = convolution_backward_weight(saved->x, norm.dx, saved->weight.shape(), {});
  Tensor dx = needs_input_grad
                  ? convolution_backward_data(norm.dx, saved->weight, saved->x.shape(), {})
                  : Tensor();
  return {std::move(dx), std::move(dweight), std::move(norm.dgamma), std::move(norm.dbeta)};
}

}  // namespace protolith
