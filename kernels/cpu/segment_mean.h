// Class prototypes: the mean of each run of `length` consecutive rows (Snell et al. 2017, eq. 1).
// Memory traffic: forward reads x, writes 1/length of it; backward the reverse.
#pragma once

#include <cstdint>

#include "kernels/traffic.h"

namespace protolith::cpu {

/// x [segments * length, features] -> mean [segments, features].
void segment_mean_forward(const float* x, float* mean, std::int64_t segments, std::int64_t length,
                          std::int64_t features);
/// dmean [segments, features] -> dx [segments * length, features] = dmean / length.
void segment_mean_backward(const float* dmean, float* dx, std::int64_t segments,
                           std::int64_t length, std::int64_t features);

inline Traffic segment_mean_forward_traffic(std::int64_t segments, std::int64_t length,
                                            std::int64_t features) {
  const std::int64_t means = segments * features;
  return {4 * means * length, 4 * means, means * length, 1};
}
inline Traffic segment_mean_backward_traffic(std::int64_t segments, std::int64_t length,
                                             std::int64_t features) {
  const std::int64_t means = segments * features;
  return {4 * means, 4 * means * length, means * length, 1};
}

}  // namespace protolith::cpu
