#include "data/omniglot.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <numeric>
#include <optional>
#include <string_view>
#include <utility>

#include "data/archive.h"
#include "data/image_codec.h"
#include "data/source_state.h"
#include "engine/check.h"
#include "engine/file.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

constexpr std::array<const char*, 2> kHalves = {"images_background", "images_evaluation"};
constexpr const char* kOrigin = "github.com/brendenlake/omniglot, folder python";
constexpr std::size_t kMaxPngBytes = std::size_t{1} << 16;  // the official ones have about 300
/// A PNG of a few kilobytes can decode to gigabytes; one of a wrong size that is near gets a
/// message that says which.
constexpr std::int64_t kMaxPixels = 4 * std::int64_t{kOmniglotStoredSide} * kOmniglotStoredSide;

/// One of the two halves of the data set on disk.
struct Half {
  fs::path path;
  bool zip = false;
};

std::optional<Half> find_half(const fs::path& folder, const std::string& name) {
  std::error_code ignored;
  fs::path path = folder / (name + ".zip");
  if (fs::is_regular_file(path, ignored)) return Half{path, true};
  path = folder / name;
  if (fs::is_directory(path, ignored)) return Half{path, false};
  return std::nullopt;
}

Problem missing_half(const fs::path& folder, const std::string& name) {
  return {fmt::format("{} has neither {}.zip nor a folder {}", folder.string(), name, name),
          fmt::format("download {}.zip there, from {}", name, kOrigin)};
}

/// The two halves, with a problem noted for each that is absent.
std::array<std::optional<Half>, 2> find_halves(const fs::path& folder,
                                               std::vector<Problem>& problems) {
  std::error_code ignored;
  if (!fs::is_directory(folder, ignored)) {
    problems.push_back({fmt::format("there is no folder {}", folder.string()),
                        fmt::format("give the folder that holds {}.zip and {}.zip, from {}",
                                    kHalves[0], kHalves[1], kOrigin)});
    return {};
  }
  std::array<std::optional<Half>, 2> halves;
  for (std::size_t i = 0; i < halves.size(); ++i) {
    halves[i] = find_half(folder, kHalves[i]);
    if (!halves[i]) problems.push_back(missing_half(folder, kHalves[i]));
  }
  return halves;
}

struct Drawing {
  std::string file;  // "0709_01.png", which orders the drawings of a character
  std::string name;  // for messages
  std::vector<std::byte> png;
};

/// The part of `path` from its `count`-th last component on: all of it when there are fewer.
std::string_view last_components(std::string_view path, int count) {
  std::size_t start = path.size() + 1;
  for (; count > 0 && start > 0; --count) {
    const std::size_t slash = start > 1 ? path.rfind('/', start - 2) : std::string_view::npos;
    start = slash == std::string_view::npos ? 0 : slash + 1;
  }
  return path.substr(start);
}

/// "ALPHABET/characterNN" of the drawing at ".../ALPHABET/characterNN/FILE", or nothing.
std::string_view character_of(std::string_view path) {
  const std::string_view file = last_components(path, 1);
  if (!file.ends_with(".png") || file.starts_with('.')) return {};
  const std::string_view place = last_components(path, 3);
  return place.size() > file.size() ? place.substr(0, place.size() - file.size() - 1) : place;
}

/// The drawings, still encoded, by character.
class Drawings {
 public:
  explicit Drawings(std::span<const CharacterRange> ranges) {
    for (const CharacterRange& range : ranges) {
      for (int number = range.first; number <= range.last; ++number) {
        drawings_[name_of(range, number)];
      }
    }
  }

  static std::string name_of(const CharacterRange& range, int number) {
    return fmt::format("{}/character{:02}", range.alphabet, number);
  }

  /// Room for the drawing at `path`? One more than there should be is taken, to tell too many.
  bool wants(const std::string& path) const {
    const auto found = drawings_.find(character_of(path));
    return found != drawings_.end() && std::cmp_less_equal(found->second.size(), kOmniglotDrawings);
  }

  void add(const std::string& path, const std::string& source, std::vector<std::byte> png) {
    drawings_.find(character_of(path))
        ->second.push_back({std::string(last_components(path, 1)),
                            fmt::format("{}: {}", source, path), std::move(png)});
    ++count_;
  }

  std::vector<Drawing>& of(const std::string& character) {
    std::vector<Drawing>& drawings = drawings_.at(character);
    std::sort(drawings.begin(), drawings.end(),
              [](const Drawing& a, const Drawing& b) { return a.file < b.file; });
    return drawings;
  }
  std::int64_t count() const noexcept { return count_; }

 private:
  std::map<std::string, std::vector<Drawing>, std::less<>> drawings_;
  std::int64_t count_ = 0;
};

