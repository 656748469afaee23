#include "kernels/cpu/lsed_softmax.h"

#include <algorithm>

#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

using Labels = std::vector<std::int32_t>;

struct Outputs {
  Floats loss, hit, gradient, leaky, leaky_gradient;
};

struct Metric {
  float threshold = 0.0F;
  float slope = 1.0F;
  float gradient_scale = 1.0F;
};

Outputs run(const Floats& distances, const Labels& labels, Metric metric) {
  const std::size_t rows = labels.size();
  const auto all = [&] { return Floats(distances.size(), 777.0F); };
  Outputs o{Floats(rows, 777.0F), Floats(rows, 777.0F), all(), all(), all()};
  const auto count = static_cast<std::int64_t>(rows);
  cpu::lsed_softmax({distances.data(), labels.data(), count,
                     static_cast<std::int64_t>(distances.size()) / count, metric.threshold,
                     metric.slope, metric.gradient_scale, o.loss.data(), o.hit.data(),
                     o.gradient.data(), o.leaky.data(), o.leaky_gradient.data()});
  return o;
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
          row % 3 == 0 ? static_cast<std::size_t>(nearest - first) : row % classes;
      labels.push_back(static_cast<std::int32_t>(label));
    }
  }
  Floats distances;
  Labels labels;
};

double leaky(double d, const Metric& m) {
  const double s = m.threshold;
  return s != 0.0 && d <= s ? d : s + (d - s) * static_cast<double>(m.slope);
}
double leaky_slope(double d, const Metric& m) {
  return m.threshold != 0.0F && d <= static_cast<double>(m.threshold)
             ? 1.0
             : static_cast<double>(m.slope);
}

// One row's softmax over -leaky in double, and its error bound, both from the kernel's own f32
// leaky distances. In roundings: the exponent -a is rounded, which moves exp(-a) by a, the
// exponential itself by kExp.
struct Row {
  static constexpr double kExp = 2;

  Row(const float* values, std::size_t classes, std::size_t row_label) : label(row_label) {
    double nearest = std::numeric_limits<double>::infinity();
    for (std::size_t j = 0; j < classes; ++j) nearest = std::min(nearest, wide(values[j]));
    for (std::size_t j = 0; j < classes; ++j) {
      const double a = wide(values[j]) - nearest;
      weights.push_back(std::exp(-a));
      weight_bounds.push_back(kRounding * (a + kExp) * weights[j] + 0x1p-149);
      total += weights[j];
      total_bound += weight_bounds[j];
      if (j != label) others += weights[j];
      if (j != label) others_bound += weight_bounds[j];
    }
    margin = wide(values[label]) - nearest;
  }
  static double wide(float value) { return static_cast<double>(value); }

  double loss() const {
    // Where the label is nearest, the total is 1 + others: log1p keeps what exceeds 1.
    return margin == 0.0 ? std::log1p(others) : margin + std::log(total);
  }
  double loss_bound() const { return total_bound / total + kRounding * loss(); }
  double gradient(std::size_t j) const { return (j == label ? others : -weights[j]) / total; }
  double gradient_bound(std::size_t j) const {
    const double own = j == label ? others_bound : weight_bounds[j];
    // The factor 1 / total and the product are rounded, the label's weight once more.
    return own / total + std::abs(gradient(j)) * (total_bound / total + 3 * kRounding);
  }

  std::size_t label;
  std::vector<double> weights, weight_bounds;
  double total = 0.0, total_bound = 0.0, others = 0.0, others_bound = 0.0, margin = 0.0;
};

void check_rows(const Episode& e, const Outputs& o, const Metric& metric) {
  const std::size_t rows = e.labels.size();
  const std::size_t classes = e.distances.size() / rows;
  std::vector<double> loss;
  std::vector<double> loss_bound;
  std::vector<double> own;
  std::vector<double> own_bound;
  std::vector<double> chained;
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
                        leaky_slope(Row::wide(e.distances[row * classes + j]), metric));
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

