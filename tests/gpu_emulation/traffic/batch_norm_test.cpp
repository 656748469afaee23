#include "kernels/cuda/batch_norm.h"

#include "kernels/cuda/batch_norm_relu_pool.h"
#include "tests/gpu_emulation/traffic/support.h"

namespace protolith::test {
namespace {

/// Parameters, statistics and gradients of one number per channel.
struct Channels {
  explicit Channels(std::int64_t n)
      : gamma(normal(n, 1)),
        beta(normal(n, 2)),
        running_mean(normal(n, 3)),
        running_variance(normal(n, 4, 3.0F, 0.1F)),
        mean(normal(n, 5)),
        variance(normal(n, 6, 3.0F, 0.1F)),
        inv_std(normal(n, 7, 1.0F, 0.1F)),
        scale(normal(n, 8)),
        shift(normal(n, 9)),
        dgamma(normal(n, 10)),
        dbeta(normal(n, 11)) {}

  DeviceArray<float> gamma, beta, running_mean, running_variance, mean, variance, inv_std, scale,
      shift, dgamma, dbeta;
};

DeviceArray<float> scratch(std::int64_t rows, std::int64_t channels) {
  return DeviceArray<float>(
      static_cast<std::int64_t>(cuda::batch_norm_scratch_bytes(rows, channels) / sizeof(float)));
}

// A single tile, several with a part of one, and so many rows that a thread takes more than its
// least; channels in packs, and not.
constexpr struct {
  std::int64_t rows, channels;
} kShapes[] = {{1, 1}, {1, 64}, {65, 64}, {1000, 64}, {331, 3}, {129, 132}, {700, 37}, {2500, 520}};

TEST_CASE("traffic of batch norm's sums") {
  for (const auto& [rows, channels] : kShapes) {
    CAPTURE(rows);
    CAPTURE(channels);
    const DeviceArray<float> x(normal(rows * channels, 12)), dy(normal(rows * channels, 13));
    const std::int64_t n = rows, c = channels;
    Channels p(channels);
    DeviceArray<float> partial = scratch(rows, channels);
    const cuda::BatchNormFinish finish{.epsilon = 1e-5F,
                                       .mean = p.mean.data(),
                                       .variance = p.variance.data(),
                                       .inv_std = p.inv_std.data(),
                                       .gamma = p.gamma.data(),
                                       .beta = p.beta.data(),
                                       .scale = p.scale.data(),
                                       .shift = p.shift.data(),
                                       .momentum = 0.1F,
                                       .running_mean = p.running_mean.data(),
                                       .running_variance = p.running_variance.data()};
    check_traffic(
        cuda::batch_norm_statistics_traffic(n, c),
        [&] { cuda::batch_norm_statistics(x.data(), n, c, finish, partial.data(), nullptr); }, x,
        partial, p.mean, p.variance, p.inv_std, p.gamma, p.beta, p.scale, p.shift, p.running_mean,
        p.running_variance);
    check_traffic(
        cuda::batch_norm_backward_reduce_traffic(n, c),
        [&] {
          cuda::batch_norm_backward_reduce(x.data(), dy.data(), p.mean.data(), p.inv_std.data(), n,
                                           c, p.dgamma.data(), p.dbeta.data(), partial.data(),
                                           nullptr);
        },
        x, dy, partial, p.mean, p.inv_std, p.dgamma, p.dbeta);
  }
}

TEST_CASE("traffic of batch norm's element-wise passes") {
  for (const auto& [rows, channels] : kShapes) {
    for (const int skew : {0, 1}) {
      CAPTURE(rows);
      CAPTURE(channels);
      CAPTURE(skew);
      const std::int64_t n = rows, c = channels;
      const DeviceArray<float> x(normal(n * c, 14), skew), dy(normal(n * c, 15));
      DeviceArray<float> out(n * c);
      const Channels p(c);
      check_traffic(
          cuda::batch_norm_affine_traffic(n, c),
          [&] {
            cuda::batch_norm_affine(x.data(), p.scale.data(), p.shift.data(), out.data(), n, c,
                                    nullptr);
          },
          x, p.scale, p.shift, out);
      check_traffic(
          cuda::batch_norm_backward_data_traffic(n, c),
          [&] {
            cuda::batch_norm_backward_data(x.data(), dy.data(), p.gamma.data(), p.mean.data(),
                                           p.inv_std.data(), p.dgamma.data(), p.dbeta.data(),
                                           out.data(), n, c, nullptr);
          },
          x, dy, p.gamma, p.mean, p.inv_std, p.dgamma, p.dbeta, out);
    }
  }
}

std::int64_t pixels(const ImageExtents& e) {
  return e.images * e.height * e.width;
}

std::int64_t outputs(const ImageExtents& e) {
  return e.images * (e.height / 2) * (e.width / 2);
}

// Even and odd extents, channels in packs and not.
constexpr ImageExtents kImages[] = {{1, 2, 2, 1},  {2, 3, 5, 4},   {3, 7, 7, 64},
                                    {2, 12, 9, 3}, {5, 14, 14, 8}, {1, 3, 2, 260}};

TEST_CASE("traffic of the fused forward passes") {
  for (const ImageExtents& e : kImages) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    const DeviceArray<float> x(normal(pixels(e) * e.channels, 16));
    const Channels p(e.channels);
    DeviceArray<float> flat(pixels(e) * e.channels);
    check_traffic(
        cuda::affine_relu_traffic(e),
        [&] {
          cuda::affine_relu_forward(x.data(), p.scale.data(), p.shift.data(), flat.data(), e,
                                    nullptr);
        },
        x, p.scale, p.shift, flat);
    const std::int64_t count = outputs(e) * e.channels;
    DeviceArray<float> y(count), selected(count);
    DeviceArray<std::uint8_t> winner(count);
    for (const bool keep : {false, true}) {
      CAPTURE(keep);
      check_traffic(
          cuda::affine_relu_pool_traffic(e, keep),
          [&] {
            cuda::affine_relu_pool_forward(x.data(), p.scale.data(), p.shift.data(), y.data(),
                                           keep ? winner.data() : nullptr,
                                           keep ? selected.data() : nullptr, e, nullptr);
          },
          x, p.scale, p.shift, y, winner, selected);
    }
  }
}

TEST_CASE("traffic of the fused backward passes without a pool") {
  for (const ImageExtents& e : kImages) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    const std::int64_t count = pixels(e) * e.channels;
    const DeviceArray<float> x(normal(count, 17)), y(normal(count, 18)), dy(normal(count, 19));
    DeviceArray<float> dx(count), partial = scratch(pixels(e), e.channels);
    Channels p(e.channels);
    check_traffic(
        cuda::relu_batch_norm_backward_reduce_traffic(e),
        [&] {
          cuda::relu_batch_norm_backward_reduce(x.data(), y.data(), dy.data(), p.mean.data(),
                                                p.inv_std.data(), p.dgamma.data(), p.dbeta.data(),
                                                e, partial.data(), nullptr);
        },
        x, y, dy, p.mean, p.inv_std, p.dgamma, p.dbeta, partial);
    check_traffic(
        cuda::relu_batch_norm_backward_data_traffic(e),
        [&] {
          cuda::relu_batch_norm_backward_data(x.data(), y.data(), dy.data(), p.gamma.data(),
                                              p.mean.data(), p.inv_std.data(), p.dgamma.data(),
                                              p.dbeta.data(), dx.data(), e, 0, nullptr);
        },
        x, y, dy, p.gamma, p.mean, p.inv_std, p.dgamma, p.dbeta, dx);
  }
}

