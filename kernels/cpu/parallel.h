// Static work sharing over OpenMP: one contiguous range per thread, so that which thread computes
// what depends on the thread count alone, and reductions over threads have a fixed order.
#pragma once

#include <omp.h>

#include <algorithm>
#include <cstdint>

namespace protolith::cpu {

/// The number of ranges that parallel_ranges() makes of `count` items.
inline int range_count(std::int64_t count, std::int64_t minimum_per_range) {
  const std::int64_t useful =
      std::max<std::int64_t>(count / std::max<std::int64_t>(minimum_per_range, 1), 1);
  return static_cast<int>(std::min<std::int64_t>(omp_get_max_threads(), useful));
}

/// Calls f(begin, end, range) for each of range_count(count, minimum_per_range) contiguous ranges
/// of [0, count), in parallel. `f` must not throw.
template <class F>
void parallel_ranges(std::int64_t count, std::int64_t minimum_per_range, F&& f) {
  const int ranges = range_count(count, minimum_per_range);
  if (ranges == 1) {
    f(std::int64_t{0}, count, 0);
    return;
  }
#pragma omp parallel for num_threads(ranges) schedule(static, 1)
  for (int range = 0; range < ranges; ++range) {
    f(count * range / ranges, count * (range + 1) / ranges, range);
  }
}

}  // namespace protolith::cpu
