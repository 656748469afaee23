// What all reference operations share: arrays of doubles with explicit extents. The operations of
// this folder are the plainest possible statement of the arithmetic, in double precision; every
// backend is compared with them, and they are compared with finite differences.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace protolith::reference {

using Array = std::vector<double>;
using Bytes = std::vector<std::uint8_t>;

/// An array of `count` zeros.
inline Array zeros(std::int64_t count) {
  return Array(static_cast<std::size_t>(count), 0.0);
}

/// Extents of an NHWC activation.
struct Extents {
  std::int64_t images = 0, height = 0, width = 0, channels = 0;

  std::int64_t rows() const { return images * height * width; }
  std::int64_t elements() const { return rows() * channels; }
  /// The flat index of element (n, y, x, c).
  std::size_t at(std::int64_t n, std::int64_t y, std::int64_t x, std::int64_t c) const {
    return static_cast<std::size_t>(((n * height + y) * width + x) * channels + c);
  }
  friend bool operator==(const Extents&, const Extents&) = default;
};

/// The flat index of element (row, column) of a matrix with `columns` columns.
inline std::size_t at(std::int64_t row, std::int64_t columns, std::int64_t column) {
  return static_cast<std::size_t>(row * columns + column);
}

/// |got - want| / |want| in the 2-norm; elements that are equal, infinite ones too, do not differ.
/// Infinite when the sizes or the places of NaNs differ.
template <class T>
double relative_error(const std::vector<T>& got, const Array& want) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  if (got.size() != want.size()) return kInfinity;
  double difference = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto value = static_cast<double>(got[i]);
    if (std::isnan(value) != std::isnan(want[i])) return kInfinity;
    if (std::isnan(value)) continue;
    if (value == want[i] && std::isinf(value)) continue;  // the norm stays that of the others
    norm += want[i] * want[i];
    difference += (value - want[i]) * (value - want[i]);
  }
  if (difference == 0.0) return 0.0;
  return std::isfinite(difference) ? std::sqrt(difference / norm) : kInfinity;
}

/// The largest |got[i] - want[i]| / bound(i), and the i.
struct Worst {
  double ratio = 0.0;
  std::size_t where = 0;
};

/// Equal elements, NaN where NaN is wanted too, count as 0, NaN elsewhere as infinity. The least
/// f32 is added to the bound, for results that small. The sizes must be equal.
template <class T, class Bound>
Worst worst_of(const std::vector<T>& got, const Array& want, Bound bound) {
  Worst worst;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const auto value = static_cast<double>(got[i]);
    if (value == want[i] || (std::isnan(value) && std::isnan(want[i]))) continue;
    double ratio = std::abs(value - want[i]) / (bound(i) + 0x1p-149);
    if (std::isnan(ratio)) ratio = std::numeric_limits<double>::infinity();
    if (ratio > worst.ratio) worst = {ratio, i};
  }
  return worst;
}

}  // namespace protolith::reference
