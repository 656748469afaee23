#include "data/jpeg_markers.h"

#include <doctest/doctest.h>

#include <span>
#include <string>
#include <vector>

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
    const auto found = scan_jpeg(std::as_bytes(std::span(bytes)), "a.jpg").exif;
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

/// A JPEG whose Huffman tables are those in `tables`, before its own.
std::string with_tables(const std::string& tables) {
  const std::string file = some_jpeg();
  const std::size_t size = tables.size() + 2;
  const std::string head = {'\xff', '\xc4', static_cast<char>(size >> 8),
                            static_cast<char>(size & 0xff)};
  return file.substr(0, 2) + head + tables + file.substr(2);
}

std::string decoding_error(const std::string& file) {
  return error_of([&] { decode_image(std::as_bytes(std::span(file)), 3, "a.jpg"); });
}

TEST_CASE("Huffman tables that do not fit are refused before they are used") {
  const std::string none(16, '\0');
  CHECK(decoding_error(with_tables('\0' + none)) == "");
  std::string full = none;
  full[7] = '\xff';
  full[15] = '\x01';
  CHECK(decoding_error(with_tables('\0' + full + std::string(256, '\1'))) == "");
  // stb_image has room for 256 symbols of a table; this one has 16 times 255.
  const std::string wide = '\0' + std::string(16, '\xff');
  CHECK(contains(decoding_error(with_tables(wide + std::string(16 * 255, '\1'))),
                 "a Huffman table at byte 4 does not fit"));
  full[15] = '\x02';  // 257
  CHECK(
      contains(decoding_error(with_tables('\0' + full + std::string(257, '\1'))), "does not fit"));
  full[15] = '\x01';  // 256, of which one is missing
  CHECK(
      contains(decoding_error(with_tables('\0' + full + std::string(255, '\1'))), "does not fit"));
  CHECK(contains(decoding_error(with_tables('\0' + none + "\x10")), "does not fit"));
}

TEST_CASE("a JPEG that starts as only stb_image would accept is none") {
  // stb_image passes over more bytes FF, and over others between markers; scan_jpeg() would not
  // have seen such a file.
  const std::string file = some_jpeg();
  CHECK(decoding_error(file) == "");
  CHECK(contains(decoding_error('\xff' + file), "a.jpg: not a PNG, JPEG or BMP image"));
  CHECK(contains(decoding_error(file.substr(0, 2) + "x" + file.substr(2)), "not a PNG"));
}

TEST_CASE("a JPEG of a kind or size that is not read is called a JPEG, and why") {
  const std::string file = some_jpeg();
  const std::size_t frame = file.find("\xff\xc0");
  REQUIRE(frame != std::string::npos);
  const auto error_with = [&](std::size_t at, const std::string& bytes) {
    std::string changed = file;
    changed.replace(frame + at, bytes.size(), bytes);
    return decoding_error(changed);
  };
  constexpr std::size_t kMarker = 1, kBits = 4, kHeight = 5, kWidth = 7;
  // Lossless, arithmetic (sequential and progressive), JPEG-LS.
  for (const char marker : {'\xc3', '\xc9', '\xca', '\xf7'}) {
    CAPTURE(static_cast<int>(marker));
    CHECK(contains(error_with(kMarker, {marker}), "a.jpg: a JPEG of a kind that is not read"));
  }
  CHECK(contains(error_with(kBits, {'\x0c'}), "12 bits and lossless are not"));
  CHECK(contains(error_with(kWidth, "\x40\x01"), "a.jpg: a JPEG of 16385x16 pixels is larger"));
  CHECK(contains(error_with(kHeight, "\xff\xff"), "a.jpg: a JPEG of 24x65535 pixels is larger"));
  CHECK(contains(error_with(kHeight, std::string(2, '\0')), "a.jpg: the JPEG is of a kind"));
}

/// The file without its segments of that marker; they come before its scan.
std::string without(std::string file, unsigned char marker) {
  for (std::size_t i = 2; static_cast<unsigned char>(file[i + 1]) != 0xda;) {
    const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(file[at]); };
    const std::size_t length = 2U + byte(i + 2) * 256U + byte(i + 3);
    if (byte(i + 1) == marker) {
      file.erase(i, length);
    } else {
      i += length;
    }
  }
  return file;
}

TEST_CASE("a JPEG without its tables decodes to the same pixels whatever the memory held") {
  for (const int marker : {0xc4, 0xdb}) {  // Huffman tables, quantisation tables
    const std::string file = without(some_jpeg(), static_cast<unsigned char>(marker));
    REQUIRE(file.size() < some_jpeg().size());
    const auto outcome = [&](int filler) {
      // What the decoder takes next had these bytes.
      for (const std::size_t size : {20'000, 18'000, 1000}) {
        std::vector<std::vector<char>> dirt(8, std::vector<char>(size, static_cast<char>(filler)));
        for (const std::vector<char>& block : dirt)
          CHECK(block.back() == static_cast<char>(filler));
      }
      std::vector<std::uint8_t> pixels;
      const std::string error = error_of(
          [&] { pixels = decode_image(std::as_bytes(std::span(file)), 3, "a.jpg").pixels; });
      return std::pair(error, pixels);
    };
    CHECK(outcome(0x11) == outcome(0xee));
  }
}

TEST_CASE("more scans than any encoder writes are refused") {
  const std::string file = some_jpeg();
  const std::size_t scan = file.find("\xff\xda");
  REQUIRE(scan != std::string::npos);
  const std::string header = file.substr(scan, 14);
  std::string many;
  for (int i = 0; i < 100; ++i) many += header;
  CHECK(contains(decoding_error(file.substr(0, scan) + many + file.substr(scan)),
                 "more than 100 scans"));
}

/// A marker segment.
std::string segment(char marker, const std::string& contents) {
  const std::size_t size = contents.size() + 2;
  return {
      std::string{'\xff', marker, static_cast<char>(size >> 8), static_cast<char>(size & 0xff)} +
      contents};
}

TEST_CASE("coefficients that overflow are wrapped around") {
  // 65,792 blocks, each brighter than the one before by the most that can be, times the largest
  // divisor. stb_image adds and multiplies them as int: undefined, which the sanitizers see, unless
  // -fwrapv defines it.
  const auto huffman = [](char id, char symbol) {  // one symbol, coded by a bit 0
    return segment('\xc4', id + std::string("\1") + std::string(15, '\0') + symbol);
  };
  std::string bits;
  for (int block = 0; block < 256 * 257; ++block) bits += "0" + std::string(15, '1') + "0";
  std::string scan;
  for (std::size_t i = 0; i < bits.size(); i += 8) {
    scan += static_cast<char>(std::stoi(bits.substr(i, 8), nullptr, 2));
    if (scan.back() == '\xff') scan += '\0';
  }
  const std::string frame("\x08\x08\x08\x08\x00\1\1\x11\0", 9);  // 2048x2056 grey
  const std::string file = "\xff\xd8" + segment('\xdb', '\x10' + std::string(128, '\xff')) +
                           segment('\xc0', frame) + huffman('\0', '\x0f') + huffman('\x10', '\0') +
                           segment('\xda', std::string("\1\1\0\0\x3f\0", 6)) + scan + "\xff\xd9";
  CHECK(decoding_error(file) == "");
}

}  // namespace
}  // namespace protolith
