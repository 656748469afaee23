// CpuBackend's batch norm, ReLU, pooling, and the fused block of the three.
#include <algorithm>

#include "engine/cpu/cpu_backend.h"
#include "engine/expect.h"
#include "kernels/cpu/batch_norm.h"
#include "kernels/cpu/batch_norm_relu_pool.h"
#include "kernels/cpu/max_pool.h"
#include "kernels/cpu/relu.h"
#include "kernels/cpu/small_input_filter_gradient.h"

namespace protolith {
namespace {

/// scale and shift of (x - mean) * inv_std * gamma + beta.
std::pair<Tensor, Tensor> scale_shift(Backend& backend, const Tensor& gamma, const Tensor& beta,
                                      const BatchStatistics& statistics) {
  const Shape& shape = gamma.shape();
  Tensor scale = backend.empty(shape);
  Tensor shift = backend.empty(shape);
  cpu::batch_norm_scale_shift(gamma.data<float>(), beta.data<float>(),
                              statistics.mean.data<float>(), statistics.inv_std.data<float>(),
                              scale.data<float>(), shift.data<float>(), shape.elements());
  return {std::move(scale), std::move(shift)};
}

}  // namespace

BatchStatistics CpuBackend::batch_statistics(const Tensor& x, float epsilon) {
  const auto [rows, channels] = rows_channels(x, "batch norm x", device());
  const ProfileRange range(profiler(), "batch_statistics", x.shape(),
                           [&] { return batch_statistics_cost(x.shape()); });
  BatchStatistics s{empty({channels}, DType::f32), empty({channels}, DType::f32),
                    empty({channels}, DType::f32)};
  cpu::batch_norm_statistics(x.data<float>(), rows, channels, s.mean.data<float>(),
                             s.variance.data<float>());
  cpu::batch_norm_inverse_deviation(s.variance.data<float>(), epsilon, s.inv_std.data<float>(),
                                    channels);
  return s;
}

void CpuBackend::update_running_statistics(const BatchStatistics& batch, std::int64_t rows,
                                           float momentum, const Tensor& running_mean,
                                           const Tensor& running_variance) {
  expect_rank(batch.mean, "batch mean", device(), 1);
  const std::int64_t channels = batch.mean.elements();
  expect_channels({{&batch.variance, "batch variance"},
                   {&running_mean, "running mean"},
                   {&running_variance, "running variance"}},
                  channels, device());
  PROTOLITH_CHECK(rows >= 1, "batch statistics of {} rows", rows);
  const ProfileRange range(profiler(), "update_running_statistics", running_mean.shape());
  cpu::batch_norm_update_running(batch.mean.data<float>(), batch.variance.data<float>(), rows,
                                 momentum, running_mean.data<float>(),
                                 running_variance.data<float>(), channels);
}

Tensor CpuBackend::batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                              const BatchStatistics& statistics) {
  const auto [rows, channels] = rows_channels(x, "batch norm x", device());
  expect_channels({{&gamma, "gamma"},
                   {&beta, "beta"},
                   {&statistics.mean, "mean"},
                   {&statistics.inv_std, "inverse deviation"}},
                  channels, device());
  const auto [scale, shift] = scale_shift(*this, gamma, beta, statistics);
  Tensor y = empty(x.shape(), DType::f32);
  const ProfileRange range(profiler(), "batch_norm", x.shape(), [&] {
    return pass_cost(2, {x.shape(), x.shape()});
  });
  cpu::batch_norm_affine(x.data<float>(), scale.data<float>(), shift.data<float>(), y.data<float>(),
                         rows, channels);
  return y;
}

void CpuBackend::inference_scale_shift(const Tensor& gamma, const Tensor& beta,
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
  const Tensor inv_std = empty({channels}, DType::f32);
  cpu::batch_norm_inverse_deviation(running_variance.data<float>(), epsilon, inv_std.data<float>(),
                                    channels);
  cpu::batch_norm_scale_shift(gamma.data<float>(), beta.data<float>(), running_mean.data<float>(),
                              inv_std.data<float>(), scale.data<float>(), shift.data<float>(),
                              channels);
}

