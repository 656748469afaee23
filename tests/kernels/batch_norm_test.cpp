#include "kernels/cpu/batch_norm.h"

#include "tests/kernels/batch_norm_naive.h"

namespace protolith::test {
namespace {

struct Shape {
  std::int64_t rows, channels;
  std::size_t size() const { return static_cast<std::size_t>(rows * channels); }
};
constexpr Shape kShapes[] = {{1, 1},    {2, 3},     {63, 5},    {65, 16},
                             {700, 64}, {1500, 65}, {60001, 1}, {20000, 3}};

struct Moments {
  Doubles mean, variance;
};

// Two passes in extended precision.
Moments moments(const Floats& x, std::int64_t channels) {
  const auto n = static_cast<std::size_t>(channels);
  const auto rows = static_cast<long double>(x.size() / n);
  std::vector<long double> mean(n, 0.0L);
  std::vector<long double> variance(n, 0.0L);
  for (std::size_t i = 0; i < x.size(); ++i) mean[i % n] += static_cast<long double>(x[i]) / rows;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double deviation = static_cast<long double>(x[i]) - mean[i % n];
    variance[i % n] += deviation * deviation / rows;
  }
  return {Doubles(mean.begin(), mean.end()), Doubles(variance.begin(), variance.end())};
}

// The sums' roundings are random in sign, so that they grow as the root of the 64 additions of a
// block and average out across blocks: 16 roundings are twice one block's.
constexpr double kStatisticsRoundings = 16;

void check_statistics(const Floats& x, const Shape& s) {
  const Moments expected = moments(x, s.channels);
  Floats mean = floats(s.channels);
  Floats variance = floats(s.channels);
  cpu::batch_norm_statistics(x.data(), s.rows, s.channels, mean.data(), variance.data());
  check_within(mean, expected.mean, [&](std::size_t c) {
    return kRounding *
           (std::abs(expected.mean[c]) + kStatisticsRoundings * std::sqrt(expected.variance[c]));
  });
  check_within(variance, expected.variance, [&](std::size_t c) {
    return kStatisticsRoundings * kRounding * expected.variance[c];
  });
}

TEST_CASE("batch statistics against two passes in extended precision") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        CAPTURE(s.rows);
        CAPTURE(s.channels);
        check_statistics(normal(s.rows * s.channels, 51), s);
        // A mean of ten thousand deviations costs nothing.
        check_statistics(normal(s.rows * s.channels, 52, 1e4F), s);
      }
    });
  });
}

TEST_CASE("batch statistics: an odd first row does no harm") {
  for_each_instruction_set([] {
    const Shape s{6400, 16};
    Floats x = normal(s.rows * s.channels, 53);
    for (std::size_t c = 0; c < 16; ++c) x[c] = 200.0F;
    check_statistics(x, s);
  });
}

TEST_CASE("batch statistics of a constant are exact; NaN and infinity show") {
  for_each_instruction_set([] {
    Floats x(300, 0.1F);
    Floats mean(3);
    Floats variance(3);
    x[3 * 70 + 1] = kNan;
    x[3 * 71 + 2] = std::numeric_limits<float>::infinity();
    cpu::batch_norm_statistics(x.data(), 100, 3, mean.data(), variance.data());
    CHECK(mean[0] == 0.1F);
    CHECK(variance[0] == 0.0F);
    CHECK(std::isnan(mean[1]));
    CHECK(std::isnan(variance[1]));
    CHECK(!std::isfinite(mean[2]));
    CHECK(std::isnan(variance[2]));
  });
}

TEST_CASE("the same thread count gives the same bits") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      const Shape s{3000, 65};
      const Floats x = normal(s.rows * s.channels, 54);
      Floats first;
      for (int repeat = 0; repeat < 3; ++repeat) {
        Floats result = floats(2 * s.channels);
        cpu::batch_norm_statistics(x.data(), s.rows, s.channels, result.data(),
                                   result.data() + s.channels);
        if (repeat == 0) first = result;
        CHECK(same(result, first));
      }
    });
  });
}

TEST_CASE("inverse deviation, scale and shift, running statistics") {
  const Floats variance{0.0F, 1.0F, 123.0F};
  const Floats mean{1.0F, -2.0F, 1e4F};
  const Floats gamma{0.5F, -1.5F, 2.0F};
  const Floats beta{0.25F, 0.0F, -3.0F};
  Floats inv_std(3);
  cpu::batch_norm_inverse_deviation(variance.data(), 1e-5F, inv_std.data(), 3);
  Floats scale(3);
  Floats shift(3);
  cpu::batch_norm_scale_shift(gamma.data(), beta.data(), mean.data(), inv_std.data(), scale.data(),
                              shift.data(), 3);
  Floats running_mean{0.0F, 1.0F, 2.0F};
  Floats running_variance{1.0F, 1.0F, 4.0F};
  cpu::batch_norm_update_running(mean.data(), variance.data(), 5, 0.1F, running_mean.data(),
                                 running_variance.data(), 3);
  const Floats old_mean{0.0F, 1.0F, 2.0F};
  const Floats old_variance{1.0F, 1.0F, 4.0F};
  for (std::size_t c = 0; c < 3; ++c) {
    const double deviation =
        1.0 / std::sqrt(static_cast<double>(variance[c]) + static_cast<double>(1e-5F));
    // Each is rounded once from double.
    CHECK(inv_std[c] == static_cast<float>(deviation));
    CHECK(scale[c] == static_cast<float>(static_cast<double>(gamma[c]) * inv_std[c]));
    CHECK(shift[c] == static_cast<float>(beta[c] - static_cast<double>(mean[c]) *
                                                       static_cast<double>(scale[c])));
    const double momentum = 0.1F;
    CHECK(
        running_mean[c] ==
        static_cast<float>(old_mean[c] + momentum * (static_cast<double>(mean[c]) - old_mean[c])));
    CHECK(running_variance[c] ==
          static_cast<float>(old_variance[c] + momentum * (variance[c] * 1.25 - old_variance[c])));
  }
  // One row has no unbiased variance: the biased one enters.
  cpu::batch_norm_update_running(mean.data(), variance.data(), 1, 1.0F, running_mean.data(),
                                 running_variance.data(), 3);
  CHECK(same(running_variance, variance));
}

