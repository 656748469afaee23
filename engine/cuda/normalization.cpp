// CudaBackend's batch norm, ReLU and max-pool, one by one and fused.
#include "engine/cuda/cuda_backend.h"
#include "engine/expect.h"
#include "kernels/cuda/batch_norm.h"
#include "kernels/cuda/batch_norm_relu_pool.h"
#include "kernels/cuda/max_pool.h"
#include "kernels/cuda/relu.h"

namespace protolith {

Tensor CudaBackend::reduction_scratch(std::int64_t rows, std::int64_t channels) {
  return empty({static_cast<std::int64_t>(cuda::batch_norm_scratch_bytes(rows, channels))},
               DType::u8);
}

BatchStatistics CudaBackend::batch_statistics(const Tensor& x, float epsilon) {
  const ProfileRange range(profiler(), "batch_statistics", x.shape());
  const auto [rows, channels] = rows_channels(x, "batch norm x", device());
  BatchStatistics s{empty({channels}, DType::f32), empty({channels}, DType::f32),
                    empty({channels}, DType::f32)};
  const Tensor scratch = reduction_scratch(rows, channels);
  cuda::batch_norm_statistics(x.data<float>(), rows, channels,
                              {.epsilon = epsilon,
                               .mean = s.mean.data<float>(),
                               .variance = s.variance.data<float>(),
                               .inv_std = s.inv_std.data<float>()},
                              scratch.raw(), stream_.get());
  return s;
}

void CudaBackend::update_running_statistics(const BatchStatistics& batch, std::int64_t rows,
                                            float momentum, const Tensor& running_mean,
                                            const Tensor& running_variance) {
  const ProfileRange range(profiler(), "update_running_statistics", running_mean.shape());
  expect_rank(batch.mean, "batch mean", device(), 1);
  const std::int64_t channels = batch.mean.elements();
  expect_channels({{&batch.variance, "batch variance"},
                   {&running_mean, "running mean"},
                   {&running_variance, "running variance"}},
                  channels, device());
  PROTOLITH_CHECK(rows >= 1, "batch statistics of {} rows", rows);
  cuda::batch_norm_update_running(batch.mean.data<float>(), batch.variance.data<float>(), rows,
                                  momentum, running_mean.data<float>(),
                                  running_variance.data<float>(), channels, stream_.get());
}

Tensor CudaBackend::batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                               const BatchStatistics& statistics) {
  const ProfileRange range(profiler(), "batch_norm", x.shape());
  const auto [rows, channels] = rows_channels(x, "batch norm x", device());
  expect_channels({{&gamma, "gamma"},
                   {&beta, "beta"},
                   {&statistics.mean, "mean"},
                   {&statistics.inv_std, "inverse deviation"}},
                  channels, device());
  const Tensor scale = empty({channels}, DType::f32), shift = empty({channels}, DType::f32);
  cuda::batch_norm_scale_shift(gamma.data<float>(), beta.data<float>(),
                               statistics.mean.data<float>(), statistics.inv_std.data<float>(),
                               scale.data<float>(), shift.data<float>(), channels, stream_.get());
  Tensor y = empty(x.shape(), DType::f32);
  cuda::batch_norm_affine(x.data<float>(), scale.data<float>(), shift.data<float>(),
                          y.data<float>(), rows, channels, stream_.get());
  return y;
}

void CudaBackend::inference_scale_shift(const Tensor& gamma, const Tensor& beta,
                                        const Tensor& running_mean, const Tensor& running_variance,
                                        float epsilon, const Tensor& scale, const Tensor& shift) {
  expect_rank(gamma, "gamma", device(), 1);
  const std::int64_t channels = gamma.elements();
  expect_channels({{&beta, "beta"},
                   {&running_mean, "running mean"},
                   {&running_variance, "running variance"},
                   {&scale, "scale"},
                   {&shift, "shift"}},
                  channels, device());
  cuda::batch_norm_inference_scale_shift(gamma.data<float>(), beta.data<float>(),
                                         running_mean.data<float>(), running_variance.data<float>(),
                                         epsilon, scale.data<float>(), shift.data<float>(),
                                         channels, stream_.get());
}