void read_folder(const fs::path& folder, Drawings& drawings) {
  std::vector<fs::path> files;
  for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const fs::path& file : files) {
    const std::string path = file.lexically_relative(folder.parent_path()).string();
    if (!drawings.wants(path)) continue;
    drawings.add(path, folder.parent_path().string(), read_file(file, kMaxPngBytes));
  }
}

/// Reads a half into `drawings`. False, with a problem noted, when it is damaged.
bool read_half(const Half& half, Drawings& drawings, OmniglotContents& contents) {
  const std::int64_t before = drawings.count();
  try {
    if (half.zip) {
      read_archive(
          half.path, kMaxPngBytes, [&](const std::string& path) { return drawings.wants(path); },
          [&](const std::string& path, std::vector<std::byte> png) {
            drawings.add(path, half.path.string(), std::move(png));
          });
    } else {
      read_folder(half.path, drawings);
    }
  } catch (const std::exception& error) {  // Error, or the file system's own
    contents.problems.push_back(
        {error.what(), fmt::format("replace {}, from {}", half.path.string(), kOrigin)});
    return false;
  }
  contents.recognised.push_back(fmt::format("{}: {}, {} drawings", half.path.string(),
                                            half.zip ? "zip archive" : "folder",
                                            drawings.count() - before));
  return true;
}

/// Writes the drawing's 28x28 pixels. Throws Error naming the drawing.
void decode_drawing(const Drawing& drawing, std::uint8_t* pixels) {
  constexpr std::int32_t kStored = kOmniglotStoredSide;
  const DecodedImage image = decode_image(drawing.png, 1, drawing.name, kMaxPixels);
  PROTOLITH_CHECK(image.width == kStored && image.height == kStored,
                  "{}: {}x{} pixels instead of {}x{}", drawing.name, image.width, image.height,
                  kStored, kStored);
  sample_drawing(image.pixels.data(), pixels);
}

/// The drawings of a character to decode, and where to.
struct Job {
  const Drawing* drawing;
  std::size_t image;
  std::size_t split;
};

void decode(const std::vector<Job>& jobs, OmniglotContents& contents) {
  constexpr std::size_t kPixels = std::size_t{kOmniglotSide} * kOmniglotSide;
  std::uint8_t* pixels = contents.dataset.images.data<std::uint8_t>();
  std::vector<std::string> errors(jobs.size());
#pragma omp parallel for schedule(static)
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    try {
      decode_drawing(*jobs[i].drawing, pixels + jobs[i].image * kPixels);
    } catch (const std::exception& error) {  // must not leave a parallel region
      errors[i] = error.what();
    }
  }
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    if (errors[i].empty()) {
      ++contents.drawings[jobs[i].split];
    } else {
      contents.problems.push_back(
          {errors[i], fmt::format("replace this file or its archive, from {}", kOrigin)});
    }
  }
}

std::vector<ImageClass> turned_classes(const std::string& character, std::int32_t first) {
  std::vector<ImageClass> classes;
  for (std::int32_t turns = 0; turns < 4; ++turns) {
    classes.push_back(
        {fmt::format("{}/rot{:03}", character, 90 * turns), first, kOmniglotDrawings, turns});
  }
  return classes;
}

/// Lays out the characters of a range: their classes, and a job for each drawing.
class Layout {
 public:
  Layout(Drawings& drawings, OmniglotContents& contents, bool complete)
      : drawings_(drawings), contents_(contents), complete_(complete) {}

  void add(const CharacterRange& range) {
    std::string absent;
    for (int number = range.first; number <= range.last; ++number) {
      const std::string character = Drawings::name_of(range, number);
      add(character, range.split);
      if (drawings_.of(character).empty()) absent += fmt::format(" {}", number);
    }
    if (!absent.empty() && complete_) {
      contents_.problems.push_back(
          {fmt::format("alphabet {}: no drawings of characters{}", range.alphabet, absent),
           fmt::format("restore them, from {}", kOrigin)});
    }
  }
  const std::vector<Job>& jobs() const noexcept { return jobs_; }

 private:
  void add(const std::string& character, Split split_name) {
    const auto split = static_cast<std::size_t>(split_name);
    const std::vector<Drawing>& drawings = drawings_.of(character);
    const auto first = next_;
    next_ += kOmniglotDrawings;
    for (ImageClass& c : turned_classes(character, first)) {
      contents_.dataset.splits[split].push_back(std::move(c));
    }
    for (std::size_t i = 0; i < drawings.size() && i < kOmniglotDrawings; ++i) {
      jobs_.push_back({&drawings[i], static_cast<std::size_t>(first) + i, split});
    }
    const std::string fault = fault_of(drawings);
    if (fault.empty()) {
      ++contents_.characters[split];
    } else if (!drawings.empty() && (complete_ || drawings.size() > kOmniglotDrawings)) {
      contents_.problems.push_back(
          {fmt::format("{}: {}", character, fault),
           fmt::format("replace this folder or its archive, from {}", kOrigin)});
    }
  }

