#include "data/mini_imagenet.h"

#include <algorithm>
#include <utility>

#include "data/mini_imagenet_listing.h"
#include "data/source_state.h"
#include "engine/check.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

constexpr std::int32_t kChannels = 3;

std::string preprocessing() {
  return picture_preprocessing(kMiniImagenetSide, kChannels);
}

constexpr const char* kRemedy = "replace this file, or unpack or download its archive again";

std::string source_of(const fs::path& path) {
  return fs::absolute(path).lexically_normal().string();
}

/// Classes by name, in one line that stays short.
std::string some(const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 5;
  const auto end = names.begin() + static_cast<std::ptrdiff_t>(std::min(names.size(), kShown));
  return fmt::format(
      "{}{}", fmt::join(names.begin(), end, ", "),
      names.size() > kShown ? fmt::format(" and {} more", names.size() - kShown) : std::string());
}

/// The listed classes in the split's order, each with its files in the order of their names.
std::vector<FileClass> ordered_classes(MiniImagenetListing& listing,
                                       std::span<const ImagenetClass> split) {
  std::vector<FileClass> classes;
  for (const ImagenetClass& c : split) {
    const auto found = listing.classes.find({c.split, std::string(c.wnid)});
    if (found == listing.classes.end()) continue;
    FileClass& added = classes.emplace_back(FileClass{std::string(c.wnid), c.split, {}});
    for (auto& [file, place] : found->second) added.files.push_back(std::move(place));
  }
  return classes;
}

/// Classes that belong to another split, or to none.
void check_places(const MiniImagenetListing& listing, std::span<const ImagenetClass> split,
                  std::vector<Problem>& problems) {
  for (const auto& [place, files] : listing.classes) {
    const Split at = place.first;
    const std::string& wnid = place.second;
    const auto known = std::find_if(split.begin(), split.end(),
                                    [&](const ImagenetClass& c) { return c.wnid == wnid; });
    if (known != split.end() && known->split == at) continue;
    const std::string example = files.begin()->second.name();
    if (known == split.end()) {
      problems.push_back({fmt::format("'{}' ({}) is no class of miniImageNet", wnid, example),
                          "remove it; folder:PATH reads any classes"});
    } else {
      problems.push_back(
          {fmt::format("class {} is in the {} split ({})", wnid, to_string(at), example),
           fmt::format("move it to the {} split, where Ravi and Larochelle have it",
                       to_string(known->split))});
    }
  }
}

/// Splits that are there in part.
void check_complete(const MiniImagenetListing& listing, std::span<const ImagenetClass> split,
                    std::vector<Problem>& problems) {
  bool any = false;
  for (const Split part : {Split::train, Split::val, Split::test}) {
    std::vector<std::string> missing;
    std::size_t all = 0;
    for (const ImagenetClass& c : split) {
      if (c.split != part) continue;
      ++all;
      if (!listing.classes.contains({part, std::string(c.wnid)})) missing.emplace_back(c.wnid);
    }
    any = any || missing.size() < all;
    if (missing.empty() || missing.size() == all) continue;
    problems.push_back({fmt::format("the {} split has {} of its {} classes: no images of {}",
                                    to_string(part), all - missing.size(), all, some(missing)),
                        "add them, or remove the whole split if it is not needed"});
  }
  if (any || !problems.empty()) return;
  problems.push_back({"no images were found",
                      "the layout is train/WNID/FILE.jpg (and val, test), or images/FILE.jpg with "
                      "train.csv (and val.csv, test.csv), in a folder or an archive"});
}

/// Splits with classes of another size than the published one.
void check_counts(const std::vector<FileClass>& classes, std::vector<Problem>& doubts) {
  for (const Split part : {Split::train, Split::val, Split::test}) {
    std::vector<std::string> odd;
    for (const FileClass& c : classes) {
      if (c.split == part && std::cmp_not_equal(c.files.size(), kMiniImagenetImages)) {
        odd.push_back(fmt::format("{} ({})", c.name, c.files.size()));
      }
    }
    if (odd.empty()) continue;
    doubts.push_back({fmt::format("{} classes of the {} split do not have {} images: {}",
                                  odd.size(), to_string(part), kMiniImagenetImages, some(odd)),
                      "accuracies will not compare with published ones"});
  }
}

/// Everything but the pixels, and the files that they come from.
std::vector<FileClass> list_contents(const fs::path& path, std::span<const ImagenetClass> split,
                                     ImageContents& contents) {
  Dataset& dataset = contents.dataset;
  dataset.kind = "mini-imagenet";
  dataset.source = source_of(path);
  dataset.preprocessing = preprocessing();
  MiniImagenetListing listing =
      list_mini_imagenet(find_mini_imagenet(path, contents.problems), contents.problems);
  contents.recognised = listing.recognised;
  check_places(listing, split, contents.problems);
  check_complete(listing, split, contents.problems);
  std::vector<FileClass> classes = ordered_classes(listing, split);
  check_counts(classes, contents.doubts);
  return classes;
}

void decode(const std::vector<FileClass>& classes, ImageContents& contents) {
  decode_classes(classes, kMiniImagenetSide, kChannels, kRemedy, contents);
}

}  // namespace

ImageContents read_mini_imagenet(const fs::path& path, std::span<const ImagenetClass> split) {
  ImageContents contents;
  decode(list_contents(path, split, contents), contents);
  return contents;
}

CacheKey mini_imagenet_cache_key(const fs::path& path, std::span<const ImagenetClass> split) {
  std::string classes;
  for (const ImagenetClass& c : split) {
    classes += fmt::format("{} {}\n", c.wnid, to_string(c.split));
  }
  CacheKey key;
  key.identity = fmt::format("mini-imagenet\n{}\n{}\nsplit {:016x}", source_of(path),
                             preprocessing(), hash_bytes(classes.data(), classes.size()));
  std::vector<Problem> problems;
  const std::vector<MiniImagenetPart> parts = find_mini_imagenet(path, problems);
  throw_problems("the miniImageNet data", problems);
  for (const MiniImagenetPart& part : parts) {
    key.state += fmt::format("{}: {}\n", part.path.filename().string(), file_state(part.path));
    if (part.kind == MiniImagenetPart::Kind::split_folder) key.state += folder_state(part.path, 1);
  }
  return key;
}

Dataset open_mini_imagenet(const fs::path& path, const DatasetOptions& options,
                           std::span<const ImagenetClass> split) {
  return open_cached(mini_imagenet_cache_key(path, split), options, [&] {
    ImageContents contents;
    const std::string source = "the miniImageNet data in " + path.string();
    const std::vector<FileClass> classes = list_contents(path, split, contents);
    throw_problems(source, contents.problems);  // before the long part
    decode(classes, contents);
    throw_problems(source, contents.problems);
    for (const Problem& doubt : contents.doubts) {
      if (options.warn) options.warn(fmt::format("{}; {}", doubt.what, doubt.remedy));
    }
    return std::move(contents.dataset);
  });
}

Dataset open_mini_imagenet(const std::string& path, const DatasetOptions& options) {
  PROTOLITH_CHECK_USAGE(!path.empty(),
                        "mini-imagenet needs its files: write mini-imagenet:PATH, where PATH is an "
                        "archive, or a folder that holds archives, or train/, val/ and test/, or "
                        "images/ with train.csv, val.csv and test.csv");
  return open_mini_imagenet(fs::path(path), options, ravi_split());
}

}  // namespace protolith
