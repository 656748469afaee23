#include "data/cache.h"

#include <doctest/doctest.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <future>
#include <string>
#include <thread>
#include <vector>

#include "data/omniglot.h"
#include "data/verify.h"
#include "engine/check.h"
#include "tests/data/fixtures.h"
#include "tests/engine/child_process.h"
#include "tests/engine/environment.h"
#include "tests/engine/temporary_folder.h"

namespace protolith {
namespace {

using testing::contains;
using testing::Environment;
using testing::kMiniRanges;
using testing::slurp;
using testing::spill;
using testing::TemporaryFolder;
using testing::write_folder;
using testing::write_zip;
using State = CacheLookup::State;

/// A small data set with a description long enough to damage.
Dataset small_dataset() {
  Dataset dataset;
  dataset.kind = "test";
  dataset.source = "here";
  dataset.preprocessing = "none";
  std::vector<std::uint8_t> pixels(6 * 4 * 4 * 3);
  for (std::size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(i * 7);
  dataset.images = Tensor::of<const std::uint8_t>(pixels, {6, 4, 4, 3});
  dataset.scale = {0.5F, 0.25F, 0.125F};
  dataset.shift = {-1.0F, 0.0F, 1.0F};
  dataset.splits = {{{{"a", 0, 2, 0}, {"a/rot090", 0, 2, 1}}, {{"b", 2, 2, 3}}, {{"c", 4, 2, 0}}}};
  dataset.content_hash = hash_bytes(dataset.images.raw(), dataset.images.bytes());
  return dataset;
}

void check_same(const Dataset& a, const Dataset& b) {
  CHECK(a.kind == b.kind);
  CHECK(a.source == b.source);
  CHECK(a.preprocessing == b.preprocessing);
  REQUIRE(a.images.shape() == b.images.shape());
  CHECK(std::memcmp(a.images.raw(), b.images.raw(), a.images.bytes()) == 0);
  CHECK(a.scale == b.scale);
  CHECK(a.shift == b.shift);
  CHECK(a.splits == b.splits);
  CHECK(a.content_hash == b.content_hash);
}

const CacheKey kKey{"test\n/some/where\nversion 1", "10 bytes"};

TEST_CASE("a cached data set comes back identical, mapped and aligned") {
  const TemporaryFolder folder;
  const auto file = cache_file(folder / "made" / "here", kKey);
  CHECK(file.filename().string().starts_with("test-"));
  CHECK(read_cache(file, kKey).state == State::absent);
  const Dataset dataset = small_dataset();
  write_cache(file, kKey, dataset);
  CacheLookup found = read_cache(file, kKey);
  REQUIRE(found.state == State::valid);
  check_same(*found.dataset, dataset);
  CHECK(found.dataset->from_cache);
  CHECK(check_pixels(file));
  CHECK(reinterpret_cast<std::uintptr_t>(found.dataset->images.raw()) % 4096 == 0);
  std::filesystem::remove(file);  // the mapping outlives the file
  check_same(*found.dataset, dataset);
  CHECK(read_cache(file, {kKey.identity, "11 bytes"}).state == State::absent);
}

TEST_CASE("another source, size or time is stale") {
  const TemporaryFolder folder;
  const auto file = folder / "x";
  write_cache(file, kKey, small_dataset());
  CHECK(read_cache(file, {kKey.identity, "11 bytes"}).state == State::stale);
  CHECK(read_cache(file, {"test\n/else/where\nversion 1", kKey.state}).state == State::stale);
  CHECK(cache_file(folder.path(), kKey) !=
        cache_file(folder.path(), {"test\n/else/where\nversion 1", kKey.state}));
  CHECK(cache_file(folder.path(), kKey) == cache_file(folder.path(), {kKey.identity, "new"}));
}

TEST_CASE("a cache that is cut short or longer, empty or a folder is damaged, never mapped") {
  const TemporaryFolder folder;
  const auto file = folder / "x";
  write_cache(file, kKey, small_dataset());
  const std::string whole = slurp(file);
  REQUIRE(whole.size() == 4096 + 6 * 4 * 4 * 3);
  for (std::size_t size = 0; size < whole.size(); size += size < 600 ? 1 : 97) {
    spill(file, whole.substr(0, size));
    CAPTURE(size);
    CHECK(read_cache(file, kKey).state == State::damaged);
  }
  spill(file, whole + "x");
  CHECK(read_cache(file, kKey).state == State::damaged);
  std::filesystem::remove(file);
  std::filesystem::create_directory(file);
  CHECK(read_cache(file, kKey).state == State::damaged);
}

TEST_CASE("any flipped byte of header or description is found at the start, of pixels by a check") {
  const TemporaryFolder folder;
  const auto file = folder / "x";
  write_cache(file, kKey, small_dataset());
  const std::string whole = slurp(file);
  const std::size_t used = 4096 - [&] {  // the description ends where the padding begins
    std::size_t zeros = 0;
    while (whole[4095 - zeros] == '\0') ++zeros;
    return zeros;
  }();
  for (std::size_t i = 0; i < used; ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x04);
    spill(file, damaged);
    CAPTURE(i);
    CHECK(read_cache(file, kKey).state == State::damaged);
  }
  for (std::size_t i = 4096; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x04);
    spill(file, damaged);
    const CacheLookup found = read_cache(file, kKey);
    REQUIRE(found.state == State::valid);
    CHECK_FALSE(check_pixels(file));
  }
}

TEST_CASE("checking many pixels finds damage at either end and keeps few of them in memory") {
  const TemporaryFolder folder;
  const auto file = folder / "x";
  constexpr std::size_t kBytes = 100'000'003;
  {
    Dataset dataset = small_dataset();
    dataset.images = Tensor::of<const std::uint8_t>(std::vector<std::uint8_t>(kBytes, 1),
                                                    {1, 1, static_cast<std::int64_t>(kBytes), 1});
    dataset.content_hash = hash_bytes(dataset.images.raw(), dataset.images.bytes());
    dataset.splits = {};
    write_cache(file, kKey, dataset);
  }
  CHECK(testing::in_child([&] {
          const std::size_t before = testing::peak_kib();
          const bool intact = check_pixels(file);
          const bool small = testing::peak_kib() - before < kBytes / 2 / 1024;
          return std::string(intact ? "intact" : "damaged") + (small ? "" : ", much memory");
        }) == "intact");
  for (const std::streamoff place : {std::streamoff{4096}, std::streamoff{4096 + kBytes - 1}}) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekp(place).put('\2').flush();
    CHECK_FALSE(check_pixels(file));
    stream.seekp(place).put('\1').flush();
    CHECK(check_pixels(file));
  }
}

