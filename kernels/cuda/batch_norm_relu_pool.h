// Batch norm's affine part, ReLU and (optional) 2x2 max-pool in one pass over the convolution's
// output x [N,H,W,C], and their backward in two passes (one over the small pooled tensors, one
// over x).
// Forward: t = max(x * scale + shift, 0), y = t or its 2x2 maximum. Besides y it keeps, when
// pooling, one byte per output (the winner's place, 2 * dy + dx) and the winner's x, so that the
// backward reduction never reads the large x. Memory traffic, with x and y for x's and y's bytes:
// forward reads x and writes 2 y + y / 4, the reduction reads 3 y, the data pass reads x, 2 y and
// y / 4 and writes x. ReLU, pooling, ties and NaN behave as in relu.h and max_pool.h, scratch and
// the two launches of a reduction as in batch_norm.h.
#pragma once

#include <cstdint>

#include "kernels/cuda/batch_norm.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"
#include "kernels/image_extents.h"

namespace protolith::cuda {

/// y [N,H,W,C] = relu(x * scale[c] + shift[c]). For inference and blocks without a pool.
void affine_relu_forward(const float* x, const float* scale, const float* shift, float* y,
                         ImageExtents extents, Stream stream);
/// y [N, H/2, W/2, C] = 2x2 max-pool of relu(x * scale + shift); `winner` (bytes) and `selected`
/// (the x that won), both of y's shape, are written unless `winner` is null (inference).
void affine_relu_pool_forward(const float* x, const float* scale, const float* shift, float* y,
                              std::uint8_t* winner, float* selected, ImageExtents extents,
                              Stream stream);

/// Without a pool. dgamma[c], dbeta[c] of batch norm, where the gradient that enters it is
/// g = y <= 0 ? 0 : dy:  dbeta = sum g, dgamma = sum g * (x - mean) * inv_std.
void relu_batch_norm_backward_reduce(const float* x, const float* y, const float* dy,
                                     const float* mean, const float* inv_std, float* dgamma,
                                     float* dbeta, ImageExtents extents, void* scratch,
                                     Stream stream);
/// dx = gamma * inv_std * (g - dbeta / rows - (x - mean) * inv_std * dgamma / rows); `dx` may be
/// `x`. `rows`: those that the statistics were taken over, for a caller that goes through a batch
/// in parts; 0 stands for all of N * H * W.
void relu_batch_norm_backward_data(const float* x, const float* y, const float* dy,
                                   const float* gamma, const float* mean, const float* inv_std,
                                   const float* dgamma, const float* dbeta, float* dx,
                                   ImageExtents extents, std::int64_t rows, Stream stream);

/// With a pool; y, dy, selected, winner are [N, H/2, W/2, C], x and dx [N,H,W,C] (`extents`).
/// g is dy at the winner of a window whose y > 0, and 0 elsewhere (the odd last row and column
/// included; they take part in the batch statistics all the same).
void pool_relu_batch_norm_backward_reduce(const float* selected, const float* y, const float* dy,
                                          const float* mean, const float* inv_std, float* dgamma,
                                          float* dbeta, ImageExtents extents, void* scratch,
                                          Stream stream);
/// `dx` may be `x`; `rows` as above.
void pool_relu_batch_norm_backward_data(const float* x, const float* y, const std::uint8_t* winner,
                                        const float* dy, const float* gamma, const float* mean,
                                        const float* inv_std, const float* dgamma,
                                        const float* dbeta, float* dx, ImageExtents extents,
                                        std::int64_t rows, Stream stream);

inline Traffic affine_relu_traffic(const ImageExtents& e) {
  return batch_norm_affine_traffic(e.images * e.height * e.width, e.channels);
}
/// `keep`: with `winner` and `selected`.
inline Traffic affine_relu_pool_traffic(const ImageExtents& e, bool keep) {
  const std::int64_t outputs = e.images * (e.height / 2) * (e.width / 2) * e.channels;
  return {16 * outputs + 8 * e.channels, (keep ? 9 : 4) * outputs, 16 * outputs, 1};
}
inline Traffic relu_batch_norm_backward_reduce_traffic(const ImageExtents& e) {
  return batch_norm_gradient_sums_traffic(e.images * e.height * e.width, e.channels, 3);
}
inline Traffic relu_batch_norm_backward_data_traffic(const ImageExtents& e) {
  const std::int64_t count = e.images * e.height * e.width * e.channels;
  return {12 * count + 20 * e.channels, 4 * count, 5 * count, 1};
}
inline Traffic pool_relu_batch_norm_backward_reduce_traffic(const ImageExtents& e) {
  return batch_norm_gradient_sums_traffic(e.images * (e.height / 2) * (e.width / 2), e.channels, 3);
}
inline Traffic pool_relu_batch_norm_backward_data_traffic(const ImageExtents& e) {
  const std::int64_t count = e.images * e.height * e.width * e.channels;
  const std::int64_t outputs = e.images * (e.height / 2) * (e.width / 2) * e.channels;
  return {4 * count + 9 * outputs + 20 * e.channels, 4 * count, 5 * count, 1};
}

}  // namespace protolith::cuda
