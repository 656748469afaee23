// Work sharing over OpenMP. What is summed up together depends on the thread count alone, and sums
// are added in a fixed order, so that results have the same bits every time.
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

/// A division of `count` items for threads that are not equally fast, be it by their kind or by
/// what else their processors do: one share for each, and up to a quarter of all in small parts for
/// those that are done first, where it is enough for one small part a thread. What a part holds is
/// fixed, who computes it is not: sums belong to parts, scratch memory to workers.
class WorkParts {
 public:
  /// `minimum`: items that a thread is worth starting for. Small parts hold one or more times
  /// `grain` items.
  WorkParts(std::int64_t count, std::int64_t minimum, std::int64_t grain)
      : count_(count), workers_(range_count(count, minimum)) {
    const std::int64_t grains = count / 4 / grain;  // that may go into small parts
    const std::int64_t rounds = std::min<std::int64_t>(grains / workers_, kSmallPartsPerWorker);
    if (workers_ == 1 || rounds == 0) return;
    small_parts_ = static_cast<int>(rounds) * workers_;
    small_ = grains / small_parts_ * grain;
  }

  int workers() const { return workers_; }
  int count() const { return workers_ + small_parts_; }
  /// Of part [0, count()], the first item; parts are contiguous.
  std::int64_t begin(int part) const {
    const std::int64_t own = count_ - small_parts_ * small_;
    return part < workers_ ? own * part / workers_ : own + (part - workers_) * small_;
  }

 private:
  static constexpr std::int64_t kSmallPartsPerWorker = 4;

  std::int64_t count_;
  std::int64_t small_ = 0;  ///< items of a small part
  int workers_;
  int small_parts_ = 0;
};

/// Calls f(begin, end, part, worker) for each part, in parallel; calls at the same time have
/// different workers < parts.workers(). `f` must not throw.
template <class F>
void parallel_parts(const WorkParts& parts, F&& f) {
  const auto run = [&](int part, int worker) {
    f(parts.begin(part), parts.begin(part + 1), part, worker);
  };
  if (parts.workers() == 1) {
    run(0, 0);
    return;
  }
#pragma omp parallel num_threads(parts.workers())
  {
#pragma omp for schedule(static, 1) nowait
    for (int part = 0; part < parts.workers(); ++part) run(part, omp_get_thread_num());
#pragma omp for schedule(dynamic, 1) nowait
    for (int part = parts.workers(); part < parts.count(); ++part) run(part, omp_get_thread_num());
  }
}

}  // namespace protolith::cpu