TEST_CASE("pixels of what is no cache file, or of none, cannot be checked") {
  const TemporaryFolder folder;
  spill(folder / "x", "not a cache");
  CHECK_THROWS_AS(check_pixels(folder / "x"), Error);
  CHECK_THROWS_AS(check_pixels(folder / "missing"), Error);
}

TEST_CASE("a foreign version is refused by name") {
  const TemporaryFolder folder;
  const auto file = folder / "x";
  write_cache(file, kKey, small_dataset());
  std::string bytes = slurp(file);
  bytes[8] = 99;
  spill(file, bytes);
  CHECK(contains(read_cache(file, kKey).reason, "format version 99"));
}

TEST_CASE("classes that do not fit the images are refused though every checksum holds") {
  const TemporaryFolder folder;
  const auto file = folder / "x";
  const ImageClass bad[] = {{"d", 5, 2, 0},  {"d", -1, 2, 0},
                            {"d", 0, -1, 0}, {"d", 2147483647, 2147483647, 0},
                            {"d", 0, 2, 4},  {"d", 0, 2, -1}};
  for (const ImageClass& c : bad) {
    Dataset dataset = small_dataset();
    dataset.splits[1].push_back(c);
    write_cache(file, kKey, dataset);
    const CacheLookup found = read_cache(file, kKey);
    CHECK(found.state == State::damaged);
    CHECK(contains(found.reason, "class 'd'"));
  }
}

