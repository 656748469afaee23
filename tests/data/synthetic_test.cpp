#include "data/synthetic.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <span>

#include "data/episode.h"
#include "data/image_set.h"
#include "engine/check.h"

namespace protolith {
namespace {

constexpr std::size_t kPixels = std::size_t{kSyntheticSide} * kSyntheticSide;

std::span<const std::uint8_t> image(const Dataset& dataset, std::int32_t index) {
  return {dataset.images.data<std::uint8_t>() + static_cast<std::size_t>(index) * kPixels, kPixels};
}

TEST_CASE("a seed's glyphs are the same everywhere, on any number of threads") {
  const int threads = omp_get_max_threads();
  const Dataset dataset = open_dataset("synthetic");
  omp_set_num_threads(threads == 1 ? 3 : 1);
  const Dataset again = open_dataset("synthetic:1");
  omp_set_num_threads(threads);
  CHECK(dataset.content_hash == 0x13db135a0598f3bbU);
  CHECK(again.content_hash == dataset.content_hash);
  CHECK(open_dataset("synthetic:2").content_hash != dataset.content_hash);
}

TEST_CASE("320, 80 and 120 classes of 20 drawings, none of them blank") {
  const Dataset dataset = open_dataset("synthetic");
  CHECK(dataset.images.shape() == Shape{520 * 20, 28, 28, 1});
  CHECK(dataset.classes(Split::train).size() == 320);
  CHECK(dataset.classes(Split::val).size() == 80);
  CHECK(dataset.classes(Split::test).size() == 120);
  const std::vector<ImageClass> trainval = dataset.classes(Split::trainval);
  REQUIRE(trainval.size() == 400);
  CHECK(trainval[320] == dataset.classes(Split::val)[0]);
  std::int32_t next = 0;
  for (const Split split : {Split::train, Split::val, Split::test}) {
    for (const ImageClass& c : dataset.classes(split)) {
      CHECK(c.first == next);
      CHECK(c.count == 20);
      CHECK(c.turns == 0);
      next += c.count;
    }
  }
  for (std::int32_t i = 0; i < next; ++i) {
    const auto pixels = image(dataset, i);
    const auto inked = std::count_if(pixels.begin(), pixels.end(), [](auto p) { return p > 127; });
    CHECK(inked >= 10);  // a stroke of 0.28 of the side is 8 pixels long, and there are two
    CHECK(inked < 392);  // half the sheet
  }
}

TEST_CASE("pixels alone tell 20 glyphs apart some of the time, and not most of the time") {
  // So that a network's accuracy says something. Nearest neighbour measures 0.39; 30,000 queries in
  // 300 episodes put its standard error at 0.005.
  const Dataset dataset = open_dataset("synthetic");
  const EpisodeSampler sampler(dataset.classes(Split::test), {20, 1, 5}, 1, Split::test);
  int hits = 0;
  for (std::uint64_t index = 0; index < 300; ++index) {
    const Episode e = sampler.sample(index);
    for (std::size_t q = 0; q < e.labels.size(); ++q) {
      const auto query = image(dataset, e.images[20 + q]);
      std::int64_t best = -1;
      std::int32_t nearest = -1;
      for (std::int32_t way = 0; way < 20; ++way) {
        const auto support = image(dataset, e.images[static_cast<std::size_t>(way)]);
        std::int32_t sum = 0;
        for (std::size_t i = 0; i < kPixels; ++i) {
          const std::int32_t d = std::int32_t{query[i]} - support[i];
          sum += d * d;
        }
        if (best < 0 || sum < best) {
          best = sum;
          nearest = way;
        }
      }
      hits += nearest == e.labels[q] ? 1 : 0;
    }
  }
  const double accuracy = hits / 30000.0;
  MESSAGE("20-way 1-shot nearest neighbour on pixels: " << accuracy);
  CHECK(accuracy > 0.3);
  CHECK(accuracy < 0.6);
}

TEST_CASE("a seed that is no number is a usage error") {
  for (const char* spec : {"synthetic:x", "synthetic:-1", "synthetic:1 ", "synthetic:1.5",
                           "synthetic:18446744073709551616"}) {
    CAPTURE(spec);
    CHECK_THROWS_AS(open_dataset(spec), UsageError);
  }
}

}  // namespace
}  // namespace protolith
