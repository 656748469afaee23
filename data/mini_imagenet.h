#pragma once

#include <filesystem>
#include <span>
#include <string>

#include "data/cache.h"
#include "data/image_files.h"
#include "data/mini_imagenet_split.h"

namespace protolith {

inline constexpr std::int32_t kMiniImagenetImages = 600;  ///< per class
inline constexpr std::int32_t kMiniImagenetSide = 84;     ///< pixels

/// Reads `path`: a folder, or one zip or tar archive, compressed or not. What counts is the end of
/// a file's path, so that the layouts may lie in a folder of any name, packed or not, in one
/// archive or in one for each split:
///   {train,val,test}/WNID/FILE            a folder per split and class; or
///   images/FILE and {train,val,test}.csv  rows of `filename` and `label`, the WNID (Ravi).
/// A split may be absent as a whole; one that is there has all its classes, and no other's. Images
/// are 84x84 RGB, others are made so by fit_square; a class's images are in the order of their
/// names, so that both layouts give the same data. x = (pixel / 255 - mean) / deviation, by
/// ImageNet's channel means and standard deviations. Damage is listed, not thrown.
ImageContents read_mini_imagenet(const std::filesystem::path& path,
                                 std::span<const ImagenetClass> split = ravi_split());

/// What the cached copy depends on: sizes and times of archives and tables; of unpacked folders the
/// times of the class folders, not those of the 60,000 files in them: adding, removing and renaming
/// is noticed, overwriting in place is for verify to find. Throws Error when `path` holds none of
/// these.
CacheKey mini_imagenet_cache_key(const std::filesystem::path& path,
                                 std::span<const ImagenetClass> split = ravi_split());

/// The data set, through the cache. Throws UsageError without a path, Error on any problem; doubts,
/// such as a class of fewer than 600 images, are told to options.warn when the data is decoded.
Dataset open_mini_imagenet(const std::string& path, const DatasetOptions& options);
Dataset open_mini_imagenet(const std::filesystem::path& path, const DatasetOptions& options,
                           std::span<const ImagenetClass> split);

}  // namespace protolith