TEST_CASE("of two that open the same at once, one decodes and the other waits for it") {
  const TemporaryFolder folder;
  std::promise<void> decoding;
  std::promise<std::string> waiting;
  std::future<std::string> warned = waiting.get_future();
  const Dataset expected = small_dataset();

  std::thread other([&] {
    DatasetOptions options;
    options.cache_folder = folder.path().string();
    decoding.get_future().wait();
    options.warn = [&](const std::string& message) { waiting.set_value(message); };
    const Dataset opened = open_cached(kKey, options, []() -> Dataset {
      FAIL_CHECK("decoded twice");
      return small_dataset();
    });
    CHECK(opened.from_cache);
    check_same(opened, expected);
  });
  DatasetOptions options;
  options.cache_folder = folder.path().string();
  options.warn = [](const std::string& message) { FAIL_CHECK(message); };
  const Dataset first = open_cached(kKey, options, [&] {
    decoding.set_value();
    const bool waits = warned.wait_for(std::chrono::seconds(60)) == std::future_status::ready;
    CHECK(waits);
    if (waits) CHECK(contains(warned.get(), "waiting"));
    return small_dataset();
  });
  other.join();
  CHECK_FALSE(first.from_cache);
  check_same(first, expected);
  CHECK(folder.entries() == 1);
}

/// A mini Omniglot in a folder of its own, opened through a cache in another.
struct CachedMini {
  TemporaryFolder source;
  TemporaryFolder cache;
  std::vector<std::string> warnings;
  DatasetOptions options;

  CachedMini() {
    write_zip(source / "images_background.zip", testing::mini_background());
    write_folder(source.path(), testing::mini_evaluation());
    options.cache_folder = cache.path().string();
    options.warn = [this](const std::string& text) { warnings.push_back(text); };
  }
  Dataset open() const { return open_omniglot(source.path(), options, kMiniRanges); }
  Dataset decode() const {
    DatasetOptions without = options;
    without.use_cache = false;
    return open_omniglot(source.path(), without, kMiniRanges);
  }
  VerifyReport verify() const { return verify_omniglot(source.path(), options, kMiniRanges); }
  std::filesystem::path file() const {
    return cache_file(cache.path(), omniglot_cache_key(source.path(), kMiniRanges));
  }
};

TEST_CASE("the second start maps what the first one decoded; no temporary file stays") {
  const CachedMini mini;
  const Dataset first = mini.open();
  const Dataset second = mini.open();
  CHECK_FALSE(first.from_cache);
  CHECK(second.from_cache);
  check_same(first, second);
  CHECK(mini.cache.entries() == 1);
  CHECK(mini.warnings.empty());
  CHECK_FALSE(mini.decode().from_cache);
}

TEST_CASE("a changed source is decoded again, into the same cache file") {
  const CachedMini mini;
  const std::uint64_t before = mini.open().content_hash;
  testing::Files background = testing::mini_background();
  background[testing::mini_path("Alpha", 1, 1)] =
      testing::png(105, 105, [](int, int) { return false; });
  write_zip(mini.source / "images_background.zip", background);
  const Dataset changed = mini.open();
  CHECK_FALSE(changed.from_cache);
  CHECK(changed.content_hash != before);
  CHECK(mini.open().from_cache);

  // An unpacked half: replacing a drawing as editors do, by renaming over it, is noticed.
  const auto drawing = mini.source / testing::mini_path("Gamma", 3, 5);
  spill(mini.source / "new.png", slurp(mini.source / testing::mini_path("Gamma", 3, 6)));
  std::filesystem::rename(mini.source / "new.png", drawing);
  CHECK_FALSE(mini.open().from_cache);
  CHECK(mini.cache.entries() == 1);
}

TEST_CASE("a torn cache is made anew") {
  const CachedMini mini;
  const Dataset first = mini.decode();  // what is mapped must not be torn
  mini.open();
  const std::string whole = slurp(mini.file());
  for (const std::string& torn : {std::string(), whole.substr(0, whole.size() / 2)}) {
    spill(mini.file(), torn);
    const Dataset again = mini.open();
    CHECK_FALSE(again.from_cache);
    check_same(again, first);
    CHECK(slurp(mini.file()) == whole);
  }
}

TEST_CASE("a cache with damaged pixels is made anew, with a warning") {
  const CachedMini mini;
  const Dataset first = mini.decode();
  mini.open();
  const std::string whole = slurp(mini.file());
  std::string damaged = whole;
  damaged.back() = static_cast<char>(damaged.back() ^ 0x40);
  spill(mini.file(), damaged);
  const Dataset again = mini.open();
  CHECK_FALSE(again.from_cache);
  check_same(again, first);
  CHECK(slurp(mini.file()) == whole);
  REQUIRE(mini.warnings.size() == 1);
  CHECK(contains(mini.warnings[0], "the cached pixels fail their checksum"));
  CHECK(mini.open().from_cache);
}

