// Sums over all 3x3 patches of a batch of images [N,H,W,C] with a border of zeros. A patch p is the
// 9 C inputs that make one output of a convolution w: z = w . p, so that with S = sum p and Q = sum
// p p^T over all M = N H W patches
//   mean z = w . S / M,  variance z = w^T (Q / M - S S^T / M^2) w.
// For two channels, Q's elements for the taps (r, s) and (r', s') are sums of products of pixels
// r' - r >= 0 rows and s' - s columns apart, 15 distances, and differ otherwise only in whether the
// rows and columns at the image's ends are among them: those are added up apart, and the channels'
// 81 elements are put together from these sums. In f32 over an image, in double across images.
// 30 C^2 + C FLOPs a pixel; x is read once.
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

/// Height and width: 2 or more.
PatchStatistics patch_statistics(const float* x, const ConvolutionExtents& e);

/// mean[k] and biased variance[k] of the convolution with weight [K,3,3,C]; a variance beyond f32
/// is NaN.
void patch_moments(const PatchStatistics& patches, const float* weight, std::int64_t filters,
                   float* mean, float* variance);

/// One filter and the matrix of the patches.
class FilteredPatches {
 public:
  FilteredPatches(const PatchStatistics& patches, const float* filter)
      : patches_(patches), filter_(filter, filter + patches.sum.size()) {}

  double dot(const std::vector<double>& values) const;
  /// Q w.
  std::vector<double> gram_product() const;

 private:
  const PatchStatistics& patches_;
  std::vector<double> filter_;
};

/// Products of each pair of channels at 15 distances, and sums; without what the ends take besides.
inline Traffic patch_statistics_traffic(const ConvolutionExtents& e) {
  const std::int64_t taps = 9 * e.channels;
  return {4 * e.pixels() * e.channels, 8 * taps * (taps + 1),
          e.pixels() * e.channels * (30 * e.channels + 1), 1};
}

}  // namespace protolith::cpu
