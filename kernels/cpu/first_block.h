// The first block of a network, {3x3 convolution with padding 1, batch norm, ReLU, 2x2 max-pool}
// on images [N,H,W,C] of few channels, without ever storing the convolution's output z, which is
// K / C times as large as the images. Batch statistics come from sums over the images' patches
// (patch_statistics.h). Forward computes z with batch norm folded into the filters, by Winograd's
// F(2x2,3x3) on the windows (window_winograd-inl.h), and pools it in registers: 56 K FLOPs a window
// of one channel, (32 C + 24) K of several, reads x, writes y and a
// byte per output. Backward needs from the images only G = sum g p, g being the gradient that
// reaches z at the pool's winners: with it, and S, Q and M of the patches,
//   dbeta = sum g,  dgamma = inv_std (w . G - mean dbeta)  (no division by gamma, which may be 0)
//   dw = gamma inv_std (G - dbeta / M S - dgamma / M inv_std (Q w - mean S)).
// It reads dy and the winners, which tell where ReLU let it pass, and costs 18 C K FLOPs a window:
// each g meets the 9 C inputs at its winner alone, which are looked up among those of the window's
// four places. Ties, ReLU and NaN as in batch_norm_relu_pool.h.
#pragma once

#include <cstdint>

#include "kernels/cpu/patch_statistics.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/traffic.h"

namespace protolith::cpu {

/// Stands for a winner's place where the output is 0, so that no gradient passes.
inline constexpr std::uint8_t kNoWinner = 4;

/// y [N,H/2,W/2,K] = 2x2 max-pool of relu(convolution * scale[k] + shift[k]); the winners' places
/// or kNoWinner (bytes) unless `winner` is null. K: a multiple of 16.
void first_block_forward(const float* x, const float* weight, const float* scale,
                         const float* shift, float* y, std::uint8_t* winner,
                         const ConvolutionExtents& e);

/// What the backward pass reads.
struct FirstBlockBackward {
  const float* x;
  const float* weight;  ///< [K,3,3,C]
  const float* dy;      ///< [N,H/2,W/2,K], and the same shape:
  const std::uint8_t* winner;
  const float *gamma, *mean, *inv_std;  ///< [K]
};

/// dweight [K,3,3,C], dgamma[k], dbeta[k].
void first_block_backward(const FirstBlockBackward& inputs, const PatchStatistics& patches,
                          float* dweight, float* dgamma, float* dbeta, const ConvolutionExtents& e);

/// `keep`: with `winner`.
inline Traffic first_block_forward_traffic(const ConvolutionExtents& e, bool keep) {
  const std::int64_t outputs = e.windows() * e.filters;
  return {4 * (e.pixels() * e.channels + 9 * e.channels * e.filters + 2 * e.filters),
          (keep ? 5 : 4) * outputs, outputs * (e.channels == 1 ? 56 : 32 * e.channels + 24), 1};
}
inline Traffic first_block_backward_traffic(const ConvolutionExtents& e) {
  const std::int64_t outputs = e.windows() * e.filters, weights = 9 * e.channels * e.filters;
  return {4 * (e.pixels() * e.channels + weights + 3 * e.filters) + 5 * outputs,
          4 * (weights + 2 * e.filters), 18 * e.channels * outputs, 1};
}

}  // namespace protolith::cpu
