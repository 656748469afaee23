#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "data/image_files.h"

namespace protolith {

/// A piece of the data on disk.
struct MiniImagenetPart {
  enum class Kind : std::uint8_t { archive, split_folder, images_folder, table };
  Kind kind;
  std::filesystem::path path;
};

/// What `path` offers: itself when it is an archive; else the folders train, val, test and images,
/// the tables train.csv, val.csv and test.csv, and the archives in that folder, or where it has
/// none of these, in its only sub-folder. A problem is noted when there is nothing.
std::vector<MiniImagenetPart> find_mini_imagenet(const std::filesystem::path& path,
                                                 std::vector<Problem>& problems);

/// Which file is which image of which class, as the parts say; not checked against any split.
struct MiniImagenetListing {
  using Place = std::pair<Split, std::string>;              ///< split and WNID
  std::map<Place, std::map<std::string, FileRef>> classes;  ///< files by their bare names
  std::vector<std::string> recognised;
};

/// Lists the parts' files, reading tables but no images. Archives that are damaged, folders that
/// cannot be read, tables that are wrong (a missing column, an image that is not there, or is
/// listed twice, in one class or two) and files that come twice are problems.
MiniImagenetListing list_mini_imagenet(const std::vector<MiniImagenetPart>& parts,
                                       std::vector<Problem>& problems);

}  // namespace protolith