Tensor CpuBackend::batch_norm_inference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                        const Tensor& running_mean, const Tensor& running_variance,
                                        float epsilon) {
  const auto [rows, channels] = rows_channels(x, "batch norm x", device());
  const Tensor scale = empty({channels}, DType::f32);
  const Tensor shift = empty({channels}, DType::f32);
  inference_scale_shift(gamma, beta, running_mean, running_variance, epsilon, scale, shift);
  Tensor y = empty(x.shape(), DType::f32);
  const ProfileRange range(profiler(), "batch_norm_inference", x.shape(), [&] {
    return pass_cost(2, {x.shape(), x.shape()});
  });
  cpu::batch_norm_affine(x.data<float>(), scale.data<float>(), shift.data<float>(), y.data<float>(),
                         rows, channels);
  return y;
}

BatchNormGradients CpuBackend::batch_norm_backward(const Tensor& x, const Tensor& dy,
                                                   const Tensor& gamma,
                                                   const BatchStatistics& statistics) {
  const auto [rows, channels] = rows_channels(x, "batch norm x", device());
  expect_shape(dy, "batch norm dy", device(), x.shape());
  expect_channels(
      {{&gamma, "gamma"}, {&statistics.mean, "mean"}, {&statistics.inv_std, "inverse deviation"}},
      channels, device());
  BatchNormGradients g{empty(x.shape(), DType::f32), empty({channels}, DType::f32),
                       empty({channels}, DType::f32)};
  const ProfileRange range(profiler(), "batch_norm_backward", x.shape(), [&] {
    return pass_cost(8, {x.shape(), x.shape(), x.shape(), x.shape(), x.shape()});
  });
  const float* mean = statistics.mean.data<float>();
  const float* inv_std = statistics.inv_std.data<float>();
  cpu::batch_norm_backward_reduce(x.data<float>(), dy.data<float>(), mean, inv_std, rows, channels,
                                  g.dgamma.data<float>(), g.dbeta.data<float>());
  cpu::batch_norm_backward_data(x.data<float>(), dy.data<float>(), gamma.data<float>(), mean,
                                inv_std, g.dgamma.data<float>(), g.dbeta.data<float>(),
                                g.dx.data<float>(), rows, channels);
  return g;
}

Tensor CpuBackend::relu(const Tensor& x) {
  expect_tensor(x, "relu x", device());
  const ProfileRange range(profiler(), "relu", x.shape(), [&] {
    return pass_cost(1, {x.shape(), x.shape()});
  });
  Tensor y = empty(x.shape(), DType::f32);
  cpu::relu_forward(x.data<float>(), y.data<float>(), x.elements());
  return y;
}

Tensor CpuBackend::relu_backward(const Tensor& y, const Tensor& dy) {
  expect_tensor(y, "relu y", device());
  expect_shape(dy, "relu dy", device(), y.shape());
  const ProfileRange range(profiler(), "relu_backward", y.shape(), [&] {
    return pass_cost(1, {y.shape(), y.shape(), y.shape()});
  });
  Tensor dx = empty(y.shape(), DType::f32);
  cpu::relu_backward(y.data<float>(), dy.data<float>(), dx.data<float>(), y.elements());
  return dx;
}

PoolResult CpuBackend::max_pool(const Tensor& x) {
  expect_rank(x, "pool x", device(), 4);
  const Shape shape = pooled_shape(x.shape());
  const ProfileRange range(profiler(), "max_pool", x.shape(), [&] {
    return pass_cost(1, {x.shape(), shape});
  });
  PoolResult result{empty(shape, DType::f32), empty(shape, DType::u8)};
  cpu::max_pool_forward(x.data<float>(), result.y.data<float>(), result.winner.data<std::uint8_t>(),
                        image_extents(x.shape()));
  return result;
}

Tensor CpuBackend::max_pool_backward(const Tensor& dy, const Tensor& winner, const Shape& x_shape) {
  const Shape shape = pooled_shape(x_shape);
  expect_shape(dy, "pool dy", device(), shape);
  expect_shape(winner, "pool winner", device(), shape, DType::u8);
  const ProfileRange range(profiler(), "max_pool_backward", x_shape, [&] {
    return pass_cost(0, {x_shape, shape});
  });
  Tensor dx = empty(x_shape, DType::f32);
  cpu::max_pool_backward(dy.data<float>(), winner.data<std::uint8_t>(), dx.data<float>(),
                         image_extents(x_shape));
  return dx;
}