TEST_CASE("a cache folder that cannot be written only warns") {
  CachedMini mini;
  spill(mini.cache / "file", "in the way");
  mini.options.cache_folder = (mini.cache / "file" / "below").string();
  const Dataset dataset = mini.open();
  CHECK(dataset.classes(Split::train).size() == 16);
  REQUIRE(mini.warnings.size() == 1);
  CHECK(contains(mini.warnings[0], (mini.cache / "file").string()));
  CHECK(contains(mini.warnings[0], "PROTOLITH_CACHE"));
  mini.options.warn = nullptr;
  CHECK_NOTHROW(mini.open());
}

TEST_CASE("verify reports counts, and a cache that differs from its source") {
  const CachedMini mini;
  CHECK(contains(mini.verify().cache, "none yet"));
  mini.open();
  const VerifyReport good = mini.verify();
  CHECK(good.ok());
  CHECK(contains(good.cache, "intact"));
  CHECK(good.image_format == "28x28x1 u8");
  REQUIRE(good.recognised.size() == 2);
  CHECK(contains(good.recognised[0], "images_background.zip: zip archive, 80 drawings"));
  CHECK(contains(good.recognised[1], "images_evaluation: folder, 60 drawings"));
  CHECK(good.splits[0].classes == 16);
  CHECK(good.splits[0].images == 80);
  CHECK(good.splits[1].classes == 4);
  CHECK(good.splits[2].classes == 8);
  CHECK(good.splits[2].images == 40);

  // Overwriting in place leaves the folder's time alone: only verify sees it.
  spill(mini.source / testing::mini_path("Gamma", 3, 5),
        slurp(mini.source / testing::mini_path("Gamma", 3, 6)));
  CHECK(mini.open().from_cache);
  REQUIRE(mini.verify().problems.size() == 1);
  CHECK(contains(mini.verify().problems[0].what, "differ from the files"));
  CHECK(contains(mini.verify().problems[0].remedy, mini.file().string()));

  std::string bytes = slurp(mini.file());
  bytes.back() = static_cast<char>(~bytes.back());
  spill(mini.file(), bytes);
  REQUIRE(mini.verify().problems.size() == 1);
  CHECK(contains(mini.verify().problems[0].what, "fail their checksum"));
}

TEST_CASE("verify lists every problem with a remedy") {
  const TemporaryFolder folder;
  DatasetOptions options;
  options.cache_folder = (folder / "cache").string();
  VerifyReport report = verify_omniglot(folder.path(), options, kMiniRanges);
  CHECK(report.problems.size() == 2);
  testing::Files background = testing::mini_background();
  for (int d = 3; d <= 9; ++d) background[testing::mini_path("Alpha", 1, d)] = "rubbish";
  background.erase(testing::mini_path("Beta", 1, 1));
  write_folder(folder.path(), background);
  write_folder(folder.path(), testing::mini_evaluation());
  report = verify_omniglot(folder.path(), options, kMiniRanges);
  CHECK(report.problems.size() == 8);
  for (const Problem& problem : report.problems) CHECK_FALSE(problem.remedy.empty());
  CHECK(report.splits[0].images == 73);
  CHECK(report.splits[1].classes == 0);
  CHECK(report.splits[1].images == 19);
  CHECK(verify_dataset("synthetic").ok());
  CHECK_THROWS_AS(verify_dataset("nonsense"), UsageError);
}

TEST_CASE("where the cache lies: option, PROTOLITH_CACHE, XDG_CACHE_HOME, home") {
  const Environment home("HOME", "/home/user");
  const Environment xdg("XDG_CACHE_HOME", "/var/xdg");
  const Environment own("PROTOLITH_CACHE", "/var/own");
  DatasetOptions options;
  options.cache_folder = "/option";
  CHECK(cache_folder(options) == "/option");
  CHECK(cache_folder({}) == "/var/own");
  const Environment no_own("PROTOLITH_CACHE", nullptr);
  CHECK(cache_folder({}) == "/var/xdg/protolith");
  const Environment relative("XDG_CACHE_HOME", "relative");
  CHECK(cache_folder({}) == "/home/user/.cache/protolith");
  const Environment no_xdg("XDG_CACHE_HOME", nullptr);
  CHECK(cache_folder({}) == "/home/user/.cache/protolith");
  const Environment no_home("HOME", nullptr);
  CHECK(cache_folder({}).empty());
}

}  // namespace
}  // namespace protolith