TEST_CASE("traffic of the fused backward passes with a pool") {
  for (const ImageExtents& e : kImages) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    const std::int64_t count = outputs(e) * e.channels;
    const DeviceArray<float> x(normal(pixels(e) * e.channels, 20));
    const DeviceArray<float> y(normal(count, 21)), dy(normal(count, 22));
    const DeviceArray<float> selected(normal(count, 23));
    const DeviceArray<std::uint8_t> winner(std::vector<std::uint8_t>(y.size(), 1));
    DeviceArray<float> dx(pixels(e) * e.channels), partial = scratch(outputs(e), e.channels);
    Channels p(e.channels);
    check_traffic(
        cuda::pool_relu_batch_norm_backward_reduce_traffic(e),
        [&] {
          cuda::pool_relu_batch_norm_backward_reduce(
              selected.data(), y.data(), dy.data(), p.mean.data(), p.inv_std.data(),
              p.dgamma.data(), p.dbeta.data(), e, partial.data(), nullptr);
        },
        selected, y, dy, p.mean, p.inv_std, p.dgamma, p.dbeta, partial);
    check_traffic(
        cuda::pool_relu_batch_norm_backward_data_traffic(e),
        [&] {
          cuda::pool_relu_batch_norm_backward_data(
              x.data(), y.data(), winner.data(), dy.data(), p.gamma.data(), p.mean.data(),
              p.inv_std.data(), p.dgamma.data(), p.dbeta.data(), dx.data(), e, 0, nullptr);
        },
        x, y, winner, dy, p.gamma, p.mean, p.inv_std, p.dgamma, p.dbeta, dx);
  }
}

}  // namespace
}  // namespace protolith::test