Tensor CudaBackend::batch_norm_inference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                         const Tensor& running_mean, const Tensor& running_variance,
                                         float epsilon) {
  const ProfileRange range(profiler(), "batch_norm_inference", x.shape());
  const auto [rows, channels] = rows_channels(x, "batch norm x", device());
  Tensor y = empty(x.shape(), DType::f32);
  const Tensor scale = empty({channels}, DType::f32), shift = empty({channels}, DType::f32);
  inference_scale_shift(gamma, beta, running_mean, running_variance, epsilon, scale, shift);
  cuda::batch_norm_affine(x.data<float>(), scale.data<float>(), shift.data<float>(),
                          y.data<float>(), rows, channels, stream_.get());
  return y;
}

BatchNormGradients CudaBackend::batch_norm_backward(const Tensor& x, const Tensor& dy,
                                                    const Tensor& gamma,
                                                    const BatchStatistics& statistics) {
  const ProfileRange range(profiler(), "batch_norm_backward", x.shape());
  const auto [rows, channels] = rows_channels(x, "batch norm x", device());
  expect_shape(dy, "batch norm dy", device(), x.shape());
  expect_channels(
      {{&gamma, "gamma"}, {&statistics.mean, "mean"}, {&statistics.inv_std, "inverse deviation"}},
      channels, device());
  BatchNormGradients g{empty(x.shape(), DType::f32), empty({channels}, DType::f32),
                       empty({channels}, DType::f32)};
  const float* mean = statistics.mean.data<float>();
  const float* inv_std = statistics.inv_std.data<float>();
  const Tensor scratch = reduction_scratch(rows, channels);
  cuda::batch_norm_backward_reduce(x.data<float>(), dy.data<float>(), mean, inv_std, rows, channels,
                                   g.dgamma.data<float>(), g.dbeta.data<float>(), scratch.raw(),
                                   stream_.get());
  cuda::batch_norm_backward_data(x.data<float>(), dy.data<float>(), gamma.data<float>(), mean,
                                 inv_std, g.dgamma.data<float>(), g.dbeta.data<float>(),
                                 g.dx.data<float>(), rows, channels, stream_.get());
  return g;
}

Tensor CudaBackend::relu(const Tensor& x) {
  const ProfileRange range(profiler(), "relu", x.shape());
  expect_tensor(x, "relu x", device());
  Tensor y = empty(x.shape(), DType::f32);
  cuda::relu_forward(x.data<float>(), y.data<float>(), x.elements(), stream_.get());
  return y;
}

Tensor CudaBackend::relu_backward(const Tensor& y, const Tensor& dy) {
  const ProfileRange range(profiler(), "relu_backward", y.shape());
  expect_tensor(y, "relu y", device());
  expect_shape(dy, "relu dy", device(), y.shape());
  Tensor dx = empty(y.shape(), DType::f32);
  cuda::relu_backward(y.data<float>(), dy.data<float>(), dx.data<float>(), y.elements(),
                      stream_.get());
  return dx;
}

PoolResult CudaBackend::max_pool(const Tensor& x) {
  const ProfileRange range(profiler(), "max_pool", x.shape());
  expect_rank(x, "pool x", device(), 4);
  const Shape shape = pooled_shape(x.shape());
  PoolResult result{empty(shape, DType::f32), empty(shape, DType::u8)};
  cuda::max_pool_forward(x.data<float>(), result.y.data<float>(),
                         result.winner.data<std::uint8_t>(), image_extents(x.shape()),
                         stream_.get());
  return result;
}

Tensor CudaBackend::max_pool_backward(const Tensor& dy, const Tensor& winner,
                                      const Shape& x_shape) {
  const ProfileRange range(profiler(), "max_pool_backward", x_shape);
  const Shape shape = pooled_shape(x_shape);
  expect_shape(dy, "pool dy", device(), shape);
  expect_shape(winner, "pool winner", device(), shape, DType::u8);
  Tensor dx = empty(x_shape, DType::f32);
  cuda::max_pool_backward(dy.data<float>(), winner.data<std::uint8_t>(), dx.data<float>(),
                          image_extents(x_shape), stream_.get());
  return dx;
}

BatchNormReluPoolResult CudaBackend::batch_norm_relu_pool(const Tensor& x, const Tensor& gamma,
                                                          const Tensor& beta,
                                                          const BatchStatistics& statistics,
                                                          bool pool) {
  const ProfileRange range(profiler(), "batch_norm_relu_pool", x.shape());
  expect_rank(x, "block x", device(), 4);
  const Shape channels{x.shape()[3]};
  expect_channels({{&gamma, "gamma"},
                   {&beta, "beta"},
                   {&statistics.mean, "mean"},
                   {&statistics.inv_std, "inverse deviation"}},
                  channels[0], device());
  const Tensor scale = empty(channels, DType::f32), shift = empty(channels, DType::f32);
  cuda::batch_norm_scale_shift(gamma.data<float>(), beta.data<float>(),
                               statistics.mean.data<float>(), statistics.inv_std.data<float>(),
                               scale.data<float>(), shift.data<float>(), channels[0],
                               stream_.get());
  return normalize_relu_pool(x, scale, shift, pool);
}

