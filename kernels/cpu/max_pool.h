// 2x2 max-pool with stride 2 on NHWC images; a last odd row or column takes no part.
// The first maximum in row-major order wins; a NaN wins over every number (the last NaN of a
// window, as PyTorch does). The winner's place, 2 * dy + dx in 0..3, is kept as one byte.
// Memory traffic: forward reads x once, writes a quarter of it and the bytes; backward the reverse.
#pragma once

#include <cstdint>

#include "kernels/image_extents.h"
#include "kernels/traffic.h"

namespace protolith::cpu {

using protolith::ImageExtents;

/// x [N,H,W,C] -> y, winner [N, H/2, W/2, C] (floor); `height` and `width` at least 2.
void max_pool_forward(const float* x, float* y, std::uint8_t* winner, ImageExtents x_extents);
/// dy, winner [N, H/2, W/2, C] -> dx [N,H,W,C], every element written (zero where nothing won).
void max_pool_backward(const float* dy, const std::uint8_t* winner, float* dx,
                       ImageExtents x_extents);

/// Of the 2x2 windows' outputs, and of the images themselves.
inline std::int64_t pooled_elements(const ImageExtents& e) {
  return e.images * (e.height / 2) * (e.width / 2) * e.channels;
}
inline std::int64_t elements(const ImageExtents& e) {
  return e.images * e.height * e.width * e.channels;
}

inline Traffic max_pool_forward_traffic(const ImageExtents& e) {
  const std::int64_t outputs = pooled_elements(e);
  return {16 * outputs, 5 * outputs, 3 * outputs, 1};
}
inline Traffic max_pool_backward_traffic(const ImageExtents& e) {
  return {5 * pooled_elements(e), 4 * elements(e), 0, 1};
}

}  // namespace protolith::cpu
