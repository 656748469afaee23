// The inputs of one row of 2x2 pooling windows in the domain of Winograd's F(2x2,3x3), whose tiles
// are these windows (window_winograd-inl.h), and filters in it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <vector>

#include "kernels/cpu/winograd_tiles.h"

namespace protolith::cpu {

/// In segments of up to kSegment windows, so that all distances but that between segments are
/// constants: [segments, channels, 16, kSegment], elements (i, j) in order.
class WindowRow {
 public:
  static constexpr std::int64_t kSegment = 48;

  explicit WindowRow(const ConvolutionExtents& e)
      : windows_(e.width / 2),
        channels_(e.channels),
        values_(static_cast<std::size_t>(segments() * channels_ * 16 * kSegment)) {}

  std::int64_t segments() const { return (windows_ + kSegment - 1) / kSegment; }
  /// Windows of a segment.
  std::int64_t windows(std::int64_t segment) const {
    return std::min(windows_ - segment * kSegment, kSegment);
  }
  const float* at(std::int64_t segment, std::int64_t channel) const {
    return values_.data() + offset(segment, channel);
  }
  float* at(std::int64_t segment, std::int64_t channel) {
    return values_.data() + offset(segment, channel);
  }

 private:
  std::int64_t offset(std::int64_t segment, std::int64_t channel) const {
    return (segment * channels_ + channel) * 16 * kSegment;
  }
  std::int64_t windows_, channels_;
  std::vector<float> values_;
};

/// Filters in the domain lie in groups, [K / 16, C, 16 elements, 16], within which distances are
/// constants.
inline constexpr std::int64_t kTapPitch = kChannelStep;
/// Where filter k begins.
inline std::int64_t tap_offset(std::int64_t k, std::int64_t channels) {
  return k / kTapPitch * channels * 16 * kTapPitch + k % kTapPitch;
}

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
