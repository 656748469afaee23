#include "kernels/cuda/batch_norm.h"

#include "tests/gpu_emulation/kernels/batch_norm_checks.h"

namespace protolith::test {
namespace {

struct Shape {
  std::int64_t rows, channels;
  std::int64_t size() const { return rows * channels; }
};
// One row, primes, a last tile of one row (65 = 64 + 1 at 64 channels), several tiles, channels
// that fill a block of either width and more.
constexpr Shape kShapes[] = {{1, 1},    {1, 64},   {2, 3},    {63, 5},   {65, 64},  {700, 64},
                             {331, 65}, {5003, 1}, {2003, 3}, {37, 129}, {19, 516}, {9, 1031}};
// Enough rows that a thread takes 64 of them (3 threads down a tile of 65 channels) and the tiles
// exceed kTargetTiles.
constexpr Shape kManyRows{99'001, 65};

/// Scratch of exactly the size asked for.
DeviceArray<float> scratch(const Shape& s) {
  return DeviceArray<float>(
      static_cast<std::int64_t>(cuda::batch_norm_scratch_bytes(s.rows, s.channels) / 4));
}

struct Moments {
  Doubles mean, variance;
};

// Two passes in extended precision.
Moments moments(const std::vector<float>& x, std::int64_t channels) {
  const auto n = static_cast<std::size_t>(channels);
  const auto rows = static_cast<long double>(x.size() / n);
  std::vector<long double> mean(n, 0.0L), variance(n, 0.0L);
  for (std::size_t i = 0; i < x.size(); ++i) mean[i % n] += static_cast<long double>(x[i]) / rows;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double deviation = static_cast<long double>(x[i]) - mean[i % n];
    variance[i % n] += deviation * deviation / rows;
  }
  return {Doubles(mean.begin(), mean.end()), Doubles(variance.begin(), variance.end())};
}

struct Statistics {
  explicit Statistics(std::int64_t channels, int skew = 0)
      : mean(channels, skew), variance(channels), inv_std(channels, skew) {}
  DeviceArray<float> mean, variance, inv_std;

