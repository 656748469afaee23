// Filters in Winograd's domain: U = G g G^T, 81 planes instead of 9 taps (of which the tiles of
// small images have fewer, winograd_tiles.h: P), and back: the gradient of the taps, G^T dU G.
// There are two layouts of the planes, so that the product with either channels or filters in its
// rows reads memory in order; each is transformed from the taps, whose vectors by filter are
// gathered, which costs less than turning 81 planes. Each reads 9 K C floats and writes P K C;
// backward, once for each part of the images, reads P K C and writes 9 K C.
#pragma once

#include <cstdint>

#include "kernels/cpu/winograd_tiles.h"
#include "kernels/traffic.h"

namespace protolith::cpu {

/// Floats from one plane of K filters of C channels to the next. A gap of a cache line keeps a
/// filter's 81 elements from competing for the same sets of the cache.
inline constexpr std::int64_t winograd_filter_stride(std::int64_t filters, std::int64_t channels) {
  return filters * channels + 16;
}
/// Floats in all planes.
inline constexpr std::int64_t winograd_filter_elements(std::int64_t filters,
                                                       std::int64_t channels) {
  return kPlanes * winograd_filter_stride(filters, channels);
}

/// weight [K,3,3,C] -> by_filter [81,K,C] and by_channel [81,C,K] with gaps, each filter times
/// scale[k] (null: 1); either may be null. Planes that `planes` has not are left as they are. C and
/// K: multiples of 16.
void winograd_transform_filters(const float* weight, const float* scale, PlaneExtents planes,
                                float* by_filter, float* by_channel, std::int64_t filters,
                                std::int64_t channels);

/// dweight [K,3,3,C] from gradients [81,K,C] of by_filter, with gaps; those of planes that `planes`
/// has not are 0 and not read. By the calling thread, in whose cache they are.
void winograd_filter_gradient(const float* gradients, PlaneExtents planes, float* dweight,
                              std::int64_t filters, std::int64_t channels);

/// A filter's planes are G g G^T, two products of matrices: 9 x 3 by 3 x 3, 9 x 3 by 3 x 9.
inline constexpr std::int64_t kFilterTransformFlops = 2 * (9 * 3 * 3 + 9 * 3 * 9);

/// All planes, in both layouts.
inline Traffic winograd_transform_filters_traffic(std::int64_t filters, std::int64_t channels) {
  const std::int64_t pairs = filters * channels;
  return {36 * pairs, 8 * kPlanes * pairs, 2 * kFilterTransformFlops * pairs, 1};
}
inline Traffic winograd_filter_gradient_traffic(std::int64_t filters, std::int64_t channels) {
  const std::int64_t pairs = filters * channels;
  return {4 * kPlanes * pairs, 36 * pairs, kFilterTransformFlops * pairs, 1};
}

}  // namespace protolith::cpu
