#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "data/image_set.h"
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
  CHECK(best_ms < 20.0);

  const VerifyReport report = verify_dataset(spec, options);
  CHECK(report.ok());
  CHECK(report.cache.starts_with("intact"));
  CHECK(report.splits[0].images == 20560);
  CHECK(report.splits[1].images == 3440);
  CHECK(report.splits[2].images == 8460);
}

}  // namespace
}  // namespace protolith