TEST_CASE("affine: two roundings, in place too") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        const Floats x = normal(s.rows * s.channels, 55);
        const Floats scale = normal(s.channels, 56);
        const Floats shift = normal(s.channels, 57);
        Doubles expected;
        Doubles magnitude;
        for (std::size_t i = 0; i < x.size(); ++i) {
          const std::size_t c = i % scale.size();
          const double product = static_cast<double>(x[i]) * static_cast<double>(scale[c]);
          expected.push_back(product + static_cast<double>(shift[c]));
          magnitude.push_back(std::abs(product) + std::abs(expected.back()));
        }
        Floats y(x.size());
        cpu::batch_norm_affine(x.data(), scale.data(), shift.data(), y.data(), s.rows, s.channels);
        check_within(y, expected, [&](std::size_t i) { return kRounding * magnitude[i]; });
        Floats in_place = x;
        cpu::batch_norm_affine(in_place.data(), scale.data(), shift.data(), in_place.data(), s.rows,
                               s.channels);
        CHECK(same(in_place, y));
      }
    });
  });
}

TEST_CASE("backward: parameter and data gradients, in place too") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        CAPTURE(s.rows);
        CAPTURE(s.channels);
        const Floats x = normal(s.rows * s.channels, 58, 3.0F);
        const Floats dy = normal(s.rows * s.channels, 59, 0.25F);
        const Floats mean = normal(s.channels, 60, 3.0F, 0.1F);
        const Floats inv_std = normal(s.channels, 61, 1.0F, 0.1F);
        const Floats gamma = normal(s.channels, 62);
        const Doubles g(dy.begin(), dy.end());
        Floats dgamma = floats(s.channels);
        Floats dbeta = floats(s.channels);
        cpu::batch_norm_backward_reduce(x.data(), dy.data(), mean.data(), inv_std.data(), s.rows,
                                        s.channels, dgamma.data(), dbeta.data());
        check_parameter_gradients(dgamma, dbeta, parameter_gradients(x, g, mean, inv_std));
        const DataGradients expected = data_gradients(x, g, gamma, mean, inv_std, dgamma, dbeta);
        const auto backward = [&](const Floats& from, const Floats& gradient, Floats& dx) {
          cpu::batch_norm_backward_data(from.data(), gradient.data(), gamma.data(), mean.data(),
                                        inv_std.data(), dgamma.data(), dbeta.data(), dx.data(),
                                        s.rows, s.channels);
        };
        Floats dx(x.size());
        backward(x, dy, dx);
        check_data_gradients(dx, expected);
        Floats over_x = x;
        backward(over_x, dy, over_x);
        CHECK(same(over_x, dx));
        Floats over_dy = dy;
        backward(x, over_dy, over_dy);
        CHECK(same(over_dy, dx));
      }
    });
  });
}

// sum dy * (x - mean(x)) / sqrt(variance(x) + epsilon) * gamma, for one channel.
double objective(const Floats& x, const Floats& dy, double gamma, double epsilon, std::size_t moved,
                 double by) {
  Doubles values(x.begin(), x.end());
  values[moved] += by;
  const auto n = static_cast<double>(values.size());
  double mean = 0.0;
  double variance = 0.0;
  for (const double value : values) mean += value / n;
  for (const double value : values) variance += (value - mean) * (value - mean) / n;
  double total = 0.0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    total +=
        static_cast<double>(dy[i]) * (values[i] - mean) / std::sqrt(variance + epsilon) * gamma;
  }
  return total;
}

TEST_CASE("backward is the derivative of the forward pass, statistics included") {
  for_each_instruction_set([] {
    const Floats x = normal(12, 63, 2.0F);
    const Floats dy = normal(12, 64);
    const float gamma = 0.75F;
    const float epsilon = 1e-2F;
    float mean = 0.0F;
    float variance = 0.0F;
    float inv_std = 0.0F;
    float dgamma = 0.0F;
    float dbeta = 0.0F;
    Floats dx(12);
    cpu::batch_norm_statistics(x.data(), 12, 1, &mean, &variance);
    cpu::batch_norm_inverse_deviation(&variance, epsilon, &inv_std, 1);
    cpu::batch_norm_backward_reduce(x.data(), dy.data(), &mean, &inv_std, 12, 1, &dgamma, &dbeta);
    cpu::batch_norm_backward_data(x.data(), dy.data(), &gamma, &mean, &inv_std, &dgamma, &dbeta,
                                  dx.data(), 12, 1);
    Doubles expected;
    const double h = 1e-5;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const auto at = [&](double by) {
        return objective(x, dy, static_cast<double>(gamma), static_cast<double>(epsilon), i, by);
      };
      expected.push_back((at(h) - at(-h)) / (2.0 * h));
    }
    // h^2 and 1e-16 / h are below 1e-9; what is left is f32: inputs and terms of order 1, each
    // with the roundings of a twelve-term sum.
    check_within(dx, expected, [](std::size_t) { return 32 * kRounding; });
  });
}

}  // namespace
}  // namespace protolith::test
