// Batch norm's affine part, ReLU and (optional) 2x2 max-pool in one pass over the convolution's
// output x [N,H,W,C], and their backward in two passes (one over the small pooled tensors, one
// over x).
// Forward: t = max(x * scale + shift, 0), y = t or its 2x2 maximum. Besides y it keeps, when
// pooling, one byte per output (the winner's place, 2 * dy + dx) and the winner's x, so that the
// backward reduction never reads the large x: with x and y for x's and y's bytes, forward reads x
// and writes 2 y + y / 4, the reduction reads 3 y, the data pass reads x and 2 y and writes x.
// ReLU, pooling, ties and NaN behave as in relu.h and max_pool.h.
#pragma once

#include <cstdint>

#include "kernels/cpu/batch_norm.h"
#include "kernels/cpu/max_pool.h"
#include "kernels/traffic.h"

namespace protolith::cpu {

/// y [N,H,W,C] = relu(x * scale[c] + shift[c]). For inference and blocks without a pool.
void affine_relu_forward(const float* x, const float* scale, const float* shift, float* y,
                         ImageExtents extents);
/// y [N, H/2, W/2, C] = 2x2 max-pool of relu(x * scale + shift); `winner` (bytes) and `selected`
/// (the x that won), both of y's shape, are written unless `winner` is null (inference).
void affine_relu_pool_forward(const float* x, const float* scale, const float* shift, float* y,
                              std::uint8_t* winner, float* selected, ImageExtents extents);

/// Without a pool. dgamma[c], dbeta[c] of batch norm, where the gradient that enters it is
/// g = y <= 0 ? 0 : dy:  dbeta = sum g, dgamma = sum g * (x - mean) * inv_std.
void relu_batch_norm_backward_reduce(const float* x, const float* y, const float* dy,
                                     const float* mean, const float* inv_std, float* dgamma,
                                     float* dbeta, ImageExtents extents);
/// dx = gamma * inv_std * (g - dbeta / rows - (x - mean) * inv_std * dgamma / rows); `dx` may be
/// `x`. `rows`: those that the statistics were taken over, for a caller that goes through a batch
/// in parts; 0 stands for all of N * H * W.
void relu_batch_norm_backward_data(const float* x, const float* y, const float* dy,
                                   const float* gamma, const float* mean, const float* inv_std,
                                   const float* dgamma, const float* dbeta, float* dx,
                                   ImageExtents extents, std::int64_t rows = 0);

/// With a pool; y, dy, selected, winner are [N, H/2, W/2, C], x and dx [N,H,W,C] (`extents`).
/// g is dy at the winner of a window whose y > 0, and 0 elsewhere (the odd last row and column
/// included; they take part in the batch statistics all the same).
void pool_relu_batch_norm_backward_reduce(const float* selected, const float* y, const float* dy,
                                          const float* mean, const float* inv_std, float* dgamma,
                                          float* dbeta, ImageExtents extents);
/// `dx` may be `x`; `rows` as above.
void pool_relu_batch_norm_backward_data(const float* x, const float* y, const std::uint8_t* winner,
                                        const float* dy, const float* gamma, const float* mean,
                                        const float* inv_std, const float* dgamma,
                                        const float* dbeta, float* dx, ImageExtents extents,
                                        std::int64_t rows = 0);

inline Traffic affine_relu_traffic(const ImageExtents& e) {
  return batch_norm_affine_traffic(e.images * e.height * e.width, e.channels);
}
/// `keep`: with `winner` and `selected`.
inline Traffic affine_relu_pool_traffic(const ImageExtents& e, bool keep) {
  const std::int64_t outputs = pooled_elements(e);
  return {16 * outputs + 8 * e.channels, (keep ? 9 : 4) * outputs, 16 * outputs, 1};
}
inline Traffic relu_batch_norm_backward_reduce_traffic(const ImageExtents& e) {
  return batch_norm_gradient_sums_traffic(e.images * e.height * e.width, e.channels, 3);
}
inline Traffic relu_batch_norm_backward_data_traffic(const ImageExtents& e) {
  return {12 * elements(e) + 20 * e.channels, 4 * elements(e), 5 * elements(e), 1};
}
inline Traffic pool_relu_batch_norm_backward_reduce_traffic(const ImageExtents& e) {
  return batch_norm_gradient_sums_traffic(e.images * (e.height / 2) * (e.width / 2), e.channels, 3);
}
inline Traffic pool_relu_batch_norm_backward_data_traffic(const ImageExtents& e) {
  return {4 * elements(e) + 9 * pooled_elements(e) + 20 * e.channels, 4 * elements(e),
          5 * elements(e), 1};
}

}  // namespace protolith::cpu
