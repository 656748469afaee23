// Element-by-element arithmetic on f32 arrays, any length, no alignment needed.
// Memory traffic: each operand once.
#pragma once

#include <cstdint>

#include "kernels/traffic.h"

namespace protolith::cpu {

/// out[i] = a[i] + b[i]; `out` may be `a` or `b`.
void add(const float* a, const float* b, float* out, std::int64_t count);
/// out[i] = a[i] * factor; `out` may be `a`.
void scale(const float* a, float factor, float* out, std::int64_t count);
/// out[i] = value.
void fill(float* out, float value, std::int64_t count);
/// The sum of all elements, accumulated in double in a fixed order.
double sum(const float* a, std::int64_t count);

inline Traffic add_traffic(std::int64_t count) {
  return {8 * count, 4 * count, count, 1};
}
inline Traffic scale_traffic(std::int64_t count) {
  return {4 * count, 4 * count, count, 1};
}
inline Traffic fill_traffic(std::int64_t count) {
  return {0, 4 * count, 0, 1};
}
inline Traffic sum_traffic(std::int64_t count) {
  return {4 * count, 0, count, 1};
}

}  // namespace protolith::cpu
