#include "data/episode.h"

#include <limits>
#include <numeric>
#include <utility>

#include "engine/check.h"
#include "engine/random.h"

namespace protolith {
namespace {

/// `count` distinct numbers below `bound` in random order: the front of a Fisher-Yates shuffle.
std::vector<std::int32_t> choose(Random& random, std::int32_t bound, std::int32_t count) {
  std::vector<std::int32_t> numbers(static_cast<std::size_t>(bound));
  std::iota(numbers.begin(), numbers.end(), 0);
  for (std::int32_t i = 0; i < count; ++i) {
    const std::uint32_t other = random.below(static_cast<std::uint32_t>(bound - i));
    std::swap(numbers[static_cast<std::size_t>(i)], numbers[static_cast<std::size_t>(i) + other]);
  }
  numbers.resize(static_cast<std::size_t>(count));
  return numbers;
}

}  // namespace

EpisodeSampler::EpisodeSampler(std::vector<ImageClass> classes, EpisodeShape shape,
                               std::uint64_t seed, Split split)
    : classes_(std::move(classes)), shape_(shape), seed_(seed), split_(split) {
  PROTOLITH_CHECK_USAGE(shape_.way >= 1 && shape_.shot >= 1 && shape_.query >= 1,
                        "an episode of {}-way, {}-shot, {} queries: each must be at least 1",
                        shape_.way, shape_.shot, shape_.query);
  const std::int64_t needed = std::int64_t{shape_.shot} + shape_.query;
  PROTOLITH_CHECK_USAGE(needed * shape_.way <= std::numeric_limits<std::int32_t>::max(),
                        "an episode of {}-way, {}-shot, {} queries has too many images", shape_.way,
                        shape_.shot, shape_.query);
  PROTOLITH_CHECK_USAGE(std::cmp_less_equal(shape_.way, classes_.size()),
                        "a {}-way episode needs {} classes, the {} split has {}; lower the way, or "
                        "give the split more classes",
                        shape_.way, shape_.way, to_string(split_), classes_.size());
  for (const ImageClass& c : classes_) {
    PROTOLITH_CHECK_USAGE(c.count >= needed,
                          "class '{}' of the {} split has {} images, {}-shot with {} queries needs "
                          "{}; lower the shots or the queries",
                          c.name, to_string(split_), c.count, shape_.shot, shape_.query, needed);
  }
}

Episode EpisodeSampler::sample(std::uint64_t index) const {
  Random random(seed_, Purpose::episode, static_cast<std::uint32_t>(split_), index);
  const auto way = static_cast<std::size_t>(shape_.way);
  const auto shot = static_cast<std::size_t>(shape_.shot);
  const auto query = static_cast<std::size_t>(shape_.query);
  Episode episode;
  episode.images.resize(way * (shot + query));
  episode.turns.resize(way * (shot + query));
  episode.labels.resize(way * query);
  episode.classes = choose(random, static_cast<std::int32_t>(classes_.size()), shape_.way);
  for (std::size_t w = 0; w < way; ++w) {
    const ImageClass& c = classes_[static_cast<std::size_t>(episode.classes[w])];
    const std::vector<std::int32_t> drawn = choose(random, c.count, shape_.shot + shape_.query);
    for (std::size_t i = 0; i < drawn.size(); ++i) {
      const std::size_t row = i < shot ? w * shot + i : way * shot + w * query + (i - shot);
      episode.images[row] = c.first + drawn[i];
      episode.turns[row] = c.turns;
      if (i >= shot) episode.labels[row - way * shot] = static_cast<std::int32_t>(w);
    }
  }
  return episode;
}

}  // namespace protolith
