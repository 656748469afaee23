#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/cache.h"
#include "data/image_set.h"
#include "data/omniglot_split.h"
#include "data/problem.h"

namespace protolith {

inline constexpr std::int32_t kOmniglotDrawings = 20;     ///< per character, each by another hand
inline constexpr std::int32_t kOmniglotStoredSide = 105;  ///< pixels of a drawing as distributed
inline constexpr std::int32_t kOmniglotSide = 28;         ///< pixels after resampling
inline constexpr const char* kOmniglotPreprocessing = "28x28 nearest, ink = 255, version 1";

/// Nearest-neighbour resampling of `from` to `to` samples: the source index of target i is
/// floor((i + 0.5) * from / to), as in the Python Imaging Library's NEAREST.
constexpr std::int32_t nearest_source_index(std::int32_t i, std::int32_t from, std::int32_t to) {
  return static_cast<std::int32_t>((2 * std::int64_t{i} + 1) * from / (2 * std::int64_t{to}));
}

/// A drawing as distributed, [105, 105] with 0 where the pen was and 255 on paper, as the model's
/// pixels [28, 28]: by nearest neighbour, 255 where the pen was.
void sample_drawing(const std::uint8_t* stored, std::uint8_t* pixels);

/// Everything that could be read of an Omniglot folder, and all that is wrong with it. `dataset` is
/// complete, in the order of the split, only when there are no problems.
struct OmniglotContents {
  Dataset dataset;
  std::array<std::int64_t, 3> characters{};  ///< complete ones per split
  std::array<std::int64_t, 3> drawings{};    ///< good ones per split
  std::vector<std::string> recognised;       ///< a line per archive or folder
  std::vector<Problem> problems;
};

/// Reads `folder`, which holds images_background and images_evaluation, each as the official zip or
/// as an unpacked folder (the zip is preferred), laid out ALPHABET/characterNN/IIII_JJ.png. Damage
/// is listed, not thrown. Pixels are 255 where the pen was, 0 elsewhere, 28x28 by nearest
/// neighbour; scale 1/255, shift 0. Each quarter turn of a character is a class on the same images.
OmniglotContents read_omniglot(const std::filesystem::path& folder,
                               std::span<const CharacterRange> ranges = vinyals_split());

/// What the cached copy of a folder depends on. Of unpacked folders the times of the character
/// folders count, not those of the 32,460 files in them: adding, removing and renaming is noticed,
/// overwriting in place is for verify to find. Throws Error when neither zip nor folder is there.
CacheKey omniglot_cache_key(const std::filesystem::path& folder,
                            std::span<const CharacterRange> ranges = vinyals_split());

/// The data set, through the cache. Throws UsageError without a folder, Error on any problem.
Dataset open_omniglot(const std::string& folder, const DatasetOptions& options);
Dataset open_omniglot(const std::filesystem::path& folder, const DatasetOptions& options,
                      std::span<const CharacterRange> ranges);

}  // namespace protolith
