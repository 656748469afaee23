// Builds an episode's batch from the resident training set: picks images by index, turns them by
// quarter turns, and normalises u8 pixels to f32 NHWC.
// Memory traffic: reads one byte and writes four per element.
#pragma once

#include <cstdint>

#include "kernels/traffic.h"

namespace protolith::cpu {

/// out[n] = images[indices[n]] turned counter-clockwise by turns[n] (0..3) quarter turns, each
/// pixel p of channel c as p * scale[c] + shift[c].
/// images [any, height, width, channels] u8; out [count, height, width, channels]. Odd turns need
/// height == width. A quarter turn counter-clockwise: out(y, x) = in(x, width - 1 - y).
void episode_gather(const std::uint8_t* images, const std::int32_t* indices,
                    const std::int32_t* turns, std::int64_t count, std::int64_t height,
                    std::int64_t width, std::int64_t channels, const float* scale,
                    const float* shift, float* out);

inline Traffic episode_gather_traffic(std::int64_t count, std::int64_t height, std::int64_t width,
                                      std::int64_t channels) {
  const std::int64_t elements = count * height * width * channels;
  return {elements + 8 * (count + channels), 4 * elements, 2 * elements, 1};
}

}  // namespace protolith::cpu
