// The comparisons that the kernels' tests rest on.
#include <doctest/doctest.h>

#include <limits>

#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST_CASE("the worst of a comparison is found wherever it is, a NaN too") {
  const std::vector<double> want{1.0, 2.0, 3.0};
  const auto worst = [&](const Floats& got) {
    return reference::worst_of(got, want, [](std::size_t) { return 0.5; });
  };
  CHECK(worst({1, 2, 3}).ratio == 0.0);
  CHECK(worst({1, 2.25F, 3.125F}).ratio == doctest::Approx(0.5));
  CHECK(worst({1, 2.25F, 3.125F}).where == 1);
  for (std::size_t place = 0; place < want.size(); ++place) {
    Floats got{1.125F, 2.125F, 3.125F};
    got[place] = kNan;
    CHECK(worst(got).ratio == kInfinity);
    CHECK(worst(got).where == place);
    got[place] = static_cast<float>(kInfinity);
    CHECK(worst(got).ratio == kInfinity);
    CHECK(worst(got).where == place);
  }
}

TEST_CASE("NaN and infinity where they are wanted are right, and leave the others' errors alone") {
  const auto infinity = static_cast<float>(kInfinity);
  const std::vector<double> want{kNan, kInfinity, 1.0};
  const auto exact = [](std::size_t) { return 0.0; };
  CHECK(reference::worst_of(Floats{kNan, infinity, 1}, want, exact).ratio == 0.0);
  CHECK(reference::worst_of(Floats{kNan, -infinity, 1}, want, exact).ratio == kInfinity);
  CHECK(reference::worst_of(Floats{1, infinity, 1}, want, exact).ratio == kInfinity);

  CHECK(relative_error(Floats{kNan, infinity, 1}, want) == 0.0);
  CHECK(relative_error(Floats{kNan, infinity, 1.5F}, want) == 0.5);
  CHECK(relative_error(Floats{kNan, -infinity, 1}, want) == kInfinity);
  CHECK(relative_error(Floats{kNan, 1, 1}, want) == kInfinity);
  CHECK(relative_error(Floats{1, infinity, 1}, want) == kInfinity);
  CHECK(relative_error(Floats{1}, want) == kInfinity);
}

}  // namespace
}  // namespace protolith::test
