#include "data/jpeg_markers.h"

#include <doctest/doctest.h>

#include <span>
#include <string>

#include "data/image_codec.h"
#include "engine/check.h"
#include "tests/data/fixtures.h"

namespace protolith {
namespace {

using testing::contains;
using testing::error_of;

std::string some_jpeg() {
  std::string rgb;
  for (int i = 0; i < 24 * 16 * 3; ++i) rgb += static_cast<char>(i * 37 % 256);
  return testing::jpeg_file(24, 16, rgb);
}

TEST_CASE("a JPEG cut short anywhere is refused by name") {
  const std::string file = some_jpeg();
  const auto decode = [](const std::string& bytes) {
    return decode_image(std::as_bytes(std::span(bytes)), 3, "a.jpg");
  };
  CHECK(decode(file).width == 24);
  CHECK(decode(file + "what cameras append").height == 16);
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK(contains(error_of([&] { decode(file.substr(0, size)); }), "a.jpg"));
  }
}

TEST_CASE("the EXIF segment is found, whole, and only where it is whole") {
  const auto scan = [](const std::string& bytes) {
    const auto found = scan_jpeg(std::as_bytes(std::span(bytes)), "a.jpg");
    return std::string(reinterpret_cast<const char*>(found.data()), found.size());
  };
  const std::string file = some_jpeg();
  CHECK(scan(file).empty());
  const std::string other("\xff\xe1\x00\x08other!", 10);
  const std::string exif(
      "\xff\xe1\x00\x0c"
      "Exif\0\0MM\0*",
      14);
  CHECK(scan(file.substr(0, 2) + other + exif + file.substr(2)) == std::string("MM\0*", 4));
  const std::string whole = file.substr(0, 2) + exif + file.substr(2);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK(contains(error_of([&] { scan(whole.substr(0, size)); }), "a.jpg"));
  }
  const std::string long_one(
      "\xff\xe1\xff\xff"
      "Exif\0\0",
      10);
  CHECK(contains(error_of([&] { scan(file.substr(0, 2) + long_one + file.substr(2)); }),
                 "cut short"));
}

}  // namespace
}  // namespace protolith
