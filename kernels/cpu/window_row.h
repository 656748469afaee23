// The inputs of one row of 2x2 pooling windows in the domain of Winograd's F(2x2,3x3), whose tiles
// are these windows (window_winograd-inl.h), and filters in it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/cpu/winograd_tiles.h"

namespace protolith::cpu {

/// [channels, 16, windows]: elements (i, j) in order.
class WindowRow {
 public:
  explicit WindowRow(const ConvolutionExtents& e)
      : windows_((e.width / 2 + kStep - 1) / kStep * kStep),
        values_(static_cast<std::size_t>(16 * e.channels * windows_)) {}

  /// Rounded up to whole vectors.
  std::int64_t windows() const { return windows_; }
  const float* at(std::int64_t channel, std::int64_t element) const {
    return values_.data() + (channel * 16 + element) * windows_;
  }
  float* at(std::int64_t channel, std::int64_t element) {
    return values_.data() + (channel * 16 + element) * windows_;
  }

 private:
  static constexpr std::int64_t kStep = 16;
  std::int64_t windows_;
  std::vector<float> values_;
};

/// G g G^T of the taps g [3,3], `stride` floats apart, times scale; G evaluates at 0, 1, -1 and
/// infinity.
inline std::array<float, 16> window_filter(const float* taps, std::int64_t stride, float scale) {
  const auto evaluate = [](float a, float b, float c) {
    return std::array<float, 4>{a, 0.5F * (a + b + c), 0.5F * (a - b + c), c};
  };
  std::array<std::array<float, 4>, 3> columns;  // G along the rows: [tap column][i]
  for (std::int64_t s = 0; s < 3; ++s) {
    const auto tap = [&](std::int64_t r) { return taps[(r * 3 + s) * stride] * scale; };
    columns[static_cast<std::size_t>(s)] = evaluate(tap(0), tap(1), tap(2));
  }
  std::array<float, 16> result;
  for (std::size_t i = 0; i < 4; ++i) {
    const auto row = evaluate(columns[0][i], columns[1][i], columns[2][i]);
    std::copy(row.begin(), row.end(), result.begin() + static_cast<std::ptrdiff_t>(4 * i));
  }
  return result;
}

}  // namespace protolith::cpu
