#include "data/image_set.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "data/image_folder.h"
#include "data/mini_imagenet.h"
#include "data/omniglot.h"
#include "data/synthetic.h"
#include "engine/check.h"

namespace protolith {
namespace {

constexpr std::array<const char*, 4> kSplitNames = {"train", "val", "test", "trainval"};

/// One line per kind of data set: adding a kind is adding a line.
struct Kind {
  const char* name;
  const char* usage;
  Dataset (*open)(const std::string& argument, const DatasetOptions& options);
  const char* remedy;  // when the split {} is absent
};

constexpr std::array kKinds = {
    Kind{"omniglot", "omniglot:FOLDER", &open_omniglot, "use the official archives"},
    Kind{"mini-imagenet", "mini-imagenet:PATH", &open_mini_imagenet,
         "add its folder {0}/WNID/*.jpg, an archive of that, or {0}.csv and its images"},
    Kind{"folder", "folder:PATH", &open_image_folder,
         "give it a share of the classes by --split-shares, or a list {0}.txt by --split-lists"},
    Kind{"synthetic", "synthetic or synthetic:SEED", &open_synthetic, "it has all of them"},
};

std::uint64_t mixed(std::uint64_t hash, std::uint64_t word) {
  constexpr std::uint64_t kPrime = 0x100000001b3U;
  hash = (hash ^ word) * kPrime;
  return hash ^ (hash >> 32);  // a product moves bits up only
}

const Kind& find_kind(const std::string& name, const std::string& spec) {
  for (const Kind& kind : kKinds) {
    if (name == kind.name) return kind;
  }
  throw UsageError(fmt::format("unknown data set '{}': expected KIND:PATH, one of {}", spec,
                               fmt::join(dataset_forms(), ", ")));
}

}  // namespace

std::string to_string(Split split) {
  return kSplitNames.at(static_cast<std::size_t>(split));
}

Split parse_split(const std::string& name) {
  for (std::size_t i = 0; i < kSplitNames.size(); ++i) {
    if (name == kSplitNames[i]) return static_cast<Split>(i);
  }
  throw UsageError(fmt::format("unknown split '{}': expected train, val, test or trainval", name));
}

std::vector<std::string> dataset_forms() {
  std::vector<std::string> forms;
  for (const Kind& kind : kKinds) forms.emplace_back(kind.usage);
  return forms;
}

std::vector<ImageClass> Dataset::classes(Split split) const {
  if (split != Split::trainval) return splits.at(static_cast<std::size_t>(split));
  std::vector<ImageClass> both = classes(Split::train);
  const std::vector<ImageClass>& val = splits[static_cast<std::size_t>(Split::val)];
  both.insert(both.end(), val.begin(), val.end());
  return both;
}

std::vector<ImageClass> Dataset::required_classes(Split split) const {
  for (const Split part : {Split::train, Split::val, Split::test}) {
    const bool needed = part == split || (split == Split::trainval && part != Split::test);
    PROTOLITH_CHECK_USAGE(!needed || !classes(part).empty(),
                          "the data set has no {} split ({}: {}); {}", to_string(part), kind,
                          source,
                          fmt::format(fmt::runtime(find_kind(kind, kind).remedy), to_string(part)));
  }
  return classes(split);
}

DatasetSpec parse_dataset_spec(const std::string& spec) {
  const std::size_t colon = spec.find(':');
  DatasetSpec parsed{spec.substr(0, colon),
                     colon == std::string::npos ? std::string() : spec.substr(colon + 1)};
  find_kind(parsed.kind, spec);
  return parsed;
}

Dataset open_dataset(const std::string& spec, const DatasetOptions& options) {
  const DatasetSpec parsed = parse_dataset_spec(spec);
  return find_kind(parsed.kind, spec).open(parsed.argument, options);
}

void ByteHash::add(std::span<const std::byte> part) {
  static_assert(std::endian::native == std::endian::little);
  bytes_ += part.size();
  while (!part.empty()) {
    std::uint64_t word = 0;
    const std::size_t step = std::min(part.size(), sizeof(word));
    std::memcpy(&word, part.data(), step);
    hash_ = mixed(hash_, word);
    part = part.subspan(step);
  }
}

std::uint64_t ByteHash::value() const {
  return mixed(hash_, bytes_);
}

std::uint64_t hash_bytes(const void* data, std::size_t bytes) {
  ByteHash hash;
  hash.add({static_cast<const std::byte*>(data), bytes});
  return hash.value();
}

}  // namespace protolith
