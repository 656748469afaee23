// What the tests of the pooling kernels share: shapes and conversions to the reference's types.
#pragma once

#include "kernels/image_extents.h"
#include "tests/gpu_emulation/kernels/support.h"
#include "tests/reference/activation.h"

namespace protolith::test {

/// One window, odd and even heights and widths, one channel, packs of four, more channels than a
/// block has threads across, and more than one tile.
inline constexpr ImageExtents kPoolShapes[] = {{1, 2, 2, 1},    {1, 2, 3, 4},   {2, 3, 2, 3},
                                               {1, 5, 7, 5},    {3, 4, 5, 64},  {5, 7, 7, 64},
                                               {4, 21, 16, 65}, {1, 3, 3, 131}, {1, 2, 5, 516}};

inline reference::Extents reference_extents(const ImageExtents& e) {
  return {e.images, e.height, e.width, e.channels};
}
inline std::int64_t elements(const ImageExtents& e) {
  return reference_extents(e).elements();
}
inline std::int64_t pooled_elements(const ImageExtents& e) {
  return reference::pooled(reference_extents(e)).elements();
}
inline reference::Array doubles(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

/// Values of which many are equal, zero or of either sign, and a tenth NaN: often several a window.
inline std::vector<float> ties_and_nans(std::int64_t count, unsigned seed) {
  std::vector<float> x = quarters(count, seed, 1);
  const std::vector<float> kinds = quarters(count, seed + 1000, 1);
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (kinds[i] == 1.0F) x[i] = kNan;
    if (kinds[i] == -1.0F) x[i] = -0.0F;
  }
  return x;
}

/// Exactly equal, NaN included, -0 unlike 0.
inline bool equal(const std::vector<float>& actual, const reference::Array& expected) {
  if (actual.size() != expected.size()) return false;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double a = actual[i];
    const bool both_nan = std::isnan(a) && std::isnan(expected[i]);
    const bool same_number = a == expected[i] && std::signbit(a) == std::signbit(expected[i]);
    if (!both_nan && !same_number) return false;
  }
  return true;
}

}  // namespace protolith::test
