// Builds an episode's batch from the resident training set: picks images by index, turns them by
// quarter turns, and normalises u8 pixels to f32 NHWC, as kernels/cpu/episode_gather.h has it. One
// launch; a thread writes 4 elements of an image at once, whose bytes it gathers one by one (a
// turned image's bytes lie apart, and an image fits a cache).
// Memory traffic: reads one byte and writes four per element.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

/// out[n] = images[indices[n]] turned counter-clockwise by turns[n] (0..3) quarter turns, each
/// pixel p of channel c as p * scale[c] + shift[c], rounded once.
/// images [images_count, height, width, channels] u8; out [count, height, width, channels]. A
/// quarter turn: out(y, x) = in(x, width - 1 - y). An index outside [0, images_count), a turn
/// outside 0..3 or an odd turn of an image that is not square makes that image NaN.
void episode_gather(const std::uint8_t* images, std::int64_t images_count,
                    const std::int32_t* indices, const std::int32_t* turns, std::int64_t count,
                    std::int64_t height, std::int64_t width, std::int64_t channels,
                    const float* scale, const float* shift, float* out, Stream stream);

inline Traffic episode_gather_traffic(std::int64_t count, std::int64_t height, std::int64_t width,
                                      std::int64_t channels) {
  const std::int64_t elements = count * height * width * channels;
  return {elements + 8 * (count + channels), 4 * elements, 2 * elements, 1};
}

}  // namespace protolith::cuda
