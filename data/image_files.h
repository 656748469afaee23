#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "data/image_set.h"
#include "data/problem.h"

namespace protolith {

/// Where the bytes of a file are: on disk, or in an archive on disk.
struct FileRef {
  std::filesystem::path archive;  ///< empty: `path` itself is on disk
  std::string path;

  /// What messages call it: the path, or "ARCHIVE: MEMBER".
  std::string name() const;
};

/// Everything that could be read of a data set of image files, and all that is wrong with it.
struct ImageContents {
  Dataset dataset;                       ///< complete only when there are no problems
  std::array<std::int64_t, 3> images{};  ///< good ones per split
  std::vector<std::string> recognised;   ///< a line per archive, folder or table
  std::vector<Problem> problems;         ///< what makes the data set unusable
  std::vector<Problem> doubts;           ///< what makes it another than the published one
  std::vector<std::string> notes;        ///< what was skipped, and is no fault
};

/// Larger files are refused as images.
inline constexpr std::size_t kMaxImageBytes = std::size_t{1} << 26;

/// "84x84 RGB, version 1": what is done to pictures of any size, be they miniImageNet's or the
/// user's own, so that a model may move between the two.
std::string picture_preprocessing(std::int32_t side, std::int32_t channels);
/// Sets scale and shift for pictures: RGB by the means and standard deviations of ImageNet's
/// channels, x = (p / 255 - mean) / deviation; grey x = p / 255.
void set_picture_normalisation(Dataset& dataset, std::int32_t channels);

/// Whether the name ends as those of PNG, JPEG and BMP files do, in any case.
bool names_image(std::string_view file);
/// Whether the name ends in .zip, .tar, .tgz or .tar.SOMETHING.
bool names_archive(std::string_view file);

/// What a folder holds, in the order of the names; without those that start with a dot. Throws
/// Error naming the folder when it cannot be read.
std::vector<std::filesystem::path> visible_entries(const std::filesystem::path& folder);

/// A class of image files, in order.
struct FileClass {
  std::string name;
  Split split;
  std::vector<FileRef> files;
};

/// Lays out the classes, which come in the order of their splits, as contents.dataset's splits and
/// images u8 [M, side, side, channels], and decodes every file into its place: fit_square, in
/// parallel, archives in one pass with few of their members in memory at once. An unreadable file
/// is a problem with `remedy`, and so is a member that its archive does not have, or that is asked
/// for twice; of members of one name the first counts. Fills in the content hash and the pictures'
/// normalisation. Throws UsageError on more images than 2^31 - 1.
void decode_classes(const std::vector<FileClass>& classes, std::int32_t side, std::int32_t channels,
                    const std::string& remedy, ImageContents& contents);

}  // namespace protolith
