#include "models/classification.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "engine/backend.h"

namespace protolith {

TEST_CASE("prototypes are means of runs of rows of any length") {
  const auto backend = make_cpu_backend();
  const std::vector<float> rows = {1, 2, 3, 4, 5, 9, 7, -2, 0, 0, 2, 1};  // [6, 2]
  const Tensor support = Tensor::of<float>({rows.data(), rows.size()}, {6, 2});
  const std::vector<std::int64_t> shots = {1, 3, 2};
  const Tensor means = backend->to_host(prototypes(*backend, support, shots));
  REQUIRE(means.shape() == Shape{3, 2});
  const std::vector<float> expected = {1, 2, 5, 11.0F / 3, 1, 0.5F};
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CHECK(means.host_span<float>()[i] == doctest::Approx(expected[i]));
  }
  for (const std::vector<std::int64_t>& wrong :
       {std::vector<std::int64_t>{1, 3}, {3, 4}, {0, 6}, {6, 0}}) {
    CHECK_THROWS_AS(prototypes(*backend, support, wrong), Error);
  }
}

TEST_CASE("probabilities are the softmax of minus the metric's distances") {
  const std::vector<float> d = {3, 12, 5};
  const auto expected = [&](auto leaky) {
    std::vector<double> p;
    double sum = 0;
    for (const float x : d) sum += std::exp(-leaky(static_cast<double>(x)));
    for (const float x : d) p.push_back(std::exp(-leaky(static_cast<double>(x))) / sum);
    return p;
  };
  const auto check = [&](const char* metric, const std::vector<double>& p) {
    CAPTURE(metric);
    const std::vector<double> actual = class_probabilities(d, Metric::parse(metric));
    REQUIRE(actual.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(actual[i] == doctest::Approx(p[i]).epsilon(1e-6));
  };
  check("sed", expected([](double x) { return x; }));
  check("lsed:4:0.1", expected([](double x) { return x <= 4 ? x : 4 + 0.1 * (x - 4); }));
  check("lsed:0:0.25", expected([](double x) { return 0.25 * x; }));
  check("temperature:8", expected([](double x) { return x / 8; }));

  // Distances whose exponentials all vanish.
  const std::vector<float> far = {3e4F, 2e4F, 4e4F};
  const std::vector<double> p = class_probabilities(far, Metric{});
  CHECK(p == std::vector<double>{0, 1, 0});
  CHECK(class_probabilities(far, Metric::parse("lsed:0:0")) == std::vector<double>(3, 1.0 / 3));
}

}  // namespace protolith
