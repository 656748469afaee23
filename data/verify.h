#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/image_set.h"
#include "data/mini_imagenet_split.h"
#include "data/omniglot_split.h"
#include "data/problem.h"

namespace protolith {

/// What a data set consists of, and all that is wrong with it.
struct VerifyReport {
  struct Counts {
    std::int64_t classes = 0;
    std::int64_t images = 0;  ///< stored images; a quarter turn is a class of its own, not an image
  };

  std::string spec;
  std::vector<std::string>
      recognised;  ///< a line per source: "images_background.zip: zip archive, 19280 drawings"
  std::array<Counts, 3> splits;  ///< train, val, test: what was found, complete or not
  std::string image_format;      ///< "28x28x1 u8"
  std::string preprocessing;
  std::string cache;  ///< state of the cached copy: "intact: FILE", "none", "stale: FILE", ...
  std::vector<Problem> problems;

  bool ok() const noexcept { return problems.empty(); }
};

/// Reads and decodes every image of the source, whatever the cache holds, and compares the cached
/// pixels with their hash. Damage is listed, not thrown. Throws UsageError on a specification that
/// cannot work.
VerifyReport verify_dataset(const std::string& spec, const DatasetOptions& options = {});

/// The same for an Omniglot folder under any split.
VerifyReport verify_omniglot(const std::filesystem::path& folder, const DatasetOptions& options,
                             std::span<const CharacterRange> ranges = vinyals_split());

/// The same for miniImageNet under any split.
VerifyReport verify_mini_imagenet(const std::filesystem::path& path, const DatasetOptions& options,
                                  std::span<const ImagenetClass> split = ravi_split());

/// The same for a folder of images, under options.folder.
VerifyReport verify_image_folder(const std::filesystem::path& folder,
                                 const DatasetOptions& options);

}  // namespace protolith
