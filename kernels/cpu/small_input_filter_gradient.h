// The weight gradient of a 3x3 convolution (stride 1, padding 1) of images with few channels, such
// as a network's first. General routines pad such channels to a vector; here a vector runs over the
// filters, with the nine taps of one channel in registers.
//   dw[k, r, s, c] = sum over n, p, q of g[n, p, q, k] * x[n, p + r - 1, q + s - 1, c]
// Sums are f32 within an image and double across images, threads added in a fixed order.
// Memory traffic: g once per input channel (from cache where an image's g fits), x once.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/traffic.h"

namespace protolith::cpu {

/// Adds to sums [ranges of threads][9 * channels * filters]. Made for one shape, fed with parts of
/// a batch in order.
class SmallInputFilterGradient {
 public:
  SmallInputFilterGradient(std::int64_t height, std::int64_t width, std::int64_t channels,
                           std::int64_t filters);

  /// Adds `images` images: x [images, height, width, channels], g [images, height, width, filters].
  void add(const float* x, const float* g, std::int64_t images);
  /// dw [filters, 3, 3, channels] of all images added.
  void store(float* dw) const;

 private:
  std::int64_t height_, width_, channels_, filters_;
  std::vector<double> sums_;   // [threads][channel, tap, filter]
  std::vector<float> planes_;  // [threads][height + 2, width + 2], 0 around an image's channel
};

/// Of add() and store(): `pixels` of all images.
inline Traffic small_input_filter_gradient_traffic(std::int64_t pixels, std::int64_t channels,
                                                   std::int64_t filters) {
  return {4 * pixels * (channels + filters), 36 * channels * filters,
          18 * pixels * channels * filters, 1};
}

}  // namespace protolith::cpu
