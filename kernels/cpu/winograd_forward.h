// A 3x3 convolution with padding 1 by Winograd's F(4x4,3x3), with batch norm's sums or all of
// {shift, ReLU, 2x2 max-pool} done while its outputs are in registers.
// A block of 30 tiles at a time goes through all three steps in the cache: inputs -> 36 planes
// [30, C], 36 products with the filters' planes [C, K], products -> 4x4 outputs. With T tiles,
// ceil(H/4) * ceil(W/4) an image, it computes 2 * 36 * T * C * K FLOPs in products (direct
// convolution: 2 * 9 * N * H * W * C * K, up to 4 times as many) and some 400 T (C + K) in
// transforms; it reads x 2.25 times (mostly from the cache) and writes y once. Nothing reads y
// again for the batch statistics: they are sums about an estimate of the mean (of the first tile
// of each thread's share), in f32 over a block of tiles and in double across blocks, threads in a
// fixed order. For inference y is written after the pool, a quarter of the size.
// A NaN or an infinity in x reaches all outputs of the tiles whose patches hold it.
#pragma once

#include <cstdint>

#include "kernels/cpu/winograd_tiles.h"

namespace protolith::cpu {

/// Floats of scratch memory that a forward pass wants with the present number of threads.
std::int64_t winograd_forward_scratch(const ConvolutionExtents& e);

/// x [N,H,W,C], filters by channel [36,C,K] -> y [N,H,W,K] and its mean[k] and biased variance[k].
/// C and K: multiples of 16.
void winograd_forward(const float* x, const float* filters, float* y, float* mean, float* variance,
                      const ConvolutionExtents& e, float* scratch);

/// y = relu(convolution + shift[k]): [N,H,W,K], or with `pool` its 2x2 maxima [N,H/2,W/2,K].
void winograd_inference(const float* x, const float* filters, const float* shift, bool pool,
                        float* y, const ConvolutionExtents& e, float* scratch);

}  // namespace protolith::cpu