BatchNormReluPoolResult CudaBackend::normalize_relu_pool(const Tensor& x, const Tensor& scale,
                                                         const Tensor& shift, bool pool) {
  if (!pool) return {affine_relu_pool(x, scale, shift, false), {}, {}};
  const Shape shape = pooled_shape(x.shape());
  BatchNormReluPoolResult result{empty(shape, DType::f32), empty(shape, DType::u8),
                                 empty(shape, DType::f32)};
  cuda::affine_relu_pool_forward(x.data<float>(), scale.data<float>(), shift.data<float>(),
                                 result.y.data<float>(), result.winner.data<std::uint8_t>(),
                                 result.selected.data<float>(), image_extents(x.shape()),
                                 stream_.get());
  return result;
}

Tensor CudaBackend::affine_relu_pool(const Tensor& x, const Tensor& scale, const Tensor& shift,
                                     bool pool) {
  const ProfileRange range(profiler(), "affine_relu_pool", x.shape());
  expect_rank(x, "block x", device(), 4);
  expect_channels({{&scale, "scale"}, {&shift, "shift"}}, x.shape()[3], device());
  const ImageExtents extents = image_extents(x.shape());
  Tensor y = empty(pool ? pooled_shape(x.shape()) : x.shape(), DType::f32);
  if (pool) {
    cuda::affine_relu_pool_forward(x.data<float>(), scale.data<float>(), shift.data<float>(),
                                   y.data<float>(), nullptr, nullptr, extents, stream_.get());
  } else {
    cuda::affine_relu_forward(x.data<float>(), scale.data<float>(), shift.data<float>(),
                              y.data<float>(), extents, stream_.get());
  }
  return y;
}

BatchNormGradients CudaBackend::batch_norm_relu_pool_backward(
    const Tensor& x, const BatchNormReluPoolResult& forward, const Tensor& dy, const Tensor& gamma,
    const BatchStatistics& statistics) {
  const ProfileRange range(profiler(), "batch_norm_relu_pool_backward", x.shape());
  expect_rank(x, "block x", device(), 4);
  const bool pooled = forward.winner.defined();
  const Shape shape = pooled ? pooled_shape(x.shape()) : x.shape();
  const std::int64_t channels = shape[3];
  expect_shape(forward.y, "block y", device(), shape);
  expect_shape(dy, "block dy", device(), shape);
  expect_channels(
      {{&gamma, "gamma"}, {&statistics.mean, "mean"}, {&statistics.inv_std, "inverse deviation"}},
      channels, device());
  if (pooled) {
    expect_shape(forward.winner, "block winner", device(), shape, DType::u8);
    expect_shape(forward.selected, "block selected", device(), shape);
  }
  const ImageExtents extents = image_extents(x.shape());
  BatchNormGradients g{x, empty({channels}, DType::f32), empty({channels}, DType::f32)};
  const Tensor scratch = reduction_scratch(shape.elements() / channels, channels);
  const float* mean = statistics.mean.data<float>();
  const float* inv_std = statistics.inv_std.data<float>();
  float* dgamma = g.dgamma.data<float>();
  float* dbeta = g.dbeta.data<float>();
  const auto reduce =
      pooled ? cuda::pool_relu_batch_norm_backward_reduce : cuda::relu_batch_norm_backward_reduce;
  reduce((pooled ? forward.selected : x).data<float>(), forward.y.data<float>(), dy.data<float>(),
         mean, inv_std, dgamma, dbeta, extents, scratch.raw(), stream_.get());
  float* dx = x.data<float>();
  if (pooled) {
    cuda::pool_relu_batch_norm_backward_data(
        dx, forward.y.data<float>(), forward.winner.data<std::uint8_t>(), dy.data<float>(),
        gamma.data<float>(), mean, inv_std, dgamma, dbeta, dx, extents, 0, stream_.get());
  } else {
    cuda::relu_batch_norm_backward_data(dx, forward.y.data<float>(), dy.data<float>(),
                                        gamma.data<float>(), mean, inv_std, dgamma, dbeta, dx,
                                        extents, 0, stream_.get());
  }
  return g;
}

}  // namespace protolith