TEST_CASE("loss, hit and gradients against the definition in double") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const std::size_t classes : {1U, 2U, 5U, 16U, 17U, 60U, 64U, 65U, 129U}) {
        for (const float scale : {0.1F, 3.0F, 300.0F}) {
          for (const Metric& metric : {Metric{0.0F, 1.0F, 1.0F}, Metric{0.0F, 0.01F, 0.25F},
                                       Metric{4.0F, 0.01F, 0.1F}, Metric{2.5F, 0.3F, 1.0F}}) {
            CAPTURE(classes);
            CAPTURE(scale);
            const Episode e(41, classes, scale);
            const Outputs o = run(e.distances, e.labels, metric);
            std::vector<double> expected;
            for (const float d : e.distances) expected.push_back(leaky(Row::wide(d), metric));
            // Product, sum and the constant threshold * (1 - slope), none larger than the result.
            check_within(o.leaky, expected,
                         [&](std::size_t i) { return 3 * kRounding * expected[i]; });
            check_rows(e, o, metric);
          }
        }
      }
    });
  });
}

TEST_CASE("slope 1 is SED bit for bit, and threshold 0 a temperature") {
  for_each_instruction_set([] {
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
    for (const float d : e.distances) divided.push_back(d * (1.0F / 100.0F));
    CHECK(same(lsed.leaky, divided));
    const Outputs softened = run(divided, e.labels, {0.0F, 1.0F, 1.0F});
    CHECK(same(lsed.loss, softened.loss));
    CHECK(same(lsed.leaky_gradient, softened.gradient));
    // Every distance beyond the threshold: constants cancel, to the rounding of the distances.
    Floats beyond = e.distances;
    for (float& d : beyond) d += 4.0F;
    const Outputs shifted = run(beyond, e.labels, {4.0F, 0.01F, 1.0F});
    const Outputs plain = run(beyond, e.labels, {0.0F, 0.01F, 1.0F});
    const std::vector<double> expected(plain.loss.begin(), plain.loss.end());
    // Distances reach 4 + 1.3, rounded three times each; a loss moves by the largest difference of
    // two, and is rounded itself.
    check_within(shifted.loss, expected, [&](std::size_t i) {
      return kRounding * (6 * 5.3 + 2 * 1.3 + 4 * expected[i] + 4);
    });
  });
}

TEST_CASE("with threshold 0 the slope holds at d = 0, with a threshold it is 1 there") {
  for_each_instruction_set([] {
    const Floats d{0.0F, 4.0F, 5.0F};
    const Outputs zero = run(d, {1}, {0.0F, 0.5F, 1.0F});
    CHECK(zero.gradient[0] == 0.5F * zero.leaky_gradient[0]);
    const Outputs four = run(d, {1}, {4.0F, 0.5F, 1.0F});
    CHECK(four.gradient[0] == four.leaky_gradient[0]);
    CHECK(four.gradient[1] == four.leaky_gradient[1]);  // d = threshold is the first case
    CHECK(four.gradient[2] == 0.5F * four.leaky_gradient[2]);
    CHECK(same(four.leaky, Floats{0.0F, 4.0F, 4.5F}));
  });
}

TEST_CASE("a confident row keeps its small loss and gradient") {
  for_each_instruction_set([] {
    // loss = log1p(exp(-a)), gradient = exp(-a) / (1 + exp(-a)): a scan of the exponential.
    std::vector<double> expected;
    Floats distances;
    for (int i = 0; i < 4000; ++i) {
      const float a = 0.02F * static_cast<float>(i);
      distances.push_back(0.0F);
      distances.push_back(a);
      expected.push_back(std::exp(-static_cast<double>(a)));
    }
    const Labels labels(expected.size(), 0);
    const Outputs o = run(distances, labels, {});
    std::vector<double> loss;
    Floats gradient;
    std::vector<double> shares;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      loss.push_back(std::log1p(expected[i]));
      shares.push_back(expected[i] / (1.0 + expected[i]));
      gradient.push_back(o.gradient[2 * i]);
    }
    // Here the exponent is exact: the exponential's own error, and one or three roundings.
    check_within(o.loss, loss,
                 [&](std::size_t i) { return (Row::kExp + 1) * kRounding * expected[i]; });
    check_within(gradient, shares,
                 [&](std::size_t i) { return (Row::kExp + 3) * kRounding * shares[i]; });
  });
}

