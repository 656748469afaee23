// Filters in Winograd's domain: U = G g G^T, 81 planes instead of 9 taps (of which small images use
// fewer, winograd_tiles.h), and back: the gradient of the taps, G^T dU G. Both layouts of the
// planes come from one transform, so that the product with either channels or filters in its rows
// reads memory in order. Reads 9 K C floats and writes 162 K C; backward reads 81 K C per partial
// sum and writes 9 K C.
#pragma once

#include <cstdint>

#include "kernels/cpu/winograd_tiles.h"

namespace protolith::cpu {

/// Floats in the planes of K filters of C channels.
inline constexpr std::int64_t winograd_filter_elements(std::int64_t filters,
                                                       std::int64_t channels) {
  return kPlanes * filters * channels;
}

/// weight [K,3,3,C] -> by_filter [81,K,C] and by_channel [81,C,K], each filter times scale[k]
/// (null: 1). C and K: multiples of 16.
void winograd_transform_filters(const float* weight, const float* scale, float* by_filter,
                                float* by_channel, std::int64_t filters, std::int64_t channels);

/// dweight [K,3,3,C] from the sum of `parts` gradients [parts,81,K,C] of by_filter, added in order.
void winograd_filter_gradient(const float* gradients, std::int64_t parts, float* dweight,
                              std::int64_t filters, std::int64_t channels);

}  // namespace protolith::cpu
