// Which tensors are written past the caches. A store to a line that no cache holds reads it first;
// of a tensor too large to be found in a cache later, that is half of its traffic for nothing.
#pragma once

#include <cstdint>

namespace protolith::cpu {

/// What is larger is not in a last-level cache by the time it is read.
inline constexpr std::int64_t kStreamedBytes = std::int64_t{64} << 20;

/// Whether vectors of channels, multiples of 16, that lie at p one after the other cross no lines.
inline bool is_line_aligned(const float* p) {
  constexpr std::uintptr_t kLineBytes = 64;
  return reinterpret_cast<std::uintptr_t>(p) % kLineBytes == 0;
}

/// Whether to write a tensor of so many floats past the caches.
inline bool is_streamed(const float* tensor, std::int64_t elements) {
  return elements * static_cast<std::int64_t>(sizeof(float)) >= kStreamedBytes &&
         is_line_aligned(tensor);
}

}  // namespace protolith::cpu
