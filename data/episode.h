#pragma once

#include <cstdint>
#include <vector>

#include "data/image_set.h"

namespace protolith {

/// `way` classes with `shot` support and `query` query images each.
struct EpisodeShape {
  std::int32_t way = 0;
  std::int32_t shot = 0;
  std::int32_t query = 0;
  friend bool operator==(const EpisodeShape&, const EpisodeShape&) = default;
};

/// One few-shot task as indices into a data set. Rows are class-major: way * shot support images,
/// then way * query query images.
struct Episode {
  std::vector<std::int32_t> images;   ///< [way * (shot + query)], indices into Dataset::images
  std::vector<std::int32_t> turns;    ///< [way * (shot + query)], quarter turns, 0..3
  std::vector<std::int32_t> labels;   ///< [way * query], 0..way-1
  std::vector<std::int32_t> classes;  ///< [way], indices into the sampler's classes
};

/// Draws episodes: distinct classes without replacement, and distinct images within each. Episode i
/// is a pure function of (seed, split, i): the same on every device, thread count and resume.
class EpisodeSampler {
 public:
  /// Throws UsageError when the shape cannot be drawn from `classes`; the message names the class
  /// that is too small, its count and what is needed.
  EpisodeSampler(std::vector<ImageClass> classes, EpisodeShape shape, std::uint64_t seed,
                 Split split);

  /// Episode number `index`. Thread-safe.
  Episode sample(std::uint64_t index) const;

  const std::vector<ImageClass>& classes() const noexcept { return classes_; }
  const EpisodeShape& shape() const noexcept { return shape_; }

 private:
  std::vector<ImageClass> classes_;
  EpisodeShape shape_;
  std::uint64_t seed_;
  Split split_;
};

}  // namespace protolith
