// Element-by-element arithmetic on f32 arrays, any length, no alignment needed.
// Memory traffic: each operand once.
#pragma once

#include <cstdint>

namespace protolith::cpu {

/// out[i] = a[i] + b[i]; `out` may be `a` or `b`.
void add(const float* a, const float* b, float* out, std::int64_t count);
/// out[i] = a[i] * factor; `out` may be `a`.
void scale(const float* a, float factor, float* out, std::int64_t count);
/// out[i] = value.
void fill(float* out, float value, std::int64_t count);
/// The sum of all elements, accumulated in double in a fixed order.
double sum(const float* a, std::int64_t count);

}  // namespace protolith::cpu