BatchNormReluPoolResult CpuBackend::batch_norm_relu_pool(const Tensor& x, const Tensor& gamma,
                                                         const Tensor& beta,
                                                         const BatchStatistics& statistics,
                                                         bool pool) {
  expect_rank(x, "block x", device(), 4);
  expect_channels({{&gamma, "gamma"},
                   {&beta, "beta"},
                   {&statistics.mean, "mean"},
                   {&statistics.inv_std, "inverse deviation"}},
                  x.shape()[3], device());
  const auto [scale, shift] = scale_shift(*this, gamma, beta, statistics);
  if (!pool) return {affine_relu_pool(x, scale, shift, false), {}, {}};
  const Shape shape = pooled_shape(x.shape());
  const ProfileRange range(profiler(), "batch_norm_relu_pool", x.shape(),
                           [&] { return batch_norm_relu_pool_cost(x.shape(), shape); });
  BatchNormReluPoolResult result{empty(shape, DType::f32), empty(shape, DType::u8),
                                 empty(shape, DType::f32)};
  cpu::affine_relu_pool_forward(x.data<float>(), scale.data<float>(), shift.data<float>(),
                                result.y.data<float>(), result.winner.data<std::uint8_t>(),
                                result.selected.data<float>(), image_extents(x.shape()));
  return result;
}

Tensor CpuBackend::affine_relu_pool(const Tensor& x, const Tensor& scale, const Tensor& shift,
                                    bool pool) {
  expect_rank(x, "block x", device(), 4);
  expect_channels({{&scale, "scale"}, {&shift, "shift"}}, x.shape()[3], device());
  const cpu::ImageExtents extents = image_extents(x.shape());
  Tensor y = empty(pool ? pooled_shape(x.shape()) : x.shape(), DType::f32);
  const ProfileRange range(profiler(), "affine_relu_pool", x.shape(), [&] {
    return pass_cost(3, {x.shape(), y.shape()});
  });
  if (pool) {
    cpu::affine_relu_pool_forward(x.data<float>(), scale.data<float>(), shift.data<float>(),
                                  y.data<float>(), nullptr, nullptr, extents);
  } else {
    cpu::affine_relu_forward(x.data<float>(), scale.data<float>(), shift.data<float>(),
                             y.data<float>(), extents);
  }
  return y;
}

namespace {

/// The fused block's backward pass, whole or in parts of the batch.
class BlockBackward {
 public:
  BlockBackward(const Tensor& x, const BatchNormReluPoolResult& forward, const Tensor& dy,
                const Tensor& gamma, const BatchStatistics& statistics)
      : x_(x), forward_(forward), dy_(dy), gamma_(gamma), statistics_(statistics) {
    expect_rank(x, "block x", {}, 4);
    const Shape shape = pooled() ? pooled_shape(x.shape()) : x.shape();
    expect_shape(forward.y, "block y", {}, shape);
    expect_shape(dy, "block dy", {}, shape);
    expect_channels(
        {{&gamma, "gamma"}, {&statistics.mean, "mean"}, {&statistics.inv_std, "inverse deviation"}},
        x.shape()[3], {});
    if (pooled()) {
      expect_shape(forward.winner, "block winner", {}, shape, DType::u8);
      expect_shape(forward.selected, "block selected", {}, shape);
    }
  }

  void reduce(const Tensor& dgamma, const Tensor& dbeta) const {
    const auto run =
        pooled() ? cpu::pool_relu_batch_norm_backward_reduce : cpu::relu_batch_norm_backward_reduce;
    run((pooled() ? forward_.selected : x_).data<float>(), forward_.y.data<float>(),
        dy_.data<float>(), statistics_.mean.data<float>(), statistics_.inv_std.data<float>(),
        dgamma.data<float>(), dbeta.data<float>(), image_extents(x_.shape()));
  }