  /// What is wrong with the files of a character, in order: they end in _01.png to _20.png.
  static std::string fault_of(const std::vector<Drawing>& drawings) {
    if (drawings.size() > kOmniglotDrawings) {
      return fmt::format("more than {} drawings", kOmniglotDrawings);
    }
    if (drawings.size() < kOmniglotDrawings) {
      return fmt::format("{} drawings instead of {}", drawings.size(), kOmniglotDrawings);
    }
    for (std::size_t i = 0; i < drawings.size(); ++i) {
      const std::string ending = fmt::format("_{:02}.png", i + 1);
      if (!drawings[i].file.ends_with(ending)) {
        return fmt::format("{} where a file ending in {} belongs", drawings[i].file, ending);
      }
    }
    return {};
  }

  Drawings& drawings_;
  OmniglotContents& contents_;
  bool complete_;  // both halves were read, so that what is absent is worth a line of its own
  std::int32_t next_ = 0;
  std::vector<Job> jobs_;
};

std::int64_t count_characters(std::span<const CharacterRange> ranges) {
  return std::accumulate(ranges.begin(), ranges.end(), std::int64_t{0},
                         [](std::int64_t sum, const CharacterRange& range) {
                           return sum + range.last - range.first + 1;
                         });
}

}  // namespace

void sample_drawing(const std::uint8_t* stored, std::uint8_t* pixels) {
  constexpr std::int32_t kStored = kOmniglotStoredSide;
  for (std::int32_t y = 0; y < kOmniglotSide; ++y) {
    const std::int32_t from_y = nearest_source_index(y, kStored, kOmniglotSide);
    for (std::int32_t x = 0; x < kOmniglotSide; ++x) {
      const std::int32_t from_x = nearest_source_index(x, kStored, kOmniglotSide);
      *pixels++ = static_cast<std::uint8_t>(255 - stored[from_y * kStored + from_x]);
    }
  }
}

OmniglotContents read_omniglot(const fs::path& folder, std::span<const CharacterRange> ranges) {
  OmniglotContents contents;
  contents.dataset.kind = "omniglot";
  contents.dataset.source = fs::absolute(folder).lexically_normal().string();
  contents.dataset.preprocessing = kOmniglotPreprocessing;
  contents.dataset.scale = {1.0F / 255.0F};
  contents.dataset.shift = {0.0F};
  Drawings drawings(ranges);
  bool complete = true;
  for (const std::optional<Half>& half : find_halves(folder, contents.problems)) {
    complete = half && read_half(*half, drawings, contents) && complete;
  }
  contents.dataset.images = Tensor::host(
      {count_characters(ranges) * kOmniglotDrawings, kOmniglotSide, kOmniglotSide, 1}, DType::u8);
  Layout layout(drawings, contents, complete);
  for (const CharacterRange& range : ranges) layout.add(range);
  decode(layout.jobs(), contents);
  const Tensor& images = contents.dataset.images;
  contents.dataset.content_hash = hash_bytes(images.raw(), images.bytes());
  return contents;
}

CacheKey omniglot_cache_key(const fs::path& folder, std::span<const CharacterRange> ranges) {
  std::string split;
  for (const CharacterRange& range : ranges) {
    split += fmt::format("{} {} {} {}\n", range.alphabet, range.first, range.last,
                         to_string(range.split));
  }
  CacheKey key;
  key.identity = fmt::format("omniglot\n{}\n{}\nsplit {:016x}",
                             fs::absolute(folder).lexically_normal().string(),
                             kOmniglotPreprocessing, hash_bytes(split.data(), split.size()));
  std::vector<Problem> problems;
  const auto halves = find_halves(folder, problems);
  throw_problems("the Omniglot data", problems);
  for (const std::optional<Half>& half : halves) {
    constexpr int kToCharacters = 2;
    key.state +=
        fmt::format("{}: {}\n", half->path.filename().string(),
                    half->zip ? file_state(half->path) : folder_state(half->path, kToCharacters));
  }
  return key;
}

Dataset open_omniglot(const fs::path& folder, const DatasetOptions& options,
                      std::span<const CharacterRange> ranges) {
  return open_cached(omniglot_cache_key(folder, ranges), options, [&] {
    OmniglotContents contents = read_omniglot(folder, ranges);
    throw_problems("the Omniglot data in " + folder.string(), contents.problems);
    return std::move(contents.dataset);
  });
}

Dataset open_omniglot(const std::string& folder, const DatasetOptions& options) {
  PROTOLITH_CHECK_USAGE(!folder.empty(),
                        "omniglot needs a folder: write omniglot:FOLDER, where FOLDER holds "
                        "images_background.zip and images_evaluation.zip, from {}",
                        kOrigin);
  return open_omniglot(fs::path(folder), options, vinyals_split());
}

}  // namespace protolith
