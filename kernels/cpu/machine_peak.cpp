#include "kernels/cpu/machine_peak.h"

#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/machine_peak.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

// Eight chains hide the latency of a multiply-add (4 cycles, two a cycle). Returns the FLOPs;
// `result` keeps the compiler from leaving them out.
double multiply_add(std::int64_t rounds, float* result) {
  const hn::ScalableTag<float> d;
  const auto factor = hn::Set(d, 0.999F);
  const auto addend = hn::Set(d, 0.001F);
  auto a = hn::Set(d, 1.0F), b = hn::Set(d, 2.0F), c = hn::Set(d, 3.0F), e = hn::Set(d, 4.0F);
  auto f = hn::Set(d, 5.0F), g = hn::Set(d, 6.0F), h = hn::Set(d, 7.0F), i = hn::Set(d, 8.0F);
  for (std::int64_t round = 0; round < rounds; ++round) {
    a = hn::MulAdd(a, factor, addend);
    b = hn::MulAdd(b, factor, addend);
    c = hn::MulAdd(c, factor, addend);
    e = hn::MulAdd(e, factor, addend);
    f = hn::MulAdd(f, factor, addend);
    g = hn::MulAdd(g, factor, addend);
    h = hn::MulAdd(h, factor, addend);
    i = hn::MulAdd(i, factor, addend);
  }
  const auto sum =
      hn::Add(hn::Add(hn::Add(a, b), hn::Add(c, e)), hn::Add(hn::Add(f, g), hn::Add(h, i)));
  *result = hn::GetLane(hn::SumOfLanes(d, sum));
  return 2.0 * 8.0 * static_cast<double>(hn::Lanes(d)) * static_cast<double>(rounds);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(multiply_add);

// The greatest rate of several runs: a busy machine only ever makes one slower.
template <class F>
double best_rate(F&& work) {
  constexpr int kRuns = 5;
  double best = 0;
  for (int run = 0; run < kRuns; ++run) {
    const auto start = std::chrono::steady_clock::now();
    const double amount = work();
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    best = std::max(best, amount / elapsed.count());
  }
  return best;
}
}  // namespace

double peak_flops() {
  const int threads = omp_get_max_threads();
  std::vector<float> results(static_cast<std::size_t>(threads));
  return best_rate([&] {
    double total = 0;
#pragma omp parallel for num_threads(threads) schedule(static, 1) reduction(+ : total)
    for (int thread = 0; thread < threads; ++thread) {
      total +=
          HWY_DYNAMIC_DISPATCH(multiply_add)(2'000'000, &results[static_cast<std::size_t>(thread)]);
    }
    return total;
  });
}

double copy_bandwidth() {
  constexpr std::int64_t kBytes = std::int64_t{128} << 20;
  std::vector<char> source(kBytes, 1);
  std::vector<char> target(kBytes, 2);
  return best_rate([&] {
    parallel_ranges(kBytes, kBytes / 1024, [&](std::int64_t begin, std::int64_t end, int) {
      std::memcpy(target.data() + begin, source.data() + begin,
                  static_cast<std::size_t>(end - begin));
    });
    return 2.0 * static_cast<double>(kBytes);
  });
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