  cuda::BatchNormFinish finish() {
    return {.epsilon = 1e-5F,
            .mean = mean.data(),
            .variance = variance.data(),
            .inv_std = inv_std.data()};
  }
};

Statistics statistics(const std::vector<float>& x, const Shape& s, int skew = 0) {
  const DeviceArray<float> input(x, skew);
  DeviceArray<float> memory = scratch(s);
  Statistics result(s.channels, skew);
  cuda::batch_norm_statistics(input.data(), s.rows, s.channels, result.finish(), memory.data(),
                              nullptr);
  return result;
}

// The sums' roundings are random in sign, so that they grow as the root of the at most 72
// additions of a tile and average out across tiles: 16 roundings are about twice one tile's.
constexpr double kStatisticsRoundings = 16;

void check_statistics(const std::vector<float>& x, const Shape& s, int skew = 0) {
  const Moments expected = moments(x, s.channels);
  const Statistics actual = statistics(x, s, skew);
  check_within(actual.mean.values(), expected.mean, [&](std::size_t c) {
    return kRounding *
           (std::abs(expected.mean[c]) + kStatisticsRoundings * std::sqrt(expected.variance[c]));
  });
  check_within(actual.variance.values(), expected.variance, [&](std::size_t c) {
    return kStatisticsRoundings * kRounding * expected.variance[c];
  });
  for (std::size_t c = 0; c < expected.mean.size(); ++c) {
    const double variance = actual.variance.data()[c];
    CHECK(actual.inv_std.data()[c] ==
          static_cast<float>(1.0 / std::sqrt(variance + static_cast<double>(1e-5F))));
  }
}

TEST_CASE("batch statistics against two passes in extended precision") {
  for (const Shape& s : kShapes) {
    CAPTURE(s.rows);
    CAPTURE(s.channels);
    for_each_order([&] {
      for (const int skew : {0, 1}) {
        check_statistics(normal(s.size(), 51), s, skew);
        // A mean of ten thousand deviations costs nothing.
        check_statistics(normal(s.size(), 52, 1e4F), s, skew);
      }
    });
  }
  check_statistics(normal(kManyRows.size(), 51, -1e3F), kManyRows);
}

TEST_CASE("batch statistics: odd rows do no harm, and neither does a mean that drifts") {
  for (const std::int64_t channels : {16, 13}) {
    const Shape s{6400, channels};
    std::vector<float> x = normal(s.size(), 53);
    for (std::int64_t c = 0; c < channels; ++c) x[static_cast<std::size_t>(c)] = 200.0F;
    check_statistics(x, s);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = 100.0F + static_cast<float>(i) * 1e-3F + x[i] * 0.01F;
    }
    check_statistics(x, s);
  }
}

TEST_CASE("batch statistics of a constant are exact; NaN and infinity show") {
  for (const std::int64_t channels : {4, 3}) {
    const Shape s{700, channels};
    std::vector<float> x(static_cast<std::size_t>(s.size()), 0.1F);
    x[static_cast<std::size_t>(channels) * 570 + 1] = kNan;
    x[static_cast<std::size_t>(channels) * 571 + 2] = std::numeric_limits<float>::infinity();
    const Statistics actual = statistics(x, s);
    CHECK(actual.mean.data()[0] == 0.1F);
    CHECK(actual.variance.data()[0] == 0.0F);
    CHECK(std::isnan(actual.mean.data()[1]));
    CHECK(std::isnan(actual.variance.data()[1]));
    CHECK(!std::isfinite(actual.mean.data()[2]));
    CHECK(std::isnan(actual.variance.data()[2]));
  }
}

TEST_CASE("batch statistics and gradients have the same bits in every order") {
  for (const Shape& s : {Shape{1500, 65}, Shape{1500, 64}}) {
    const DeviceArray<float> x(normal(s.size(), 54)), dy(normal(s.size(), 55));
    std::vector<std::vector<float>> results;
    for_each_order([&] {
      const Statistics actual = statistics(x.values(), s);
      DeviceArray<float> memory = scratch(s), dgamma(s.channels), dbeta(s.channels);
      cuda::batch_norm_backward_reduce(x.data(), dy.data(), actual.mean.data(),
                                       actual.inv_std.data(), s.rows, s.channels, dgamma.data(),
                                       dbeta.data(), memory.data(), nullptr);
      std::vector<float> all = actual.mean.values();
      const DeviceArray<float>* const others[] = {&actual.variance, &dgamma, &dbeta};
      for (const DeviceArray<float>* more : others) {
        all.insert(all.end(), more->data(), more->data() + more->size());
      }
      results.push_back(all);
    });
    for (const std::vector<float>& result : results) CHECK(same(result, results.front()));
  }
}

// Scale, shift and running values of one channel as the definition has them, each rounded once
// from double.
struct Channel {
  float inv_std, scale, shift, running_mean, running_variance;
};

Channel expected_channel(float gamma, float beta, float mean, float variance, double unbiased,
                         float old_mean, float old_variance) {
  Channel r{};
  r.inv_std = static_cast<float>(
      1.0 / std::sqrt(static_cast<double>(variance) + static_cast<double>(1e-5F)));
  r.scale = static_cast<float>(static_cast<double>(gamma) * r.inv_std);
  r.shift = static_cast<float>(beta - static_cast<double>(mean) * static_cast<double>(r.scale));
  const double momentum = 0.1F;
  r.running_mean = static_cast<float>(old_mean + momentum * (static_cast<double>(mean) - old_mean));
  r.running_variance =
      static_cast<float>(old_variance + momentum * (variance * unbiased - old_variance));
  return r;
}

TEST_CASE("what is per channel: inverse deviation, scale and shift, running values") {
  for (const std::int64_t channels : {1, 3, 64, 256, 257}) {
    for (const std::int64_t rows : {1, 5}) {
      const DeviceArray<float> mean(normal(channels, 31), 1), gamma(normal(channels, 32)),
          beta(normal(channels, 33), 1);
      std::vector<float> squares = normal(channels, 34);
      for (float& v : squares) v = v * v;
      squares[0] = 0.0F;
      const DeviceArray<float> variance(squares);
      for_each_order([&] {
        DeviceArray<float> inv_std(channels), scale(channels, 1), shift(channels),
            running_mean(gamma.values(), 1), running_variance(squares);
        DeviceArray<float> inference_scale(channels), inference_shift(channels);
        cuda::batch_norm_inverse_deviation(variance.data(), 1e-5F, inv_std.data(), channels,
                                           nullptr);
        cuda::batch_norm_scale_shift(gamma.data(), beta.data(), mean.data(), inv_std.data(),
                                     scale.data(), shift.data(), channels, nullptr);
        cuda::batch_norm_inference_scale_shift(gamma.data(), beta.data(), mean.data(),
                                               variance.data(), 1e-5F, inference_scale.data(),
                                               inference_shift.data(), channels, nullptr);
        cuda::batch_norm_update_running(mean.data(), variance.data(), rows, 0.1F,
                                        running_mean.data(), running_variance.data(), channels,
                                        nullptr);
        for (std::size_t c = 0; c < gamma.size(); ++c) {
          const Channel e =
              expected_channel(gamma.data()[c], beta.data()[c], mean.data()[c], squares[c],
                               rows == 5 ? 1.25 : 1.0, gamma.data()[c], squares[c]);
          REQUIRE(inv_std.data()[c] == e.inv_std);
          REQUIRE(scale.data()[c] == e.scale);
          REQUIRE(shift.data()[c] == e.shift);
          REQUIRE(inference_scale.data()[c] == e.scale);
          REQUIRE(inference_shift.data()[c] == e.shift);
          REQUIRE(running_mean.data()[c] == e.running_mean);
          REQUIRE(running_variance.data()[c] == e.running_variance);
        }
      });
    }
  }
}

TEST_CASE("the statistics' second launch finishes as the separate functions do") {
  for (const Shape& s : {Shape{1, 3}, Shape{300, 64}, Shape{131, 65}}) {
    const DeviceArray<float> x(normal(s.size(), 41, 2.0F)), gamma(normal(s.channels, 42), 1),
        beta(normal(s.channels, 43));
    for_each_order([&] {
      DeviceArray<float> memory = scratch(s), scale(s.channels), shift(s.channels, 1),
                         running_mean(gamma.values()), running_variance(beta.values());
      Statistics got(s.channels);
      cuda::BatchNormFinish finish = got.finish();
      finish.gamma = gamma.data();
      finish.beta = beta.data();
      finish.scale = scale.data();
      finish.shift = shift.data();
      finish.momentum = 0.1F;
      finish.running_mean = running_mean.data();
      finish.running_variance = running_variance.data();
      cuda::batch_norm_statistics(x.data(), s.rows, s.channels, finish, memory.data(), nullptr);
      const auto n = static_cast<double>(s.rows);
      const double unbiased = s.rows > 1 ? n / (n - 1.0) : 1.0;
      for (std::size_t c = 0; c < gamma.size(); ++c) {
        const Channel e =
            expected_channel(gamma.data()[c], beta.data()[c], got.mean.data()[c],
                             got.variance.data()[c], unbiased, gamma.data()[c], beta.data()[c]);
        REQUIRE(scale.data()[c] == e.scale);
        REQUIRE(shift.data()[c] == e.shift);
        REQUIRE(running_mean.data()[c] == e.running_mean);
        REQUIRE(running_variance.data()[c] == e.running_variance);
      }
    });
  }
}

TEST_CASE("affine: two roundings, in place too") {
  for (const Shape& s : kShapes) {
    CAPTURE(s.rows);
    CAPTURE(s.channels);
    const std::vector<float> values = normal(s.size(), 55);
    const DeviceArray<float> scale(normal(s.channels, 56), 1), shift(normal(s.channels, 57));
    Doubles expected, magnitude;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const std::size_t c = i % scale.size();
      const double product = static_cast<double>(values[i]) * scale.data()[c];
      expected.push_back(product + shift.data()[c]);
      magnitude.push_back(std::abs(product) + std::abs(expected.back()));
    }
    for_each_order([&] {
      for (const int which : {0, 1, 2}) {
        DeviceArray<float> x(values, skew(which, 0)), y(s.size(), skew(which, 1));
        cuda::batch_norm_affine(x.data(), scale.data(), shift.data(), y.data(), s.rows, s.channels,
                                nullptr);
        check_within(y.values(), expected, [&](std::size_t i) { return kRounding * magnitude[i]; });
        cuda::batch_norm_affine(x.data(), scale.data(), shift.data(), x.data(), s.rows, s.channels,
                                nullptr);
        CHECK(same(x.values(), y.values()));
      }
    });
  }
}

