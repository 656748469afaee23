// A 3x3 convolution with padding 1 by Winograd's F(m x n, 3x3) for tiles of m, n <= 7
// outputs (winograd_tiles.h), with batch norm's sums or all of {shift, ReLU, 2x2 max-pool} done
// while its outputs are in registers.
// A block of up to 30 tiles at a time goes through all steps in the cache: inputs -> strips (along
// the rows, winograd_strip.h); then for each row of points i the planes (i, j) [tiles, C], one
// product for each with the filters' plane [C, K], back to a strip; strips -> outputs. Let E
// be the elements of all tiles in Winograd's domain, (m + 2)(n + 2) each: 1.7 to 2.8 for an output
// where tiles fit, against 9 products of direct convolution. It computes 2 E C K FLOPs in products
// and some 20 E (C + K) in transforms; it reads x 1.3 to 1.7 times (mostly from the cache) and
// writes y once. Nothing reads y again for the batch statistics: they are sums about an estimate of
// the mean (that of the first row of tiles in each part of the images), in f32 over a block of
// tiles and in double across blocks, parts in a fixed order. For inference y is written after the
// pool, a quarter of the size. A NaN or an infinity in x reaches all outputs of the tiles whose
// patches hold it.
#pragma once

#include <cstdint>

#include "kernels/cpu/winograd_tiles.h"
#include "kernels/traffic.h"

namespace protolith::cpu {

/// Floats of scratch memory that the passes want with the present number of threads.
std::int64_t winograd_forward_scratch(const ConvolutionExtents& e);
std::int64_t winograd_inference_scratch(const ConvolutionExtents& e, bool pool);

/// x [N,H,W,C], filters by channel [81,C,K] -> y [N,H,W,K] and its mean[k] and biased variance[k].
/// C and K: multiples of 16.
void winograd_forward(const float* x, const float* filters, float* y, float* mean, float* variance,
                      const ConvolutionExtents& e, float* scratch);

/// y = relu(convolution + shift[k]): [N,H,W,K], or with `pool` its 2x2 maxima [N,H/2,W/2,K].
void winograd_inference(const float* x, const float* filters, const float* shift, bool pool,
                        float* y, const ConvolutionExtents& e, float* scratch);

/// Whether the outputs are all of them or, for inference with a pool, those of whole windows.
inline Traffic winograd_convolution_traffic(const ConvolutionExtents& e, const TileGrid& grid) {
  const std::int64_t pairs = e.channels * e.filters;
  return {4 * (e.pixels() * e.channels + grid.planes().count() * pairs), 0,
          grid.elements() * (2 * pairs + kTransformFlops * (e.channels + e.filters)), 1};
}
inline Traffic winograd_forward_traffic(const ConvolutionExtents& e) {
  return winograd_convolution_traffic(e, TileGrid(e)) +
         Traffic{0, 4 * e.filters * (e.pixels() + 2), 4 * e.filters * e.pixels(), 0};
}
inline Traffic winograd_inference_traffic(const ConvolutionExtents& e, bool pool) {
  const TileGrid grid = pool ? TileGrid(e, e.height / 2 * 2, e.width / 2 * 2) : TileGrid(e);
  return winograd_convolution_traffic(e, grid) +
         Traffic{4 * e.filters, 4 * e.filters * (pool ? e.windows() : e.pixels()),
                 (pool ? 11 : 2) * e.filters * (pool ? e.windows() : e.pixels()), 0};
}

}  // namespace protolith::cpu
