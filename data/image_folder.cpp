#include "data/image_folder.h"

#include <algorithm>
#include <optional>
#include <system_error>
#include <utility>

#include "data/class_split.h"
#include "data/source_state.h"
#include "engine/check.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

constexpr const char* kExpected = "give the folder that holds a folder of images for each class";

/// What is wrong when there is no such folder.
std::optional<Problem> absence(const fs::path& folder) {
  std::error_code ignored;
  if (fs::is_directory(folder, ignored)) return std::nullopt;
  return Problem{fmt::format("there is no folder {}", folder.string()), kExpected};
}

std::int32_t channels_of(const FolderOptions& options) {
  return options.image_mode == "grey" ? 1 : 3;
}

std::string preprocessing_of(const FolderOptions& options) {
  return picture_preprocessing(options.image_size, channels_of(options));
}

std::string source_of(const fs::path& folder) {
  return fs::absolute(folder).lexically_normal().string();
}

/// Counts what is skipped, and remembers the first for an example.
struct Skipped {
  std::size_t count = 0;
  std::string example;
  void add(const fs::path& path) {
    if (count++ == 0) example = path.string();
  }
};

/// What a folder holds; nothing, and a problem, when it cannot be read.
std::optional<std::vector<fs::path>> entries_of(const fs::path& folder, ImageContents& contents) {
  try {
    return visible_entries(folder);
  } catch (const Error& error) {
    contents.problems.push_back({error.what(), "make it readable, or remove it"});
    return std::nullopt;
  }
}

/// A link that leads nowhere is an image that cannot be read, as who decodes it will say.
std::vector<FileRef> images_among(const std::vector<fs::path>& entries, Skipped& skipped) {
  std::vector<FileRef> files;
  for (const fs::path& entry : entries) {
    std::error_code unresolved;
    const bool file = fs::is_regular_file(entry, unresolved);
    if ((file || unresolved) && names_image(entry.filename().string())) {
      files.push_back({{}, entry.string()});
    } else {
      skipped.add(entry);
    }
  }
  return files;
}

/// The class that `entry` is, be it with problems; nothing where it is no folder. A link that leads
/// nowhere may have led to one.
std::optional<FileClass> class_at(const fs::path& entry, Skipped& skipped,
                                  ImageContents& contents) {
  std::error_code unresolved;
  if (!fs::is_directory(entry, unresolved) && !unresolved) {
    skipped.add(entry);
    return std::nullopt;
  }
  FileClass found{entry.filename().string(), Split::train, {}};
  const auto entries = entries_of(entry, contents);
  if (!entries) return found;
  found.files = images_among(*entries, skipped);
  if (found.files.empty()) {
    contents.problems.push_back(
        {fmt::format("class '{}' has no images: {}", found.name, entry.string()),
         "add PNG, JPEG or BMP files, or remove the folder"});
  }
  return found;
}

/// The classes in the order of their names, not split yet.
std::vector<FileClass> find_classes(const fs::path& folder, ImageContents& contents) {
  std::vector<FileClass> classes;
  Skipped skipped;
  std::size_t images = 0;
  for (const fs::path& entry : entries_of(folder, contents).value_or(std::vector<fs::path>())) {
    auto c = class_at(entry, skipped, contents);
    if (!c) continue;
    images += c->files.size();
    classes.push_back(std::move(*c));
  }
  contents.recognised.push_back(
      fmt::format("{}: folder, {} classes, {} images", folder.string(), classes.size(), images));
  if (skipped.count > 0) {
    contents.notes.push_back(fmt::format(
        "{} files or folders are no images of a class (CLASS/FILE, named .png, .jpg, .jpeg or "
        ".bmp) and are skipped, the first: {}",
        skipped.count, skipped.example));
  }
  return classes;
}

/// Puts each class into its split, train first; those in none are left out.
std::vector<FileClass> split(std::vector<FileClass> classes, const FolderOptions& options,
                             ImageContents& contents) {
  std::vector<std::string> names;
  for (const FileClass& c : classes) names.push_back(c.name);
  const ClassSplit split =
      options.split_lists.empty()
          ? split_by_shares(names, parse_shares(options.split_shares), options.split_seed)
          : split_by_lists(options.split_lists, names);
  if (split.size() < classes.size()) {
    contents.notes.push_back(fmt::format("{} classes are in no list of {} and are left out",
                                         classes.size() - split.size(), options.split_lists));
  }
  std::erase_if(classes, [&](const FileClass& c) { return !split.contains(c.name); });
  for (FileClass& c : classes) c.split = split.at(c.name);
  std::stable_sort(classes.begin(), classes.end(),
                   [](const FileClass& a, const FileClass& b) { return a.split < b.split; });
  return classes;
}

/// Everything but the pixels, and the files that they come from.
std::vector<FileClass> list_contents(const fs::path& folder, const FolderOptions& options,
                                     ImageContents& contents) {
  contents.dataset.kind = "folder";
  contents.dataset.source = source_of(folder);
  contents.dataset.preprocessing = preprocessing_of(options);
  std::vector<FileClass> classes = list_image_classes(folder, contents);
  if (classes.size() < 2) return classes;
  try {
    return split(classes, options, contents);
  } catch (const UsageError&) {
    if (contents.problems.empty()) throw;
    return classes;  // what is wrong with themselves is to be told first
  }
}

void decode(const std::vector<FileClass>& classes, const FolderOptions& options,
            ImageContents& contents) {
  decode_classes(classes, options.image_size, channels_of(options), "replace or remove this file",
                 contents);
}

}  // namespace

std::vector<FileClass> list_image_classes(const fs::path& folder, ImageContents& contents) {
  if (const auto problem = absence(folder)) {
    contents.problems.push_back(*problem);
    return {};
  }
  std::vector<FileClass> classes = find_classes(folder, contents);
  if (classes.size() < 2) {
    contents.problems.push_back(
        {fmt::format("{} has {} classes (folders of images), two are needed at least",
                     folder.string(), classes.size()),
         kExpected});
  }
  return classes;
}

ImageContents read_image_folder(const fs::path& folder, const FolderOptions& options) {
  ImageContents contents;
  decode(list_contents(folder, options, contents), options, contents);
  return contents;
}

CacheKey image_folder_cache_key(const fs::path& folder, const FolderOptions& options) {
  constexpr int kToImages = 2;
  if (const auto problem = absence(folder)) throw_problems("the image folder", {*problem});
  const bool by_lists = !options.split_lists.empty();
  return {fmt::format("folder on white\n{}\n{}\n{}", source_of(folder), preprocessing_of(options),
                      by_lists ? "lists " + source_of(options.split_lists)
                               : fmt::format("shares {} seed {}", options.split_shares,
                                             options.split_seed)),
          folder_state(folder, kToImages) + (by_lists ? lists_state(options.split_lists) : "")};
}

Dataset open_image_folder(const std::string& folder, const DatasetOptions& options) {
  PROTOLITH_CHECK_USAGE(!folder.empty(),
                        "folder needs a path: write folder:PATH, where PATH holds a folder of "
                        "images for each class");
  return open_cached(image_folder_cache_key(folder, options.folder), options, [&] {
    ImageContents contents;
    const std::string source = "the image folder " + folder;
    const std::vector<FileClass> classes = list_contents(folder, options.folder, contents);
    throw_problems(source, contents.problems);
    decode(classes, options.folder, contents);
    throw_problems(source, contents.problems);
    for (const std::string& note : contents.notes) {
      if (options.warn) options.warn(note);
    }
    return std::move(contents.dataset);
  });
}

}  // namespace protolith
