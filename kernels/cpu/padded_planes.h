// One image's channels as planes with a border of zeros, so that 3x3 patches need no special cases.
#pragma once

#include <algorithm>
#include <cstdint>
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
  /// Vectors of 16 may reach beyond a row's end.
  static constexpr std::int64_t kSlack = 16;
  std::vector<float> values_;
};

}  // namespace protolith::cpu