void check_backward(const Shape& s, int which) {
  const DeviceArray<float> x(normal(s.size(), 58, 3.0F), skew(which, 0)),
      dy(normal(s.size(), 59, 0.25F), skew(which, 1)), mean(normal(s.channels, 60, 3.0F, 0.1F), 1),
      inv_std(normal(s.channels, 61, 1.0F, 0.1F)), gamma(normal(s.channels, 62), 1);
  const Doubles g(dy.data(), dy.data() + dy.size());
  DeviceArray<float> dgamma(s.channels), dbeta(s.channels), memory = scratch(s);
  cuda::batch_norm_backward_reduce(x.data(), dy.data(), mean.data(), inv_std.data(), s.rows,
                                   s.channels, dgamma.data(), dbeta.data(), memory.data(), nullptr);
  check_parameter_gradients(dgamma, dbeta,
                            parameter_gradients(x.values(), g, mean.values(), inv_std.values()));
  const auto data_gradient = [&](const DeviceArray<float>& input, const DeviceArray<float>& up,
                                 DeviceArray<float>& dx) {
    cuda::batch_norm_backward_data(input.data(), up.data(), gamma.data(), mean.data(),
                                   inv_std.data(), dgamma.data(), dbeta.data(), dx.data(), s.rows,
                                   s.channels, nullptr);
    return dx.values();
  };
  DeviceArray<float> dx(s.size(), skew(which, 2)), in_x(x.values()), in_dy(dy.values());
  check_data_gradients(data_gradient(x, dy, dx),
                       data_gradients(x.values(), g, gamma.values(), mean.values(),
                                      inv_std.values(), dgamma.values(), dbeta.values()));
  CHECK(same(data_gradient(in_x, dy, in_x), dx.values()));
  CHECK(same(data_gradient(x, in_dy, in_dy), dx.values()));
}

