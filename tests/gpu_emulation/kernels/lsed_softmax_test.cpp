#include "kernels/cuda/lsed_softmax.h"

#include <algorithm>
#include <bit>

#include "tests/gpu_emulation/kernels/same.h"
#include "tests/gpu_emulation/kernels/support.h"
#include "tests/reference/loss.h"

namespace protolith::test {
namespace {

using Floats = std::vector<float>;
using Labels = std::vector<std::int32_t>;

struct Metric {
  float threshold = 0.0F, slope = 1.0F, gradient_scale = 1.0F;
};

struct Outputs {
  Floats loss, hit, gradient, leaky, leaky_gradient;
};

constexpr int kAll = 31;  // a bit for each output, in the order of Outputs

Outputs run(const Floats& distances, const Labels& labels, Metric metric, int wanted = kAll,
            int skew = 0) {
  const auto rows = static_cast<std::int64_t>(labels.size());
  const auto elements = static_cast<std::int64_t>(distances.size());
  const DeviceArray<float> d(distances, skew);
  const DeviceArray<std::int32_t> y(labels);
  DeviceArray<float> loss(rows, skew), hit(rows, skew), gradient(elements, skew),
      leaky(elements, skew), leaky_gradient(elements, skew);
  const auto output = [&](int bit, DeviceArray<float>& array) {
    return (wanted >> bit & 1) != 0 ? array.data() : nullptr;
  };
  cuda::lsed_softmax({d.data(), y.data(), rows, elements / rows, metric.threshold, metric.slope,
                      metric.gradient_scale, output(0, loss), output(1, hit), output(2, gradient),
                      output(3, leaky), output(4, leaky_gradient)},
                     nullptr);
  return {loss.values(), hit.values(), gradient.values(), leaky.values(), leaky_gradient.values()};
}

// Non-negative distances and labels that are right about every third time.
struct Episode {
  Episode(std::size_t rows, std::size_t classes, float scale)
      : distances(normal(static_cast<std::int64_t>(rows * classes), 111, 0.0F, scale)) {
    for (float& d : distances) d = std::abs(d);
    for (std::size_t row = 0; row < rows; ++row) {
      const auto first = distances.begin() + static_cast<std::ptrdiff_t>(row * classes);
      const auto nearest = std::min_element(first, first + static_cast<std::ptrdiff_t>(classes));
      const std::size_t label =
          row % 3 == 1 ? static_cast<std::size_t>(nearest - first) : row * 37 % classes;
      labels.push_back(static_cast<std::int32_t>(label));
    }
  }
  Floats distances;
  Labels labels;
};

// One row's softmax over -leaky in double, and its error bounds, both from the kernel's own f32
// leaky distances. In roundings (2^-24): the exponent -a is rounded, which moves exp(-a) by a; the
// exponential's and the logarithm's own errors, of 1 ulp each, are kFunction = 2; a sum of n f32
// numbers that are not negative takes at most n - 1.
struct Row {
  static constexpr double kFunction = 2;

  Row(const float* values, std::size_t classes, std::size_t row_label) : label(row_label) {
    double nearest = std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < classes; ++j) nearest = std::min(nearest, wide(values[j]));
    for (std::size_t j = 0; j < classes; ++j) {
      const double a = wide(values[j]) - nearest;
      weights.push_back(std::exp(-a));
      weight_bounds.push_back(a == 0.0 ? 0.0 : kRounding * (a + kFunction) * weights[j] + 0x1p-149);
      if (j == label) continue;
      others += weights[j];
      others_bound += weight_bounds[j];
    }
    others_bound += kRounding * additions(classes) * others;
    const double own = weights[label];
    total = own + others;
    total_bound = others_bound + weight_bounds[label];
    margin = wide(values[label]) - nearest;
    // log1p's argument is others + (own - 1).
    log_bound = (total_bound + kRounding * (1.0 - own + (total - 1.0))) / total;
  }
  static double wide(float value) { return static_cast<double>(value); }
  // The longest chain of additions: a thread's own share, then over lanes (and warps).
  static double additions(std::size_t classes) {
    if (classes > 1024) return std::ceil(static_cast<double>(classes) / 256) + 5 + 7;
    return static_cast<double>(std::bit_ceil((classes + 31) / 32) + 5);
  }

