// ReLU and 2x2 max-pool in one pass, and their backward in one: what follows a batch norm that
// another library computed. ReLU, ties, NaN and odd rows and columns behave as in relu.h and
// max_pool.h. Fused because the activation between them, as large as x, is needed for nothing: y is
// positive exactly where its winner was.
// Memory traffic, with x and y for x's and y's bytes: forward reads x and writes y and y / 4;
// backward reads 2 y + y / 4 and writes x.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"
#include "kernels/image_extents.h"

namespace protolith::cuda {

/// x [N,H,W,C] -> y, winner [N, H/2, W/2, C] (floor), y = 2x2 max-pool of relu(x). `winner` is not
/// written when null (inference).
void relu_max_pool_forward(const float* x, float* y, std::uint8_t* winner, ImageExtents x_extents,
                           Stream stream);
/// dy, y, winner [N, H/2, W/2, C] -> dx [N,H,W,C]: y <= 0 ? 0 : dy at the winners, 0 elsewhere,
/// every element written.
void relu_max_pool_backward(const float* dy, const float* y, const std::uint8_t* winner, float* dx,
                            ImageExtents x_extents, Stream stream);

/// `keep`: with `winner`.
inline Traffic relu_max_pool_forward_traffic(const ImageExtents& e, bool keep) {
  const std::int64_t outputs = e.images * (e.height / 2) * (e.width / 2) * e.channels;
  return {16 * outputs, (keep ? 5 : 4) * outputs, 7 * outputs, 1};
}
inline Traffic relu_max_pool_backward_traffic(const ImageExtents& e) {
  const std::int64_t outputs = e.images * (e.height / 2) * (e.width / 2) * e.channels;
  return {9 * outputs, 4 * e.images * e.height * e.width * e.channels, outputs, 1};
}

}  // namespace protolith::cuda
