#include "engine/random.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <vector>

#include "engine/check.h"

using protolith::Error;
using protolith::Purpose;
using protolith::Random;

namespace {

using Words = std::array<std::uint32_t, 4>;

/// Philox4x32-10 as in Salmon et al. 2011, section 3.3, written from the paper.
Words philox(Words counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t a = std::uint64_t{0xD2511F53} * counter[0];
    const std::uint64_t b = std::uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(b),
        static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(a)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

Words first_block(Random random) {
  return {random.bits(), random.bits(), random.bits(), random.bits()};
}

struct Moments {
  double mean, variance;
};

template <class Draw>
Moments moments(int count, Draw draw) {
  double sum = 0.0;
  double squares = 0.0;
  for (int i = 0; i < count; ++i) {
    const double value = draw();
    sum += value;
    squares += value * value;
  }
  const double mean = sum / count;
  return {mean, squares / count - mean * mean};
}

}  // namespace

TEST_CASE("philox gives the known answers of the Random123 distribution") {
  // kat_vectors, lines "philox4x32 10".
  CHECK(philox({0, 0, 0, 0}, {0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  constexpr std::uint32_t kOnes = 0xffffffff;
  CHECK(philox({kOnes, kOnes, kOnes, kOnes}, {kOnes, kOnes}) ==
        Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox({0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, {0xa4093822, 0x299f31d0}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
  // The first of them is our stream with everything zero.
  CHECK(first_block(Random(0, static_cast<Purpose>(0))) ==
        Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
}

TEST_CASE("a stream is philox of position, sequence, purpose and split under the seed") {
  const std::uint64_t seed = 0x0123456789abcdef;
  const std::uint64_t sequence = 0xfedcba9876543210;
  Random random(seed, Purpose::episode, 7, sequence);
  for (std::uint32_t position = 0; position < 100; ++position) {
    const Words expected =
        philox({position, 0x76543210, 0xfedcba98, 2U << 16 | 7}, {0x89abcdef, 0x01234567});
    for (const std::uint32_t word : expected) REQUIRE(random.bits() == word);
  }
}

TEST_CASE("streams of another purpose, split, sequence or seed differ") {
  std::set<Words> seen;
  int streams = 0;
  for (const std::uint64_t seed : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32}) {
    for (const Purpose purpose : {Purpose::initial_weights, Purpose::episode, Purpose::synthetic,
                                  Purpose::test, Purpose::class_split}) {
      for (const std::uint32_t split : {0U, 1U, 2U, 65535U}) {
        for (const std::uint64_t sequence :
             {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{1} << 32, std::uint64_t{1} << 63}) {
          seen.insert(first_block(Random(seed, purpose, split, sequence)));
          ++streams;
        }
      }
    }
  }
  CHECK(seen.size() == static_cast<std::size_t>(streams));
}

TEST_CASE("equal arguments give equal numbers") {
  Random a(5, Purpose::episode, 1, 9);
  Random b(5, Purpose::episode, 1, 9);
  for (int i = 0; i < 1000; ++i) REQUIRE(a.bits() == b.bits());
}

TEST_CASE("a split that does not fit the counter is refused, not folded onto another") {
  CHECK_THROWS_AS(Random(0, Purpose::episode, 65536), Error);
}

TEST_CASE("uniform numbers lie in [0, 1) with the mean and variance of their law") {
  constexpr int kCount = 1'000'000;
  Random random(1, Purpose::test);
  float low = 1.0F;
  float high = 0.0F;
  const Moments found = moments(kCount, [&] {
    const float value = random.uniform();
    low = std::min(low, value);
    high = std::max(high, value);
    return static_cast<double>(value);
  });
  CHECK(low >= 0.0F);
  CHECK(high < 1.0F);
  // The chance that none of 10^6 numbers comes within 2e-5 of an end is exp(-20).
  CHECK(low < 2e-5F);
  CHECK(high > 1.0F - 2e-5F);
  // Five standard deviations: of the mean sqrt(1/12/n) = 2.89e-4, of the variance
  // sqrt((1/80 - 1/144)/n) = 7.45e-5.
  CHECK(std::abs(found.mean - 0.5) < 5 * 2.89e-4);
  CHECK(std::abs(found.variance - 1.0 / 12) < 5 * 7.45e-5);
}

TEST_CASE("uniform numbers of an interval do not reach its upper end") {
  Random random(2, Purpose::test);
  const float above_one = std::nextafter(1.0F, 2.0F);
  for (int i = 0; i < 100; ++i) REQUIRE(random.uniform(1.0F, above_one) == 1.0F);
  bool upper_half = false;
  for (int i = 0; i < 100; ++i) {
    const float value = random.uniform(-3.0F, 5.0F);
    REQUIRE(value >= -3.0F);
    REQUIRE(value < 5.0F);
    upper_half = upper_half || value > 1.0F;
  }
  CHECK(upper_half);
}

TEST_CASE("normal numbers have the moments of their law") {
  constexpr int kCount = 1'000'000;
  Random random(3, Purpose::test);
  double cubes = 0.0;
  double fourths = 0.0;
  const Moments found = moments(kCount, [&] {
    const double value = random.normal();
    cubes += value * value * value / kCount;
    fourths += value * value * value * value / kCount;
    return value;
  });
  // Five standard deviations: 1/sqrt(n), sqrt(2/n), sqrt(15/n), sqrt(96/n).
  CHECK(std::abs(found.mean) < 5 * 1e-3);
  CHECK(std::abs(found.variance - 1.0) < 5 * std::sqrt(2.0) * 1e-3);
  CHECK(std::abs(cubes) < 5 * std::sqrt(15.0) * 1e-3);
  CHECK(std::abs(fourths - 3.0) < 5 * std::sqrt(96.0) * 1e-3);
}

TEST_CASE("below() is uniform over its range") {
  for (const std::uint32_t bound : {2U, 3U, 7U, 60U, 1000U}) {
    constexpr int kCount = 1'000'000;
    Random random(bound, Purpose::test);
    std::vector<int> counts(bound);
    for (int i = 0; i < kCount; ++i) ++counts.at(random.below(bound));
    double chi_square = 0.0;
    const double expected = static_cast<double>(kCount) / bound;
    for (const int count : counts) chi_square += (count - expected) * (count - expected) / expected;
    // Chi-square with k = bound - 1 degrees of freedom: mean k, variance 2k; at k = 1 it exceeds
    // k + 10 sqrt(2k) with chance 1e-4, at larger k more rarely.
    const double freedom = bound - 1.0;
    CAPTURE(bound);
    CHECK(chi_square < freedom + 10 * std::sqrt(2 * freedom));
  }
}

TEST_CASE("below() rejects what would make large bounds biased") {
  // 3 * 2^30: without rejection every third result would come twice as often as the others.
  constexpr std::uint32_t kBound = 3U << 30;
  constexpr int kCount = 300'000;
  Random random(4, Purpose::test);
  std::array<int, 3> counts{};
  for (int i = 0; i < kCount; ++i) ++counts.at(random.below(kBound) % 3);
  double chi_square = 0.0;
  for (const int count : counts) chi_square += (count - 1e5) * (count - 1e5) / 1e5;
  CHECK(chi_square < 18.4);  // two degrees of freedom: exceeded with chance exp(-9.2) = 1e-4
}

TEST_CASE("below() at the ends of its domain") {
  Random random(5, Purpose::test);
  CHECK_THROWS_AS(random.below(0), Error);
  for (int i = 0; i < 10; ++i) CHECK(random.below(1) == 0);
  constexpr std::uint32_t kMax = std::numeric_limits<std::uint32_t>::max();
  for (int i = 0; i < 10; ++i) CHECK(random.below(kMax) < kMax);
}
