// Element-by-element arithmetic on f32 arrays of any length; four elements a thread by 16-byte
// accesses where all pointers allow them, one by one elsewhere. Memory traffic: each operand once.
// accumulate() adds many small arrays (the gradients of a model's parameters) by one launch, whose
// overhead would otherwise exceed the work; mean() is one block, for arrays of a batch's length.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

/// out[i] = a[i] + b[i]; `out` may be `a` or `b`.
void add(const float* a, const float* b, float* out, std::int64_t count, Stream stream);
/// out[i] = a[i] * factor[0], `factor` in device memory; `out` may be `a`.
void scale(const float* a, const float* factor, float* out, std::int64_t count, Stream stream);
/// out[i] = value.
void fill(float* out, float value, std::int64_t count, Stream stream);
/// out[0] = the mean of a[0, count), accumulated in double in a fixed order.
void mean(const float* a, std::int64_t count, float* out, Stream stream);

/// target[i] += source[i] for i in [0, count).
struct Accumulation {
  float* target;
  const float* source;
  std::int64_t count;
};
/// As many as one launch takes: 768 of the 4096 bytes that a kernel's arguments may have.
inline constexpr int kMaxAccumulations = 32;
/// All of them, kMaxAccumulations a launch. No target may overlap another array of the list.
void accumulate(std::span<const Accumulation> list, Stream stream);

inline Traffic add_traffic(std::int64_t count) {
  return {8 * count, 4 * count, count, 1};
}
inline Traffic scale_traffic(std::int64_t count) {
  return {4 * count + 4, 4 * count, count, 1};
}
inline Traffic fill_traffic(std::int64_t count) {
  return {0, 4 * count, 0, 1};
}
inline Traffic mean_traffic(std::int64_t count) {
  return {4 * count, 4, count, 1};
}
inline Traffic accumulate_traffic(std::span<const Accumulation> list) {
  const auto size = static_cast<std::int64_t>(list.size());
  Traffic total{0, 0, 0, (size + kMaxAccumulations - 1) / kMaxAccumulations};
  for (const Accumulation& a : list) {
    total = total + Traffic{8 * a.count, 4 * a.count, a.count, 0};
  }
  return total;
}

}  // namespace protolith::cuda
