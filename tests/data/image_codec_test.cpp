#include "data/image_codec.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <vector>

#include "engine/check.h"
#include "tests/data/fixtures.h"

namespace protolith {
namespace {

using testing::contains;
using testing::error_of;

DecodedImage decode(const std::string& bytes, std::int32_t channels = 1) {
  return decode_image(std::as_bytes(std::span(bytes)), channels, "a.png");
}

bool checkers(int x, int y) {
  return (x / 2 + y) % 3 == 0;
}

TEST_CASE("a 1-bit PNG decodes to 0 and 255, as grey and as RGB") {
  const std::string file = testing::png(11, 5, checkers);
  for (const std::int32_t channels : {1, 3}) {
    const DecodedImage image = decode(file, channels);
    REQUIRE(image.width == 11);
    REQUIRE(image.height == 5);
    REQUIRE(image.pixels.size() == static_cast<std::size_t>(11 * 5 * channels));
    for (int i = 0; i < 11 * 5 * channels; ++i) {
      const int pixel = i / channels;
      CHECK(image.pixels[static_cast<std::size_t>(i)] ==
            (checkers(pixel % 11, pixel / 11) ? 255 : 0));
    }
  }
}

TEST_CASE("what is transparent is white, as on paper") {
  // Black ink of four strengths, on nothing that is black as well: what drawing programs export.
  const std::string ink("\0\xff\0\x80\0\x01\0\0", 8);
  const std::string colours("\xff\0\0\xff\0\0\0\x80\x20\x40\x60\x01\0\0\0\0", 16);
  const auto bytes = [](const DecodedImage& image) {
    return std::vector<int>(image.pixels.begin(), image.pixels.end());
  };
  const std::string grey_file = testing::png_of_pixels(4, 1, 2, ink);
  CHECK(bytes(decode(grey_file)) == std::vector{0, 127, 254, 255});
  CHECK(bytes(decode(grey_file, 3)) ==
        std::vector{0, 0, 0, 127, 127, 127, 254, 254, 254, 255, 255, 255});
  const std::string colour_file = testing::png_of_pixels(4, 1, 4, colours);
  CHECK(bytes(decode(colour_file, 3)) ==
        std::vector{255, 0, 0, 127, 127, 127, 254, 254, 254, 255, 255, 255});
  CHECK(bytes(decode(colour_file)) == std::vector{76, 127, 254, 255});
  // One colour named as transparent.
  const std::string keyed = testing::png_of_pixels(2, 1, 3, "\x10\x20\x30\x10\x20\x31",
                                                   std::string("\0\x10\0\x20\0\x30", 6));
  CHECK(bytes(decode(keyed, 3)) == std::vector{255, 255, 255, 16, 32, 49});
}

TEST_CASE("a PNG cut short anywhere is refused by name") {
  const std::string file = testing::png(11, 5, checkers);
  for (std::size_t size = 0; size < file.size(); ++size) {
    CAPTURE(size);
    CHECK(contains(error_of([&] { decode(file.substr(0, size)); }), "a.png"));
  }
}

TEST_CASE("a PNG with any one bit flipped is refused") {
  // Every byte belongs to the signature, a length, a checksummed chunk or a checksum.
  const std::string file = testing::png(11, 5, checkers);
  for (std::size_t bit = 0; bit < file.size() * 8; ++bit) {
    std::string damaged = file;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    CAPTURE(bit);
    CHECK(error_of([&] { decode(damaged); }) != "");
  }
}

TEST_CASE("hostile sizes are refused before memory is taken") {
  CHECK(contains(error_of([] { decode(testing::png_file(0x7fffffff, 0x7fffffff, "")); }), "a.png"));
  CHECK(contains(error_of([] { decode(testing::png_file(16384, 16384, "")); }),
                 "16384x16384 pixels"));
  CHECK(error_of([] { decode(testing::png_file(0, 5, "")); }) != "");
  CHECK(error_of([] { decode(testing::png_file(8000, 8000, "")); }) != "");  // no rows for them
}

TEST_CASE("an image too large to be read is called so, with its format and the limit") {
  const auto refused = [](std::uint32_t width, std::uint32_t height) {
    return error_of([&] { decode(testing::png_file(width, height, "")); });
  };
  CHECK(contains(refused(17000, 17000),
                 "a.png: a PNG of 17000x17000 pixels is larger than the "
                 "16384x16384 that are read"));
  CHECK(contains(refused(70000, 10), "a.png: a PNG of 70000x10 pixels is larger"));
  CHECK(contains(refused(10, 16385), "a.png: a PNG of 10x16385 pixels is larger"));
  CHECK_FALSE(contains(refused(10, 16384), "larger"));
  std::string bmp = testing::bmp_file(2, 2, std::string(12, '\x7f'));
  const std::int32_t width = 20000;
  std::memcpy(bmp.data() + 18, &width, sizeof width);
  CHECK(contains(error_of([&] { decode(bmp); }), "a.png: a BMP of 20000x2 pixels is larger"));
}

TEST_CASE("a file of a known format that is not read is not called unknown") {
  std::string bmp = testing::bmp_file(2, 2, std::string(12, '\x7f'));
  bmp[30] = '\1';  // run-length encoded
  CHECK(contains(error_of([&] { decode(bmp); }), "a.png: the BMP is of a kind that is not read"));
  CHECK(contains(error_of([] { decode(testing::png_file(0, 5, "")); }),
                 "a.png: the PNG is of a kind that is not read, or its header is damaged"));
}

/// A zlib stream of zeros, 258 times `copies` of them and one: a literal, then copies of the
/// longest kind, in the fixed codes of RFC 1951.
std::string zlib_zeros(int copies) {
  std::string stream = "\x78\x01";
  unsigned bits = 0;
  int count = 0;
  const auto put = [&](const std::string& code) {
    for (const char bit : code) {
      bits |= (bit == '1' ? 1U : 0U) << count;
      if (++count < 8) continue;
      stream += static_cast<char>(bits);
      bits = 0;
      count = 0;
    }
  };
  put("1"
      "10"
      "00110000");
  for (int i = 0; i < copies; ++i)
    put("11000101"
        "00000");
  put("0000000"
      "0000000");
  return stream + std::string(4, '\0');
}

TEST_CASE("a PNG whose stream goes on beyond its pixels is not followed for long") {
  CHECK(decode(testing::png_of_stream(5, 1, zlib_zeros(1))).pixels.size() == 5);
  CHECK(decode(testing::png_of_stream(5, 1, zlib_zeros(10'000))).pixels.size() == 5);
  const std::string bomb = testing::png_of_stream(5, 1, zlib_zeros(600'000));
  CHECK(bomb.size() < 1'000'000);  // and 155 MB of zeros
  CHECK(contains(error_of([&] { decode(bomb); }), "the image is damaged (outofmem)"));
}

/// Leaves bytes on the stack for what is called next.
[[gnu::noinline]] void fill_stack(int filler) {
  std::array<volatile char, 1 << 15> bytes;
  for (volatile char& byte : bytes) byte = static_cast<char>(filler);
}

TEST_CASE("a BMP that uses colours beyond its palette decodes to the same pixels every time") {
  std::string file("BM", 2);
  const auto put = [&](std::uint32_t value, int bytes) {
    for (; bytes > 0; --bytes, value >>= 8U) file += static_cast<char>(value & 0xffU);
  };
  constexpr std::uint32_t kHead = 14 + 40, kPalette = 2 * 4, kRow = 4;
  put(kHead + kPalette + kRow, 4);
  put(0, 4);
  put(kHead + kPalette, 4);
  put(40, 4);
  put(8, 4);  // 8x1 pixels of 4 bits
  put(1, 4);
  put(1, 2);
  put(4, 2);
  put(0, 8);
  put(0, 8);
  put(2, 4);
  put(0, 4);
  put(0, 4);           // black
  put(0xffffff, 4);    // white
  put(0x98765210, 4);  // the pixels
  const auto pixels = [&](int filler) {
    fill_stack(filler);
    return decode(file).pixels;
  };
  const std::vector<std::uint8_t> first = pixels(0x11);
  REQUIRE(first.size() == 8);
  CHECK(first == pixels(0xee));
}

TEST_CASE("a BMP's sizes count whichever way its rows lie, and none of them may be 0") {
  const auto file = [](std::int32_t width, std::int32_t height) {
    std::string bytes = testing::bmp_file(2, 2, std::string(12, '\x7f'));
    std::memcpy(bytes.data() + 18, &width, sizeof width);
    std::memcpy(bytes.data() + 22, &height, sizeof height);
    return bytes;
  };
  CHECK(decode(file(2, -2)).pixels == decode(file(2, 2)).pixels);
  CHECK(contains(error_of([&] { decode(file(2, 0)); }), "a.png: an image of 2x0 pixels"));
  CHECK(contains(error_of([&] { decode(file(0, 2)); }), "a.png: an image of 0x2 pixels"));
  CHECK(contains(error_of([&] { decode(file(16384, -16384)); }), "16384x16384 pixels"));
  CHECK(error_of([&] { decode(file(2, INT32_MIN)); }) != "");
}

TEST_CASE("what is no image is refused with its name and size") {
  CHECK(contains(error_of([] { decode("<html>404 not found</html>"); }),
                 "a.png: not a PNG, JPEG or BMP image (26 bytes"));
  const auto told = [](const std::string& bytes) { return error_of([&] { decode(bytes); }); };
  CHECK(contains(told("GIF89a......"), "GIF: convert it to JPEG or PNG)"));
  CHECK(contains(told("RIFF....WEBPVP8 "), "WebP: convert it"));
  CHECK(contains(told(std::string("MM\0*........", 12)), "TIFF: convert it"));
  CHECK(contains(told(std::string("\0\0\0\x18"
                                  "ftypheic....",
                                  16)),
                 "HEIC, AVIF or a film: conv"));
  CHECK(contains(told("RIFF....WAVE"), "unknown image type"));
  CHECK(error_of([] { decode(""); }) != "");
  CHECK(error_of([] { decode(std::string("\xff\xd8\xff\xe0\x00\x10JFIF", 10)); }) != "");
}

}  // namespace
}  // namespace protolith
