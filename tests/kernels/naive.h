// What the kernels' tests share: inputs, comparison with a bound per element, and running a check
// on every instruction set and several thread counts.
#pragma once

#include <doctest/doctest.h>
#include <hwy/targets.h>
#include <omp.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "kernels/cpu/isa.h"
#include "tests/reference/check_within.h"

namespace protolith::test {

/// Half the distance between 1 and the next f32: the relative error of one rounding.
inline constexpr double kRounding = 0x1p-24;
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

using reference::relative_error;

using Floats = std::vector<float>;

/// `count` normal deviates of the given mean and deviation.
inline Floats normal(std::int64_t count, unsigned seed, float mean = 0.0F, float deviation = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> distribution(mean, deviation);
  Floats values(static_cast<std::size_t>(count));
  for (float& value : values) value = distribution(generator);
  return values;
}

/// `count` multiples of 1/4 in [-limit, limit]: sums and products of a few are exact, and many are
/// equal.
inline Floats quarters(std::int64_t count, unsigned seed, int limit = 2) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> distribution(-4 * limit, 4 * limit);
  Floats values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(distribution(generator)) / 4.0F;
  return values;
}

/// `count` zeros.
inline Floats floats(std::int64_t count) {
  return Floats(static_cast<std::size_t>(count));
}

inline std::vector<double> doubles(const Floats& values) {
  return {values.begin(), values.end()};
}

/// Equal bits, NaN included (any NaN equals any other).
template <class T>
bool same(const std::vector<T>& a, const std::vector<T>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const bool both_nan = a[i] != a[i] && b[i] != b[i];
    if (!both_nan && std::memcmp(&a[i], &b[i], sizeof(T)) != 0) return false;
  }
  return true;
}

/// Runs check() on every instruction set that this machine and build have.
template <class F>
void for_each_instruction_set(F check) {
  std::set<std::string> done;
  const std::int64_t supported = hwy::SupportedTargets();
  for (std::int64_t rest = supported; rest != 0; rest &= rest - 1) {
    hwy::SetSupportedTargetsForTest(rest & -rest);
    const std::string name = cpu::instruction_set();
    if (!done.insert(name).second) continue;
    CAPTURE(name);
    check();
  }
  hwy::SetSupportedTargetsForTest(0);
}

/// Runs check(threads) with one to three OpenMP threads.
template <class F>
void for_each_thread_count(F check) {
  const int before = omp_get_max_threads();
  for (const int threads : {1, 2, 3}) {
    omp_set_num_threads(threads);
    CAPTURE(threads);
    check(threads);
  }
  omp_set_num_threads(before);
}

}  // namespace protolith::test
