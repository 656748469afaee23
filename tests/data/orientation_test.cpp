#include "data/orientation.h"

#include <doctest/doctest.h>

#include <span>
#include <string>

#include "tests/data/fixtures.h"

namespace protolith {
namespace {

/// EXIF data whose directory has a width entry, then the orientation.
std::string exif(bool little, int orientation, char type = 3) {
  const auto number = [&](std::size_t value, int size) {
    std::string text;
    for (int i = 0; i < size; ++i) {
      const int shift = 8 * (little ? i : size - 1 - i);
      text += static_cast<char>(value >> shift & 0xffU);
    }
    return text;
  };
  const auto entry = [&](std::size_t tag, std::size_t kind, std::size_t value) {
    return number(tag, 2) + number(kind, 2) + number(1, 4) + number(value, 2) + number(0, 2);
  };
  return (little ? "II" : "MM") + number(42, 2) + number(10, 4) + "??" + number(2, 2) +
         entry(0x0100, 3, 640) +
         entry(0x0112, static_cast<std::size_t>(type), static_cast<std::size_t>(orientation)) +
         number(0, 4);
}

int orientation_of(const std::string& bytes) {
  return exif_orientation(std::as_bytes(std::span(bytes)));
}

TEST_CASE("the orientation tag is read in both byte orders") {
  for (const bool little : {true, false}) {
    for (int value = 1; value <= 8; ++value) CHECK(orientation_of(exif(little, value)) == value);
    for (const int value : {0, 9, 255, 65535}) CHECK(orientation_of(exif(little, value)) == 1);
    CHECK(orientation_of(exif(little, 6, 4)) == 1);  // no short
  }
}

TEST_CASE("EXIF data that is cut short or senseless means the stored orientation") {
  const std::string whole = exif(true, 6);
  for (std::size_t size = 0; size < whole.size() - 8; ++size) {
    CHECK(orientation_of(whole.substr(0, size)) == 1);
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = '\xff';
    const int value = orientation_of(damaged);
    CHECK((value == 1 || value == 6));
  }
}

TEST_CASE("an image is turned as its orientation says") {
  // Rows ab, cd, ef as stored; what a viewer shows, by the picture in the Exif standard.
  const std::array<std::string, 8> shown = {"ab/cd/ef", "ba/dc/fe", "fe/dc/ba", "ef/cd/ab",
                                            "ace/bdf",  "eca/fdb",  "fdb/eca",  "bdf/ace"};
  for (int orientation = 0; orientation <= 9; ++orientation) {
    DecodedImage image{2, 3, 1, {'a', 'b', 'c', 'd', 'e', 'f'}};
    apply_orientation(image, orientation);
    std::string rows;
    for (std::size_t i = 0; i < 6; ++i) {
      if (i > 0 && i % static_cast<std::size_t>(image.width) == 0) rows += '/';
      rows += static_cast<char>(image.pixels[i]);
    }
    CAPTURE(orientation);
    CHECK(rows ==
          shown[orientation >= 1 && orientation <= 8 ? static_cast<std::size_t>(orientation - 1)
                                                     : 0]);
  }
  DecodedImage rgb{2, 1, 3, {1, 2, 3, 4, 5, 6}};
  apply_orientation(rgb, 2);
  CHECK(rgb.pixels == std::vector<std::uint8_t>{4, 5, 6, 1, 2, 3});
}

TEST_CASE("a JPEG is decoded as its EXIF orientation says") {
  // Left half black, right half white, stored on its side.
  std::string rgb;
  for (int i = 0; i < 64 * 32; ++i) rgb += std::string(3, i % 64 < 32 ? '\0' : '\xff');
  const std::string plain = testing::jpeg_file(64, 32, rgb);
  const std::string data = std::string("Exif\0\0", 6) + exif(false, 6);
  const std::string segment =
      std::string("\xff\xe1\0", 3) + static_cast<char>(data.size() + 2) + data;
  const std::string file = plain.substr(0, 2) + segment + plain.substr(2);
  const DecodedImage image = decode_image(std::as_bytes(std::span(file)), 1, "a.jpg");
  REQUIRE(image.width == 32);
  REQUIRE(image.height == 64);
  CHECK(image.pixels[5 * 32 + 16] < 20);
  CHECK(image.pixels[59 * 32 + 16] > 235);
}

}  // namespace
}  // namespace protolith
