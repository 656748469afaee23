// What the emulated kernels' tests share: running a check in every order of threads and blocks, and
// arrays whose ends the address sanitizer guards and whose alignment is chosen.
#pragma once

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <vector>

#include "tests/reference/check_within.h"

namespace protolith::test {

inline constexpr double kRounding = 0x1p-24;
inline constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

/// Runs check() with threads and blocks in forward, reverse and two shuffled orders; in the last
/// only where races are looked for, which show in any order and take long to find.
template <class F>
void for_each_order(F check) {
  const std::pair<simt::Order, std::uint64_t> orders[] = {
      {simt::forward, 1}, {simt::reverse, 1}, {simt::shuffled, 7}, {simt::shuffled, 8}};
  for (const auto& pair : orders) {  // No structured binding: CAPTURE is a lambda, clang 14.
    const simt::Order order = pair.first;
    const std::uint64_t seed = pair.second;
    if (simt::tiny_grids_only() && seed != 8) continue;
    CAPTURE(order);
    CAPTURE(seed);
    simt::set_order(order, seed);
    check();
  }
  simt::set_order(simt::forward);
}

/// For checks of what alignment a kernel needs: no array unaligned, and each of up to four in turn.
/// skew(which, array) is the DeviceArray's `skew`.
inline constexpr int kSkews[] = {0, 1, 2, 4, 8};
constexpr int skew(int which, int array) {
  return which >> array & 1;
}

/// An array on the heap, its own block so that the sanitizer sees its ends, that starts `skew`
/// elements after a 256-byte boundary (0: as the arena aligns; 1: no 16-byte access is possible).
/// Filled with NaN (for u8 and i32: 0xcc bytes) so that what a kernel leaves out shows.
template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(std::int64_t count, int skew = 0)
      : count_(static_cast<std::size_t>(count)),
        block_(static_cast<T*>(::operator new (bytes(skew), std::align_val_t{256}))),
        data_(block_.get() + skew) {
    for (std::size_t i = 0; i < count_; ++i) {
      if constexpr (std::is_floating_point_v<T>)
        data_[i] = std::numeric_limits<T>::quiet_NaN();
      else
        data_[i] = static_cast<T>(0xcccccccc);
    }
  }
  explicit DeviceArray(const std::vector<T>& values, int skew = 0)
      : DeviceArray(static_cast<std::int64_t>(values.size()), skew) {
    std::copy(values.begin(), values.end(), data_);
  }
  T* data() { return data_; }
  const T* data() const { return data_; }
  std::size_t size() const { return count_; }
  std::vector<T> values() const { return {data_, data_ + count_}; }

 private:
  struct Free {
    void operator()(T* p) const { ::operator delete (p, std::align_val_t{256}); }
  };
  std::size_t bytes(int skew) const {
    return (count_ + static_cast<std::size_t>(skew)) * sizeof(T);
  }
  std::size_t count_;
  std::unique_ptr<T, Free> block_;
  T* data_;
};

inline std::vector<float> normal(std::int64_t count, unsigned seed, float mean = 0.0F,
                                 float deviation = 1.0F) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> distribution(mean, deviation);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = distribution(generator);
  return values;
}

/// Multiples of 1/4 in [-limit, limit]: sums of a few are exact, and many are equal.
inline std::vector<float> quarters(std::int64_t count, unsigned seed, int limit = 2) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> distribution(-4 * limit, 4 * limit);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) value = static_cast<float>(distribution(generator)) / 4.0F;
  return values;
}

}  // namespace protolith::test
