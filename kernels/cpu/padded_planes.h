// One image's channels as planes with a border of zeros, so that 3x3 patches need no special cases.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "kernels/cpu/winograd_tiles.h"

namespace protolith::cpu {

class PaddedPlanes {
 public:
  /// For images of these extents.
  explicit PaddedPlanes(const ConvolutionExtents& e)
      : height(e.height),
        width(e.width),
        channels(e.channels),
        pitch(e.width + 2 + kSlack),
        values_(static_cast<std::size_t>(channels * (height + 2) * pitch), 0.0F) {}

  /// Takes the pixels of one image [H,W,C].
  void fill(const float* pixels) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t y = 0; y < height; ++y) {
        float* const row = values_.data() + (c * (height + 2) + y + 1) * pitch + 1;
        const float* const from = pixels + y * width * channels + c;
        for (std::int64_t x = 0; x < width; ++x) row[x] = from[x * channels];
      }
    }
  }
  /// The plane of channel c, from the border's corner on.
  const float* plane(std::int64_t c) const { return values_.data() + c * (height + 2) * pitch; }

  std::int64_t height, width, channels;
  std::int64_t pitch;  ///< floats between rows

 private:
  /// Pairs of vectors of 16 may reach beyond a row's end.
  static constexpr std::int64_t kSlack = 32;
  std::vector<float> values_;
};

/// Each pixel of one padded plane with its neighbours to the right, below, and below right: what a
/// tap of a filter meets at the four places of a 2x2 window, in the order of the winners' places.
class PixelSquares {
 public:
  explicit PixelSquares(const ConvolutionExtents& e)
      : height_(e.height + 1),
        width_(e.width + 1),
        values_(static_cast<std::size_t>(4 * height_ * width_)) {}

  void fill(const PaddedPlanes& planes, std::int64_t channel) {
    const float* row = planes.plane(channel);
    float* square = values_.data();
    for (std::int64_t y = 0; y < height_; ++y, row += planes.pitch) {
      for (std::int64_t x = 0; x < width_; ++x, square += 4) {
        std::memcpy(square, row + x, 2 * sizeof(float));
        std::memcpy(square + 2, row + planes.pitch + x, 2 * sizeof(float));
      }
    }
  }
  /// Of the pixel (y, x) of the padded plane.
  const float* at(std::int64_t y, std::int64_t x) const { return values_.data() + offset(y, x); }
  /// Floats from a pixel's square to that of the pixel `rows` below and `columns` to the right.
  std::int64_t offset(std::int64_t rows, std::int64_t columns) const {
    return 4 * (rows * width_ + columns);
  }

 private:
  std::int64_t height_, width_;
  std::vector<float> values_;
};

}  // namespace protolith::cpu
