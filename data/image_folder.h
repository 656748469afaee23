#pragma once

#include <filesystem>
#include <string>

#include "data/cache.h"
#include "data/folder_options.h"
#include "data/image_files.h"

namespace protolith {

/// The classes of `folder`/CLASS/FILE in the order of their names, each with its files in the order
/// of theirs; their split is train. A missing folder, fewer than two classes, a class without
/// images and one that cannot be read are problems; what is skipped is a note. An image that is a
/// link to nowhere is among the files, for who reads them to find.
std::vector<FileClass> list_image_classes(const std::filesystem::path& folder,
                                          ImageContents& contents);

/// Reads the user's own images: `folder`/CLASS/FILE, PNG, JPEG or BMP by the files' names, of
/// any size that decode_image() takes and of at most kMaxImageBytes. They become squares of
/// options.image_size pixels by fit_square, RGB (normalised by ImageNet's channel means and
/// deviations) or grey (x = pixel / 255; what is transparent is white). Classes and files are in
/// the order of their names. Files that are no images by name and what lies deeper or outside a
/// class are skipped with a note; names that start with a dot, without. A class without images,
/// fewer than two classes, images and classes that cannot be read, links that lead nowhere among
/// them, are problems. Throws UsageError when the classes cannot be split as the options say.
ImageContents read_image_folder(const std::filesystem::path& folder, const FolderOptions& options);

/// What the cached copy depends on: the options, and sizes and times of every image and list.
/// Throws Error when the folder cannot be read.
CacheKey image_folder_cache_key(const std::filesystem::path& folder, const FolderOptions& options);

/// The data set that options.folder describes, through the cache. Throws UsageError without a
/// folder, Error on any problem; notes are told to options.warn when the images are decoded.
Dataset open_image_folder(const std::string& folder, const DatasetOptions& options);

}  // namespace protolith
