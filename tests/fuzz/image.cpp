// data/image_codec, with the JPEG markers and EXIF orientation that it reads, and what is done to a
// picture next. A PNG's checksums are made good first, or hardly any change would get past them.
#include <cstring>
#include <vector>

#include "data/image_codec.h"
#include "data/orientation.h"
#include "data/resample.h"
#include "tests/fuzz/fuzz.h"

using namespace protolith;

namespace {

std::uint32_t crc32(std::span<const std::byte> bytes) {
  std::uint32_t crc = 0xffffffffU;
  for (const std::byte b : bytes) {
    crc ^= static_cast<std::uint32_t>(b);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (0xedb88320U & (0U - (crc & 1U)));
  }
  return ~crc;
}

/// Writes the right checksum after each whole chunk.
void mend_png(std::span<std::byte> bytes) {
  constexpr std::size_t kSignature = 8, kFraming = 12;
  if (bytes.size() < kSignature || std::memcmp(bytes.data() + 1, "PNG", 3) != 0) return;
  for (auto rest = bytes.subspan(kSignature); rest.size() >= kFraming;) {
    std::size_t length = 0;
    for (std::size_t i = 0; i < 4; ++i) length = length << 8 | static_cast<std::size_t>(rest[i]);
    if (length > rest.size() - kFraming) return;
    const std::uint32_t crc = crc32(rest.subspan(4, 4 + length));
    for (std::size_t i = 0; i < 4; ++i) {
      rest[8 + length + i] = static_cast<std::byte>(crc >> (24 - 8 * i) & 0xffU);
    }
    rest = rest.subspan(kFraming + length);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string_view input = fuzz::text_of(data, size);
  const std::uint8_t choice = fuzz::take_choice(input);
  const auto* begin = reinterpret_cast<const std::byte*>(input.data());
  std::vector<std::byte> bytes(begin, begin + input.size());
  if (choice % 4 < 2) mend_png(bytes);
  fuzz::require(exif_orientation(bytes) >= 1 && exif_orientation(bytes) <= 8);
  fuzz::try_to([&] {
    const std::int32_t channels = choice % 2 == 0 ? 1 : 3;
    constexpr std::int64_t kMaxPixels = std::int64_t{1} << 20;
    const DecodedImage image = decode_image(bytes, channels, "fuzz", kMaxPixels);
    const auto pixels = std::int64_t{image.width} * image.height;
    fuzz::require(image.width > 0 && image.height > 0 && pixels <= kMaxPixels &&
                  static_cast<std::int64_t>(image.pixels.size()) == pixels * channels);
    constexpr std::int32_t kSide = 28;
    std::vector<std::uint8_t> fitted(static_cast<std::size_t>(kSide * kSide * channels));
    fit_square(image, kSide, fitted.data());
  });
  return 0;
}