TEST_CASE("backward: parameter and data gradients, in place too") {
  for (const Shape& s : kShapes) {
    CAPTURE(s.rows);
    CAPTURE(s.channels);
    for_each_order([&] {
      for (const int which : {0, 1, 2, 4}) {
        if (!simt::tiny_grids_only() || which <= 1) check_backward(s, which);
      }
    });
  }
  if (!simt::tiny_grids_only()) check_backward(kManyRows, 0);
}

TEST_CASE("the tiles' sums always fit in the scratch memory") {
  for (const std::int64_t channels : {1, 3, 4, 64, 65, 512, 4096}) {
    for (std::int64_t rows = 1; rows < 1'000'000; rows += 1 + rows / 37) {
      const std::size_t bytes = cuda::batch_norm_scratch_bytes(rows, channels);
      for (const int width : {1, 4}) {
        if (channels % width != 0) continue;
        for (const std::int64_t fewer : {rows, rows / 2, rows / 3, rows / 4}) {
          const cuda::RowTiles tiles(std::max<std::int64_t>(fewer, 1), channels, width,
                                     cuda::kSumRows);
          REQUIRE(static_cast<std::size_t>(12 * tiles.down * channels) <= bytes);
          REQUIRE(tiles.threads_across * tiles.threads_down <= cuda::kTileThreads);
        }
      }
    }
  }
}

}  // namespace
}  // namespace protolith::test
