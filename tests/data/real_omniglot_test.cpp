#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <map>

#include "data/archive.h"
#include "data/image_set.h"
#include "data/preparation.h"
#include "data/verify.h"
#include "tests/engine/temporary_folder.h"

namespace protolith {
namespace {

/// The folder of the official archives, or nothing.
std::filesystem::path real_omniglot() {
  const char* data = std::getenv("PROTOLITH_DATA");
  const std::filesystem::path folder =
      (data != nullptr ? std::filesystem::path(data)
                       : std::filesystem::path(PROTOLITH_GOLDENS) / "../../../shared/data") /
      "omniglot";
  return std::filesystem::exists(folder) ? folder : std::filesystem::path();
}

TEST_CASE("the official Omniglot: counts, pixels, cache, start-up time") {
  const std::filesystem::path folder = real_omniglot();
  if (folder.empty()) {
    std::cout << "skipped: no Omniglot archives; set PROTOLITH_DATA to the folder that holds "
                 "omniglot/\n";
    return;
  }
  const testing::TemporaryFolder cache;
  DatasetOptions options;
  options.cache_folder = cache.path().string();
  const std::string spec = "omniglot:" + folder.string();
  const Dataset first = open_dataset(spec, options);
  CHECK(first.images.shape() == Shape{32460, 28, 28, 1});
  CHECK(first.classes(Split::train).size() == 4112);
  CHECK(first.classes(Split::val).size() == 688);
  CHECK(first.classes(Split::test).size() == 1692);
  CHECK(first.classes(Split::train)[1] == ImageClass{"Angelic/character01/rot090", 0, 20, 1});
  // Of pixels that an independent decoder (Python's zlib and the formula) gave as well.
  CHECK(first.content_hash == 0x29efdc380871b58fU);

  double best_ms = 1e9;  // the best of a few, since a test machine may be busy
  for (int i = 0; i < 10; ++i) {
    const auto start = std::chrono::steady_clock::now();
    const Dataset again = open_dataset(spec, options);
    const std::chrono::duration<double, std::milli> taken =
        std::chrono::steady_clock::now() - start;
    best_ms = std::min(best_ms, taken.count());
    REQUIRE(again.from_cache);
    CHECK(again.splits == first.splits);
  }
#if !defined(PROTOLITH_SANITIZED)  // which slows the hashing of 25 MB
  CHECK(best_ms < 20.0);
#endif

  const VerifyReport report = verify_dataset(spec, options);
  CHECK(report.ok());
  CHECK(report.cache.starts_with("intact"));
  CHECK(report.splits[0].images == 20560);
  CHECK(report.splits[1].images == 3440);
  CHECK(report.splits[2].images == 8460);
}

TEST_CASE("every official drawing, as a file, becomes the pixels of the data set") {
  const std::filesystem::path folder = real_omniglot();
  if (folder.empty()) {
    std::cout << "skipped: no Omniglot archives; set PROTOLITH_DATA to the folder that holds "
                 "omniglot/\n";
    return;
  }
  const Dataset dataset = open_dataset("omniglot:" + folder.string(), {.use_cache = false});
  std::map<std::string, std::ptrdiff_t> first;  // image of "ALPHABET/characterNN"
  for (const ImageClass& c : dataset.classes(Split::trainval)) first.emplace(c.name, c.first);
  for (const ImageClass& c : dataset.classes(Split::test)) first.emplace(c.name, c.first);
  const Preparation preparation = preparation_of(dataset.preprocessing, 28, 28, 1);
  constexpr std::ptrdiff_t kSize = 28 * 28;
  int compared = 0, wrong = 0;
  for (const char* half : {"images_background.zip", "images_evaluation.zip"}) {
    read_archive(
        folder / half, 1 << 16,
        [](const std::string& path) { return path.ends_with(".png") && path[0] != '_'; },
        [&](const std::string& path, const std::vector<std::byte>& bytes) {
          const std::filesystem::path place(path);  // HALF/ALPHABET/characterNN/IIII_DD.png
          const std::filesystem::path character = place.parent_path();
          const std::string name = character.parent_path().filename().string() + "/" +
                                   character.filename().string() + "/rot000";
          const int drawing = std::stoi(place.stem().string().substr(5)) - 1;
          std::array<std::uint8_t, kSize> pixels{};
          prepare_image(preparation, bytes, path, pixels.data());
          const std::uint8_t* expected =
              dataset.images.data<std::uint8_t>() + (first.at(name) + drawing) * kSize;
          ++compared;
          wrong += std::equal(pixels.begin(), pixels.end(), expected) ? 0 : 1;
        });
  }
  CHECK(compared == 32460);
  CHECK(wrong == 0);
}

}  // namespace
}  // namespace protolith