  double loss() const {
    // Where the label is nearest, the total is 1 + others: log1p keeps what exceeds 1.
    return margin == 0.0 ? std::log1p(others) : margin + std::log(total);
  }
  double loss_bound() const {
    return log_bound + kRounding * (margin + kFunction * (loss() - margin) + loss());
  }
  double gradient(std::size_t j) const { return (j == label ? others : -weights[j]) / total; }
  double gradient_bound(std::size_t j) const {
    const double own = j == label ? others_bound : weight_bounds[j];
    // The total, its inverse and the product are rounded.
    return own / total + std::abs(gradient(j)) * (total_bound / total + 3 * kRounding);
  }

  std::size_t label;
  std::vector<double> weights, weight_bounds;
  double total = 0.0, total_bound = 0.0, others = 0.0, others_bound = 0.0, margin = 0.0;
  double log_bound = 0.0;
};

void check_rows(const Episode& e, const Outputs& o, const Metric& metric) {
  const std::size_t rows = e.labels.size();
  const std::size_t classes = e.distances.size() / rows;
  const reference::Leaky leaky{metric.threshold, metric.slope};
  std::vector<double> loss, loss_bound, own, own_bound, chained;
  Floats hit;
  for (std::size_t row = 0; row < rows; ++row) {
    const float* values = o.leaky.data() + row * classes;
    const Row r(values, classes, static_cast<std::size_t>(e.labels[row]));
    loss.push_back(r.loss());
    loss_bound.push_back(r.loss_bound());
    hit.push_back(std::min_element(values, values + classes) == values + r.label ? 1.0F : 0.0F);
    for (std::size_t j = 0; j < classes; ++j) {
      own.push_back(r.gradient(j));
      own_bound.push_back(r.gradient_bound(j));
      chained.push_back(r.gradient(j) * static_cast<double>(metric.gradient_scale) *
                        leaky.derivative(Row::wide(e.distances[row * classes + j])));
    }
  }
  CHECK(same(o.hit, hit));
  check_within(o.loss, loss, [&](std::size_t i) { return loss_bound[i]; });
  check_within(o.leaky_gradient, own, [&](std::size_t i) { return own_bound[i]; });
  check_within(o.gradient, chained, [&](std::size_t i) {
    const double factor = own[i] == 0.0 ? 1.0 : std::abs(chained[i] / own[i]);
    return own_bound[i] * factor + 2 * kRounding * std::abs(chained[i]);
  });
}

TEST_CASE("loss kernel: loss, hit and gradients against the definition in double") {
  // Around every width of the kernel, a warp's and a block's.
  for (const std::size_t classes :
       {1U, 2U, 5U, 31U, 32U, 33U, 60U, 64U, 65U, 129U, 257U, 512U, 1023U, 1024U, 1025U, 2311U}) {
    const std::size_t rows = classes > 500 ? 3 : 9;
    for (const float scale : {0.1F, 3.0F, 300.0F}) {
      for (const Metric& metric : {Metric{0.0F, 1.0F, 1.0F}, Metric{0.0F, 0.01F, 0.25F},
                                   Metric{4.0F, 0.01F, 0.1F}, Metric{2.5F, 0.3F, 1.0F}}) {
        CAPTURE(classes);
        CAPTURE(scale);
        const Episode e(rows, classes, scale);
        std::vector<double> expected;
        const reference::Leaky leaky{metric.threshold, metric.slope};
        for (const float d : e.distances) expected.push_back(leaky(Row::wide(d)));
        for_each_order([&] {
          const Outputs o = run(e.distances, e.labels, metric, kAll, classes % 2 == 0 ? 1 : 0);
          // Product, sum and the constant threshold * (1 - slope), none larger than the result.
          check_within(o.leaky, expected,
                       [&](std::size_t i) { return 3 * kRounding * expected[i]; });
          check_rows(e, o, metric);
        });
      }
    }
  }
}

TEST_CASE("loss kernel: an output does not depend on which others are asked for") {
  for (const std::size_t classes : {5U, 60U, 1100U}) {
    const Episode e(3, classes, 30.0F);
    const Metric metric{4.0F, 0.01F, 0.5F};
    const Outputs all = run(e.distances, e.labels, metric);
    for (int wanted = 1; wanted < kAll; wanted += 2) {
      const Outputs some = run(e.distances, e.labels, metric, wanted);
      const auto pairs = {std::pair(&all.loss, &some.loss), std::pair(&all.hit, &some.hit),
                          std::pair(&all.gradient, &some.gradient),
                          std::pair(&all.leaky, &some.leaky),
                          std::pair(&all.leaky_gradient, &some.leaky_gradient)};
      int bit = 0;
      for (const auto& [expected, actual] : pairs) {
        CHECK(
            same(*actual, (wanted >> bit++ & 1) != 0 ? *expected : Floats(expected->size(), kNan)));
      }
    }
  }
}

TEST_CASE("loss kernel: slope 1 is SED bit for bit, and threshold 0 a temperature") {
  const Episode e(30, 20, 30.0F);
  const Outputs sed = run(e.distances, e.labels, {0.0F, 1.0F, 1.0F});
  CHECK(same(sed.leaky, e.distances));
  for (const float threshold : {0.1F, 4.0F, 1000.0F}) {
    const Outputs other = run(e.distances, e.labels, {threshold, 1.0F, 1.0F});
    CHECK(same(other.leaky, sed.leaky));
    CHECK(same(other.loss, sed.loss));
    CHECK(same(other.gradient, sed.gradient));
  }
  const Outputs lsed = run(e.distances, e.labels, {0.0F, 0.01F, 1.0F});
  Floats divided;
  for (const float d : e.distances) divided.push_back(d * 0.01F);
  CHECK(same(lsed.leaky, divided));
  const Outputs softened = run(divided, e.labels, {0.0F, 1.0F, 1.0F});
  CHECK(same(lsed.loss, softened.loss));
  CHECK(same(lsed.leaky_gradient, softened.gradient));
}

TEST_CASE(
    "loss kernel: with threshold 0 the slope holds at d = 0, with a threshold it is 1 there") {
  const Floats d{0.0F, 4.0F, 5.0F};
  const Outputs zero = run(d, {1}, {0.0F, 0.5F, 1.0F});
  // At d = 0 too, unlike eq. 6 with its strict 0 < d <= s and s = 0 read literally.
  CHECK(zero.gradient[0] == 0.5F * zero.leaky_gradient[0]);
  const Outputs four = run(d, {1}, {4.0F, 0.5F, 1.0F});
  CHECK(four.gradient[0] == four.leaky_gradient[0]);
  CHECK(four.gradient[1] == four.leaky_gradient[1]);  // d = threshold is the first case
  CHECK(four.gradient[2] == 0.5F * four.leaky_gradient[2]);
  CHECK(same(four.leaky, Floats{0.0F, 4.0F, 4.5F}));
}

TEST_CASE("loss kernel: a confident row keeps its small loss and gradient") {
  // loss = log1p(exp(-a)), gradient = exp(-a) / (1 + exp(-a)): a scan of the exponential.
  std::vector<double> expected, loss, shares;
  Floats distances, gradient;
  for (int i = 0; i < 1000; ++i) {
    const float a = 0.08F * static_cast<float>(i);
    distances.push_back(0.0F);
    distances.push_back(a);
    expected.push_back(std::exp(-static_cast<double>(a)));
    loss.push_back(std::log1p(expected.back()));
    shares.push_back(expected.back() / (1.0 + expected.back()));
  }
  const Outputs o = run(distances, Labels(expected.size(), 0), {});
  for (std::size_t i = 0; i < expected.size(); ++i) gradient.push_back(o.gradient[2 * i]);
  // Here the exponent is exact: the functions' own errors, and one rounding or three.
  check_within(o.loss, loss,
               [&](std::size_t i) { return (2 * Row::kFunction + 1) * kRounding * expected[i]; });
  check_within(gradient, shares,
               [&](std::size_t i) { return (Row::kFunction + 3) * kRounding * shares[i]; });
}

TEST_CASE("loss kernel: only the first of equal nearest classes is a hit") {
  for (const std::size_t classes : {4U, 70U, 1500U}) {
    Floats row(classes, 3.0F);
    row[1] = row[2] = row[classes - 1] = 1.0F;
    const auto hit = [&](std::size_t label) {
      return run(row, {static_cast<std::int32_t>(label)}, {}).hit[0];
    };
    CHECK(hit(0) == 0.0F);
    CHECK(hit(1) == 1.0F);
    CHECK(hit(2) == 0.0F);
    CHECK(hit(classes - 1) == 0.0F);
  }
}

TEST_CASE("loss kernel: one class is certain, no loss, no gradient") {
  const Outputs o = run({7.0F, 0.0F}, {0, 0}, {});
  CHECK(same(o.loss, {0.0F, 0.0F}));
  CHECK(same(o.hit, {1.0F, 1.0F}));
  CHECK(same(o.gradient, {0.0F, 0.0F}));
}

// Checks that row 1 of 3 is NaN without a hit, and the others as in `clean`.
void check_spoilt(const Outputs& clean, const Outputs& o, std::size_t classes) {
  for (std::size_t row = 0; row < 3; ++row) {
    CHECK(same(o.loss[row], row == 1 ? kNan : clean.loss[row]));
    CHECK(same(o.hit[row], row == 1 ? 0.0F : clean.hit[row]));
    for (std::size_t i = row * classes; i < (row + 1) * classes; ++i) {
      REQUIRE(same(o.gradient[i], row == 1 ? kNan : clean.gradient[i]));
      REQUIRE(same(o.leaky_gradient[i], row == 1 ? kNan : clean.leaky_gradient[i]));
    }
  }
}

TEST_CASE("loss kernel: a NaN or a label that is no class spoils its row and no other") {
  for (const Metric& metric : {Metric{}, Metric{0.0F, 0.01F, 1.0F}, Metric{4.0F, 0.01F, 1.0F}}) {
    for (const std::size_t classes : {1U, 5U, 60U, 1030U}) {
      const Episode e(3, classes, 3.0F);
      const Outputs clean = run(e.distances, e.labels, metric);
      for (std::size_t where = 0; where < classes; where += classes / 7 + 1) {
        CAPTURE(where);
        Floats distances = e.distances;
        distances[classes + where] = kNan;
        check_spoilt(clean, run(distances, e.labels, metric), classes);
      }
      for (const std::int32_t label :
           {-1, static_cast<std::int32_t>(classes), std::numeric_limits<std::int32_t>::max(),
            std::numeric_limits<std::int32_t>::min()}) {
        CAPTURE(label);
        const Outputs o = run(e.distances, {e.labels[0], label, e.labels[2]}, metric);
        check_spoilt(clean, o, classes);
        CHECK(same(o.leaky, clean.leaky));
      }
    }
  }
}

TEST_CASE("loss kernel: infinite distances") {
  const float infinity = std::numeric_limits<float>::infinity();
  // A class that is infinitely far has no weight; a label there has an infinite loss.
  const Outputs far = run({1.0F, infinity, 1.0F, infinity}, {0, 1}, {});
  CHECK(same(far.loss, {0.0F, infinity}));
  CHECK(same(far.gradient, {0.0F, -0.0F, -1.0F, 1.0F}));
  // No class at a finite distance, or one at minus infinity: undefined.
  CHECK(same(run({infinity, infinity}, {0}, {}).loss, {kNan}));
  CHECK(same(run({-infinity, 0.0F}, {0}, {}).loss, {kNan}));
}

TEST_CASE("loss kernel: traffic counts what is asked for") {
  float f = 0.0F;
  const cuda::LsedSoftmax all{&f, nullptr, 75, 5, 0.0F, 1.0F, 1.0F, &f, &f, &f, &f, &f};
  CHECK(cuda::lsed_softmax_traffic(all).read == 4 * (375 + 75));
  CHECK(cuda::lsed_softmax_traffic(all).written == 4 * (3 * 375 + 2 * 75));
}

}  // namespace
}  // namespace protolith::test
