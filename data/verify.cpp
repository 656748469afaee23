#include "data/verify.h"

#include "data/cache.h"
#include "data/image_folder.h"
#include "data/mini_imagenet.h"
#include "data/omniglot.h"
#include "data/synthetic.h"
#include "engine/check.h"

namespace protolith {
namespace {

void describe_images(const Dataset& dataset, VerifyReport& report) {
  const Shape& shape = dataset.images.shape();
  report.image_format =
      fmt::format("{}x{}x{} {}", shape[1], shape[2], shape[3], to_string(dataset.images.dtype()));
  report.preprocessing = dataset.preprocessing;
}

/// The state of the cached copy; a problem when it is intact as a file but not what the source
/// says.
void check_cache(const CacheKey& key, const DatasetOptions& options, std::uint64_t content_hash,
                 VerifyReport& report) {
  const std::filesystem::path folder = cache_folder(options);
  if (!options.use_cache || folder.empty()) {
    report.cache = "not used";
    return;
  }
  const std::string file = cache_file(folder, key).string();
  const CacheLookup found = read_cache(file, key);
  const std::string remedy = fmt::format("delete {}; the next start makes it anew", file);
  switch (found.state) {
    case CacheLookup::State::absent:
      report.cache = fmt::format("none yet: {}", file);
      return;
    case CacheLookup::State::stale:
    case CacheLookup::State::damaged:
      report.cache = fmt::format("to be made anew at the next start ({}): {}", found.reason, file);
      return;
    case CacheLookup::State::valid:
      break;
  }
  if (!check_pixels(file)) {
    report.cache = fmt::format("damaged: {}", file);
    report.problems.push_back({"the cached pixels fail their checksum", remedy});
  } else if (report.ok() && found.dataset->content_hash != content_hash) {
    report.cache = fmt::format("outdated: {}", file);
    report.problems.push_back({"the cached pixels differ from the files'", remedy});
  } else {
    report.cache = fmt::format("intact: {}", file);
  }
}

VerifyReport verify_generated(const std::string& spec, const Dataset& dataset) {
  VerifyReport report;
  report.spec = spec;
  for (std::size_t split = 0; split < report.splits.size(); ++split) {
    for (const ImageClass& c : dataset.splits[split]) {
      ++report.splits[split].classes;
      report.splits[split].images += c.count;
    }
  }
  report.recognised = {fmt::format("generated glyphs, {}", dataset.source)};
  report.cache = "not used: made anew at every start";
  describe_images(dataset, report);
  return report;
}

/// The report on image files, and on the cached copy that `key` finds.
VerifyReport verify_files(const ImageContents& contents, const DatasetOptions& options,
                          const std::function<CacheKey()>& key) {
  VerifyReport report;
  for (std::size_t split = 0; split < report.splits.size(); ++split) {
    report.splits[split] = {static_cast<std::int64_t>(contents.dataset.splits[split].size()),
                            contents.images[split]};
  }
  report.recognised = contents.recognised;
  report.recognised.insert(report.recognised.end(), contents.notes.begin(), contents.notes.end());
  report.problems = contents.problems;
  describe_images(contents.dataset, report);
  try {
    check_cache(key(), options, contents.dataset.content_hash, report);
  } catch (const Error&) {
    report.cache = "none: the source is incomplete";  // and the problems say so already
  }
  report.problems.insert(report.problems.end(), contents.doubts.begin(), contents.doubts.end());
  return report;
}

}  // namespace

VerifyReport verify_mini_imagenet(const std::filesystem::path& path, const DatasetOptions& options,
                                  std::span<const ImagenetClass> split) {
  VerifyReport report = verify_files(read_mini_imagenet(path, split), options,
                                     [&] { return mini_imagenet_cache_key(path, split); });
  report.spec = "mini-imagenet:" + path.string();
  return report;
}

VerifyReport verify_image_folder(const std::filesystem::path& folder,
                                 const DatasetOptions& options) {
  VerifyReport report = verify_files(read_image_folder(folder, options.folder), options, [&] {
    return image_folder_cache_key(folder, options.folder);
  });
  report.spec = "folder:" + folder.string();
  return report;
}

VerifyReport verify_omniglot(const std::filesystem::path& folder, const DatasetOptions& options,
                             std::span<const CharacterRange> ranges) {
  const OmniglotContents contents = read_omniglot(folder, ranges);
  VerifyReport report;
  report.spec = "omniglot:" + folder.string();
  constexpr std::int64_t kTurns = 4;
  for (std::size_t split = 0; split < report.splits.size(); ++split) {
    report.splits[split] = {contents.characters[split] * kTurns, contents.drawings[split]};
  }
  report.recognised = contents.recognised;
  report.problems = contents.problems;
  describe_images(contents.dataset, report);
  try {
    check_cache(omniglot_cache_key(folder, ranges), options, contents.dataset.content_hash, report);
  } catch (const Error&) {
    report.cache = "none: the source is incomplete";  // and the problems say so already
  }
  return report;
}

VerifyReport verify_dataset(const std::string& spec, const DatasetOptions& options) {
  const DatasetSpec parsed = parse_dataset_spec(spec);
  if (parsed.kind == "synthetic" || parsed.argument.empty()) {  // the latter throws for most kinds
    return verify_generated(spec, open_dataset(spec, options));
  }
  if (parsed.kind == "omniglot") return verify_omniglot(parsed.argument, options);
  if (parsed.kind == "mini-imagenet") return verify_mini_imagenet(parsed.argument, options);
  return verify_image_folder(parsed.argument, options);
}

}  // namespace protolith