TEST_CASE("hit: only the first of equal nearest classes counts") {
  for_each_instruction_set([] {
    const Floats row{2.0F, 1.0F, 1.0F, 3.0F};
    const auto hit = [&](std::int32_t label) { return run(row, {label}, {}).hit[0]; };
    CHECK(hit(0) == 0.0F);
    CHECK(hit(1) == 1.0F);
    CHECK(hit(2) == 0.0F);
    CHECK(hit(3) == 0.0F);
  });
}

TEST_CASE("one class: certain, no loss, no gradient") {
  for_each_instruction_set([] {
    const Outputs o = run({7.0F, 0.0F}, {0, 0}, {});
    for (std::size_t row = 0; row < 2; ++row) {
      CHECK(o.loss[row] == 0.0F);
      CHECK(o.hit[row] == 1.0F);
      CHECK(o.gradient[row] == 0.0F);
    }
  });
}

TEST_CASE("a NaN anywhere spoils its row, no hit, and no other row") {
  for_each_instruction_set([] {
    for (const Metric& metric : {Metric{}, Metric{0.0F, 0.01F, 1.0F}, Metric{4.0F, 0.01F, 1.0F}}) {
      for (const std::size_t classes : {1U, 5U, 60U}) {
        const Episode e(3, classes, 3.0F);
        const Outputs clean = run(e.distances, e.labels, metric);
        for (std::size_t where = 0; where < classes; ++where) {
          Floats distances = e.distances;
          distances[classes + where] = kNan;
          const Outputs o = run(distances, e.labels, metric);
          CHECK(o.hit[1] == 0.0F);
          CHECK(std::isnan(o.loss[1]));
          CHECK(std::isnan(o.leaky[classes + where]));
          const auto nan = [&](const Floats& values) {
            const float* row = values.data() + classes;
            return std::all_of(row, row + classes, [](float v) { return std::isnan(v); });
          };
          CHECK(nan(o.gradient));
          CHECK(nan(o.leaky_gradient));
          CHECK(o.loss[0] == clean.loss[0]);
          CHECK(o.loss[2] == clean.loss[2]);
        }
      }
    }
  });
}

TEST_CASE("infinite distances: impossible classes; a row of nothing else is NaN") {
  for_each_instruction_set([] {
    const float infinity = std::numeric_limits<float>::infinity();
    const Outputs o = run({1.0F, infinity, infinity, infinity}, {0, 0}, {});
    CHECK(o.loss[0] == 0.0F);
    CHECK(o.gradient[1] == 0.0F);
    CHECK(std::isnan(o.loss[1]));
    CHECK(std::isnan(o.gradient[2]));
    CHECK(run({1.0F, infinity}, {1}, {}).loss[0] == infinity);
  });
}

TEST_CASE("outputs that are not asked for do not change the others") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      const Episode e(500, 60, 30.0F);
      const Outputs all = run(e.distances, e.labels, {4.0F, 0.01F, 1.0F});
      Floats loss(e.labels.size());
      Floats gradient(e.distances.size());
      cpu::LsedSoftmax arguments{
          e.distances.data(), e.labels.data(), 500,     60,      4.0F,   0.01F, 1.0F,
          loss.data(),        nullptr,         nullptr, nullptr, nullptr};
      cpu::lsed_softmax(arguments);
      CHECK(same(loss, all.loss));
      arguments.gradient = gradient.data();
      cpu::lsed_softmax(arguments);
      CHECK(same(gradient, all.gradient));
    });
  });
}

}  // namespace
}  // namespace protolith::test
