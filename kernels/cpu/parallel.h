// Work sharing over OpenMP. What is summed up together depends on the thread count alone, and sums
// are added in a fixed order, so that results have the same bits every time.
#pragma once

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <vector>

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

/// A division of `count` items for threads that are not equally fast, be it by their kind or by
/// what else their processors do. Each of the workers owns a range of items, whose last quarter or
/// less is small parts that others may take, where it is enough for one. What a part holds is
/// fixed, who computes it is not: sums belong to parts, scratch memory to workers.
class WorkParts {
 public:
  /// `minimum`: items that a thread is worth starting for. Small parts hold one or more times
  /// `grain` items.
  WorkParts(std::int64_t count, std::int64_t minimum, std::int64_t grain)
      : count_(count), workers_(range_count(count, minimum)) {
    const std::int64_t grains = count / workers_ / 4 / grain;  // of an owner in small parts
    if (workers_ == 1 || grains == 0) return;
    small_parts_ = static_cast<int>(std::min<std::int64_t>(grains, kSmallParts));
    small_ = grains / small_parts_ * grain;
  }

  int workers() const { return workers_; }
  /// Of each worker: a large one, and the small ones after it.
  int per_worker() const { return 1 + small_parts_; }
  int count() const { return workers_ * per_worker(); }
  /// Of part [0, count()], the first item; parts are contiguous.
  std::int64_t begin(int part) const {
    const int owner = part / per_worker();
    const int small = part % per_worker();
    if (small == 0) return range_begin(owner);
    return range_begin(owner + 1) - (per_worker() - small) * small_;
  }

 private:
  static constexpr std::int64_t kSmallParts = 4;

  std::int64_t range_begin(int owner) const { return count_ * owner / workers_; }

  std::int64_t count_;
  std::int64_t small_ = 0;  ///< items of a small part
  int workers_;
  int small_parts_ = 0;  ///< of each worker
};

/// Calls f(begin, end, part, worker) for each part, in parallel; calls at the same time have
/// different workers < parts.workers(). Workers do what is left of their own parts, whose memory is
/// near them, before they take others'. `f` must not throw.
template <class F>
void parallel_parts(const WorkParts& parts, F&& f) {
  const int workers = parts.workers();
  std::vector<std::atomic<int>> taken(static_cast<std::size_t>(workers));  // of each one's parts
#pragma omp parallel num_threads(workers) if (workers > 1)
  {
    const int worker = omp_get_thread_num();
    for (int i = 0; i < workers; ++i) {
      const int owner = (worker + i) % workers;
      auto& next = taken[static_cast<std::size_t>(owner)];
      for (int own = next++; own < parts.per_worker(); own = next++) {
        const int part = owner * parts.per_worker() + own;
        f(parts.begin(part), parts.begin(part + 1), part, worker);
      }
    }
  }
}

}  // namespace protolith::cpu
