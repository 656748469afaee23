#include <doctest/doctest.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include "data/mini_imagenet.h"
#include "data/mini_imagenet_listing.h"

namespace protolith {
namespace {

/// The folder of the archive, or nothing.
std::filesystem::path real_mini_imagenet() {
  const char* data = std::getenv("PROTOLITH_DATA");
  const std::filesystem::path folder =
      (data != nullptr ? std::filesystem::path(data)
                       : std::filesystem::path(PROTOLITH_GOLDENS) / "../../../shared/data") /
      "mini_imagenet";
  return std::filesystem::exists(folder) ? folder : std::filesystem::path();
}

TEST_CASE("the real miniImageNet: every class of train and val, and two classes' pixels") {
  const std::filesystem::path folder = real_mini_imagenet();
  if (folder.empty()) {
    std::cout << "skipped: no miniImageNet; set PROTOLITH_DATA to the folder that holds "
                 "mini_imagenet/\n";
    return;
  }
  std::vector<Problem> problems;
  const MiniImagenetListing listing =
      list_mini_imagenet(find_mini_imagenet(folder, problems), problems);
  CHECK(problems.empty());
  for (const ImagenetClass& c : ravi_split()) {
    if (c.split == Split::test) continue;  // may be absent
    const auto found = listing.classes.find({c.split, std::string(c.wnid)});
    REQUIRE(found != listing.classes.end());
    CHECK(found->second.size() == 600);
  }

  // Decoding all would take a while under a sanitizer. The others are no classes of this split,
  // which is listed as problems.
  const std::array<ImagenetClass, 2> two = {
      {{"n01532829", Split::train}, {"n01855672", Split::val}}};
  const ImageContents contents = read_mini_imagenet(folder, two);
  CHECK(contents.problems.size() == listing.classes.size() - two.size());
  CHECK(contents.doubts.empty());
  CHECK(contents.dataset.images.shape() == Shape{1200, 84, 84, 3});
  CHECK(contents.images == std::array<std::int64_t, 3>{600, 600, 0});
  // libjpeg's pixels differ from these by 3 at most, by 0.09 on average.
  CHECK(contents.dataset.content_hash == 0x5392de84cb3207b4U);
}

}  // namespace
}  // namespace protolith
