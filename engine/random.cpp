#include "engine/random.h"

#include <Random123/philox.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "engine/check.h"

namespace protolith {

// Counter words: position, sequence (two), and purpose with split; the key is the seed.
Random::Random(std::uint64_t seed, Purpose purpose, std::uint32_t split, std::uint64_t sequence)
    : key_{static_cast<std::uint32_t>(seed), static_cast<std::uint32_t>(seed >> 32)},
      counter_{0, static_cast<std::uint32_t>(sequence), static_cast<std::uint32_t>(sequence >> 32),
               static_cast<std::uint32_t>(purpose) << 16 | split},
      block_{} {
  PROTOLITH_CHECK(split <= 0xffffU, "random split {} exceeds 65535; number splits from 0", split);
}

void Random::refill() {
  const r123::Philox4x32::ctr_type counter{{counter_[0], counter_[1], counter_[2], counter_[3]}};
  const r123::Philox4x32::key_type key{{key_[0], key_[1]}};
  const auto block = r123::Philox4x32{}(counter, key);
  for (std::size_t i = 0; i < 4; ++i) block_[i] = block[i];
  ++counter_[0];
  PROTOLITH_CHECK(counter_[0] != 0, "a random stream is exhausted (2^34 numbers)");
  used_ = 0;
}

std::uint32_t Random::bits() {
  if (used_ == 4) refill();
  return block_[used_++];
}

float Random::uniform() {
  return static_cast<float>(bits() >> 8) * 0x1p-24F;
}

float Random::uniform(float low, float high) {
  // Rounding may reach `high`, which is outside.
  return std::min(low + (high - low) * uniform(), std::nextafter(high, low));
}

float Random::normal() {
  const double radius = std::sqrt(-2.0 * std::log((static_cast<double>(bits()) + 1.0) * 0x1p-32));
  const double angle = 2.0 * std::numbers::pi * static_cast<double>(bits()) * 0x1p-32;
  return static_cast<float>(radius * std::cos(angle));
}

std::uint32_t Random::below(std::uint32_t bound) {
  PROTOLITH_CHECK(bound > 0, "a random number below 0 was asked for");
  // Lemire's method: the high half of a product, rejecting the few biased low halves.
  std::uint64_t product = std::uint64_t{bits()} * bound;
  if (static_cast<std::uint32_t>(product) < bound) {
    const std::uint32_t threshold = (0U - bound) % bound;
    while (static_cast<std::uint32_t>(product) < threshold) product = std::uint64_t{bits()} * bound;
  }
  return static_cast<std::uint32_t>(product >> 32);
}

}  // namespace protolith
