// The comparison of the kernels' tests, on the CPU and on the emulated device.
#pragma once

#include <doctest/doctest.h>

#include <vector>

#include "tests/reference/array.h"

namespace protolith::test {

/// Checks |actual[i] - expected[i]| <= bound(i) for all i, NaN where NaN is expected, and reports
/// the worst.
template <class Bound>
void check_within(const std::vector<float>& actual, const std::vector<double>& expected,
                  Bound bound) {
  REQUIRE(!actual.empty());
  REQUIRE(actual.size() == expected.size());
  const reference::Worst worst = reference::worst_of(actual, expected, bound);
  CAPTURE(worst.where);
  CAPTURE(actual[worst.where]);
  CAPTURE(expected[worst.where]);
  CHECK(worst.ratio <= 1.0);
}

}  // namespace protolith::test