  /// Overwrites images [begin, end) of x with their gradient.
  void data(const Tensor& dgamma, const Tensor& dbeta, std::int64_t begin, std::int64_t end) const {
    float* const dx = x_.rows(begin, end).data<float>();
    const float* y = forward_.y.rows(begin, end).data<float>();
    const float* dy = dy_.rows(begin, end).data<float>();
    const float* gamma = gamma_.data<float>();
    const float* mean = statistics_.mean.data<float>();
    const float* inv_std = statistics_.inv_std.data<float>();
    const std::int64_t rows = x_.elements() / x_.shape()[3];
    cpu::ImageExtents extents = image_extents(x_.shape());
    extents.images = end - begin;
    if (pooled()) {
      const std::uint8_t* winner = forward_.winner.rows(begin, end).data<std::uint8_t>();
      cpu::pool_relu_batch_norm_backward_data(dx, y, winner, dy, gamma, mean, inv_std,
                                              dgamma.data<float>(), dbeta.data<float>(), dx,
                                              extents, rows);
    } else {
      cpu::relu_batch_norm_backward_data(dx, y, dy, gamma, mean, inv_std, dgamma.data<float>(),
                                         dbeta.data<float>(), dx, extents, rows);
    }
  }

 private:
  bool pooled() const { return forward_.winner.defined(); }

  const Tensor& x_;
  const BatchNormReluPoolResult& forward_;
  const Tensor& dy_;
  const Tensor& gamma_;
  const BatchStatistics& statistics_;
};

}  // namespace

BatchNormGradients CpuBackend::batch_norm_relu_pool_backward(const Tensor& x,
                                                             const BatchNormReluPoolResult& forward,
                                                             const Tensor& dy, const Tensor& gamma,
                                                             const BatchStatistics& statistics) {
  const BlockBackward block(x, forward, dy, gamma, statistics);
  const Shape channels{x.shape()[3]};
  const ProfileRange range(profiler(), "batch_norm_relu_pool_backward", x.shape(), [&] {
    return batch_norm_relu_pool_backward_cost(x.shape(), dy.shape());
  });
  BatchNormGradients g{x, empty(channels, DType::f32), empty(channels, DType::f32)};
  block.reduce(g.dgamma, g.dbeta);
  block.data(g.dgamma, g.dbeta, 0, x.shape()[0]);
  return g;
}

ConvBlockGradients CpuBackend::batch_norm_relu_pool_backward_weight(
    const Tensor& input, const Tensor& x, const BatchNormReluPoolResult& forward, const Tensor& dy,
    const Tensor& gamma, const BatchStatistics& statistics, const Shape& weight_shape) {
  expect_rank(input, "block input", device(), 4);
  const Shape& in = input.shape();
  const bool fits = weight_shape.rank() == 4 && weight_shape[1] == 3 && weight_shape[2] == 3 &&
                    in[3] <= kFewChannels;
  if (!fits) {
    return Backend::batch_norm_relu_pool_backward_weight(input, x, forward, dy, gamma, statistics,
                                                         weight_shape);
  }
  const BlockBackward block(x, forward, dy, gamma, statistics);
  PROTOLITH_CHECK(convolution_shape(in, weight_shape, 1, 1) == x.shape(),
                  "block x {} is no 3x3 convolution of {} with {}", to_string(x.shape()),
                  to_string(in), to_string(weight_shape));
  const ProfileRange range(profiler(), "batch_norm_relu_pool_backward_weight", x.shape(), [&] {
    return batch_norm_relu_pool_backward_cost(x.shape(), dy.shape()) +
           convolution_cost(in, weight_shape, x.shape());
  });
  ConvBlockGradients g{Tensor(), empty(weight_shape, DType::f32), empty(gamma.shape(), DType::f32),
                       empty(gamma.shape(), DType::f32)};
  block.reduce(g.dgamma, g.dbeta);
  // Parts of the batch whose gradients are still in the threads' caches when they are used.
  constexpr std::int64_t kBytesPerThread = std::int64_t{1} << 19;
  const std::int64_t image_bytes = x.elements() / in[0] * 4;
  const std::int64_t part = threads_ * std::max<std::int64_t>(kBytesPerThread / image_bytes, 1);
  cpu::SmallInputFilterGradient filters(in[1], in[2], in[3], weight_shape[0]);
  for (std::int64_t begin = 0; begin < in[0]; begin += part) {
    const std::int64_t end = std::min(begin + part, in[0]);
    block.data(g.dgamma, g.dbeta, begin, end);
    filters.add(input.rows(begin, end).data<float>(), x.rows(begin, end).data<float>(),
                end - begin);
  }
  filters.store(g.dweight.data<float>());
  return g;
}

}  // namespace protolith
