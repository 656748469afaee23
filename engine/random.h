#pragma once

#include <cstdint>

namespace protolith {

/// What a random stream is for; part of its key, so that streams never overlap.
enum class Purpose : std::uint32_t {
  initial_weights = 1,
  episode = 2,
  synthetic = 3,
  test = 4,
  class_split = 5
};

/// A counter-based generator (Philox4x32-10, Salmon et al. 2011): every number is a function of
/// (seed, purpose, split, sequence, position), so that a stream can be made anywhere, in any order,
/// on any number of threads, and always yields the same numbers.
class Random {
 public:
  /// Throws Error when `split` exceeds 65535.
  Random(std::uint64_t seed, Purpose purpose, std::uint32_t split = 0, std::uint64_t sequence = 0);

  /// 32 random bits.
  std::uint32_t bits();
  /// Uniform in [0, 1), a multiple of 2^-24.
  float uniform();
  /// Uniform in [low, high), for finite low < high.
  float uniform(float low, float high);
  /// Standard normal (Box-Muller).
  float normal();
  /// Uniform in [0, bound), unbiased; `bound` at least 1.
  std::uint32_t below(std::uint32_t bound);

 private:
  void refill();
  std::uint32_t key_[2];
  std::uint32_t counter_[4];
  std::uint32_t block_[4];
  int used_ = 4;
};

}  // namespace protolith
