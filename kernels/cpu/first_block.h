// The first block of a network, {3x3 convolution with padding 1, batch norm, ReLU, 2x2 max-pool}
// on images [N,H,W,C] of few channels, without ever storing the convolution's output z, which is
// K / C times as large as the images. A patch p (the 9 C inputs that make one output) and the
// filters w give z = w . p, so that over all M = N H W patches
//   mean = w . S / M,  variance = w^T (Q / M - S S^T / M^2) w,  S = sum p,  Q = sum p p^T
// (sums in f32 over an image, in double across images): two numbers per filter cost
// 27 C (3 C + 1) FLOPs a pixel, not K outputs. Forward then computes z with batch norm folded into
// the filters, by Winograd's F(2x2,3x3) on the windows (window_winograd-inl.h), and pools it in
// registers: 56 K FLOPs a window of one channel, (32 C + 24) K of several, reads x, writes y and a
// byte per output. Backward needs from the images only G = sum g p, g being the gradient that
// reaches z at the pool's winners: with it
//   dbeta = sum g,  dgamma = inv_std (w . G - mean dbeta)  (no division by gamma, which may be 0)
//   dw = gamma inv_std (G - dbeta / M S - dgamma / M inv_std (Q w - mean S)).
// It reads y, dy and the winners, and costs 18 C K FLOPs a window: each g meets the 9 C inputs at
// its winner alone, which are looked up among those of the window's four places. Ties, ReLU and NaN
// as in batch_norm_relu_pool.h.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/cpu/winograd_tiles.h"
#include "kernels/traffic.h"

namespace protolith::cpu {

/// Sums over all patches of a batch. A patch's elements are in a filter's order, [3,3,C].
struct PatchStatistics {
  double count = 0.0;
  std::vector<double> sum;   ///< S [9 C]
  std::vector<double> gram;  ///< Q [9 C, 9 C]
};

PatchStatistics patch_statistics(const float* x, const ConvolutionExtents& e);

/// mean[k] and biased variance[k] of the convolution with weight [K,3,3,C]; a variance beyond f32
/// is NaN.
void patch_moments(const PatchStatistics& patches, const float* weight, std::int64_t filters,
                   float* mean, float* variance);

/// y [N,H/2,W/2,K] = 2x2 max-pool of relu(convolution * scale[k] + shift[k]); the winners' places
/// (bytes) unless `winner` is null. K: a multiple of 16.
void first_block_forward(const float* x, const float* weight, const float* scale,
                         const float* shift, float* y, std::uint8_t* winner,
                         const ConvolutionExtents& e);

/// What the backward pass reads.
struct FirstBlockBackward {
  const float* x;
  const float* weight;  ///< [K,3,3,C]
  const float* y;       ///< [N,H/2,W/2,K], and the same shape:
  const float* dy;
  const std::uint8_t* winner;
  const float *gamma, *mean, *inv_std;  ///< [K]
};

/// dweight [K,3,3,C], dgamma[k], dbeta[k].
void first_block_backward(const FirstBlockBackward& inputs, const PatchStatistics& patches,
                          float* dweight, float* dgamma, float* dbeta, const ConvolutionExtents& e);

/// Products of each row of a patch with itself and those after it, 9 a pixel, and sums of rows.
inline Traffic patch_statistics_traffic(const ConvolutionExtents& e) {
  const std::int64_t taps = 9 * e.channels, rows = 3 * e.channels;
  return {4 * e.pixels() * e.channels, 8 * taps * (taps + 1),
          e.pixels() * (9 * rows * (rows + 1) + 3 * rows), 1};
}
/// `keep`: with `winner`.
inline Traffic first_block_forward_traffic(const ConvolutionExtents& e, bool keep) {
  const std::int64_t outputs = e.windows() * e.filters;
  return {4 * (e.pixels() * e.channels + 9 * e.channels * e.filters + 2 * e.filters),
          (keep ? 5 : 4) * outputs, outputs * (e.channels == 1 ? 56 : 32 * e.channels + 24), 1};
}
inline Traffic first_block_backward_traffic(const ConvolutionExtents& e) {
  const std::int64_t outputs = e.windows() * e.filters, weights = 9 * e.channels * e.filters;
  return {4 * (e.pixels() * e.channels + weights + 3 * e.filters) + 9 * outputs,
          4 * (weights + 2 * e.filters), 18 * e.channels * outputs, 1};
}

}  // namespace protolith::cpu
