// An episode's batch from a resident training set: images by index, counter-clockwise quarter
// turns, pixel * scale + shift by channel.
#pragma once

#include <utility>

#include "tests/reference/array.h"

namespace protolith::reference {

/// The pixel (row, column) that (y, x) of an image turned `turns` times comes from. One turn is
/// out(y, x) = in(x, width - 1 - y); odd turns are for square images.
inline std::pair<std::int64_t, std::int64_t> turned_source(std::int64_t y, std::int64_t x,
                                                           const Extents& extents, int turns) {
  if (turns == 1) return {x, extents.width - 1 - y};
  if (turns == 2) return {extents.height - 1 - y, extents.width - 1 - x};
  if (turns == 3) return {extents.height - 1 - x, y};
  return {y, x};
}

/// `extents` are those of the set of images; turns in 0..3.
inline Array episode_gather(const Bytes& images, const Extents& extents,
                            const std::vector<std::int32_t>& indices,
                            const std::vector<std::int32_t>& turns, const Array& scale,
                            const Array& shift) {
  Extents out_extents = extents;
  out_extents.images = static_cast<std::int64_t>(indices.size());
  Array out = zeros(out_extents.elements());
  for (std::int64_t n = 0; n < out_extents.images; ++n) {
    const auto i = static_cast<std::size_t>(n);
    for (std::int64_t y = 0; y < extents.height; ++y) {
      for (std::int64_t x = 0; x < extents.width; ++x) {
        const auto [from_y, from_x] = turned_source(y, x, extents, turns[i]);
        for (std::int64_t c = 0; c < extents.channels; ++c) {
          const auto channel = static_cast<std::size_t>(c);
          const double pixel = images[extents.at(indices[i], from_y, from_x, c)];
          out[out_extents.at(n, y, x, c)] = pixel * scale[channel] + shift[channel];
        }
      }
    }
  }
  return out;
}

}  // namespace protolith::reference
