#include "data/image_codec.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string_view>

#include "data/jpeg_markers.h"
#include "data/orientation.h"
#include "data/stb_image.h"
#include "engine/check.h"

namespace protolith {
namespace {

constexpr std::array<unsigned char, 8> kPngSignature = {0x89, 'P',  'N',  'G',
                                                        '\r', '\n', 0x1a, '\n'};

constexpr std::array<std::uint32_t, 256> make_crc_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc & 1) != 0 ? crc >> 1 ^ 0xedb88320U : crc >> 1;
    table[i] = crc;
  }
  return table;
}

/// The CRC-32 of ISO 3309, as PNG's chunks carry it.
std::uint32_t crc32(std::span<const std::byte> bytes) {
  static constexpr std::array<std::uint32_t, 256> kTable = make_crc_table();
  std::uint32_t crc = 0xffffffffU;
  for (const std::byte b : bytes) {
    crc = kTable[(crc ^ static_cast<std::uint32_t>(b)) & 0xffU] ^ crc >> 8;
  }
  return ~crc;
}

std::uint32_t big_endian(std::span<const std::byte> bytes) {
  std::uint32_t value = 0;
  for (const std::byte b : bytes.first(4)) value = value << 8 | static_cast<std::uint32_t>(b);
  return value;
}

bool is_png(std::span<const std::byte> bytes) {
  return bytes.size() >= kPngSignature.size() &&
         std::memcmp(bytes.data(), kPngSignature.data(), kPngSignature.size()) == 0;
}

/// Walks the chunks of a PNG, because stb_image checks no checksum and would decode a damaged file
/// to wrong pixels without a word.
void check_png(std::span<const std::byte> bytes, const std::string& name) {
  std::span<const std::byte> rest = bytes.subspan(kPngSignature.size());
  while (true) {
    constexpr std::size_t kFraming = 12;  // length, type, checksum
    const bool whole = rest.size() >= kFraming && big_endian(rest) <= rest.size() - kFraming;
    PROTOLITH_CHECK(whole, "{}: the PNG ends after {} bytes, before its last chunk", name,
                    bytes.size());
    const std::size_t length = big_endian(rest);
    const auto typed = rest.subspan(4, 4 + length);
    const std::string type(reinterpret_cast<const char*>(typed.data()), 4);
    PROTOLITH_CHECK(crc32(typed) == big_endian(rest.subspan(8 + length)),
                    "{}: a PNG chunk at byte {} fails its checksum", name,
                    bytes.size() - rest.size());
    if (type == "IEND") return;
    rest = rest.subspan(kFraming + length);
  }
}

bool is_bmp(std::span<const std::byte> bytes) {
  return bytes.size() >= 2 && bytes[0] == std::byte{'B'} && bytes[1] == std::byte{'M'};
}

/// What a file says of itself, found without stb_image, which keeps to itself what it refuses.
struct Header {
  const char* format;
  std::int64_t width = 0;  ///< pixels; 0 where they are not found
  std::int64_t height = 0;
  int orientation = 1;
};

Header read_png_header(std::span<const std::byte> bytes, const std::string& name) {
  constexpr std::size_t kType = 12, kWidth = 16, kHeight = 20, kEnd = 24;
  check_png(bytes, name);
  Header header{"PNG"};
  if (bytes.size() >= kEnd && std::memcmp(bytes.data() + kType, "IHDR", 4) == 0) {
    header.width = big_endian(bytes.subspan(kWidth));
    header.height = big_endian(bytes.subspan(kHeight));
  }
  return header;
}

Header read_jpeg_header(std::span<const std::byte> bytes, const std::string& name) {
  const JpegMarkers markers = scan_jpeg(bytes, name);
  return {"JPEG", markers.width, markers.height, exif_orientation(markers.exif)};
}

/// What else a file's first bytes say it is, with the remedy.
std::string foreign_type(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()),
                              std::min<std::size_t>(bytes.size(), 12));
  const auto named = [](const char* type) {
    return fmt::format("{}: convert it to JPEG or PNG", type);
  };
  if (text.starts_with("RIFF") && text.ends_with("WEBP")) return named("WebP");
  if (text.starts_with("GIF8")) return named("GIF");
  const bool tiff = text.starts_with("II*") || text.starts_with(std::string_view("MM\0*", 4));
  if (tiff) return named("TIFF");
  if (text.size() == 12 && text.substr(4, 4) == "ftyp") return named("HEIC, AVIF or a film");
  return "unknown image type";
}

/// stb_image would look further for a JPEG's start than is_jpeg(), past what scan_jpeg() checks.
Header read_header(std::span<const std::byte> bytes, const std::string& name) {
  if (is_png(bytes)) return read_png_header(bytes, name);
  if (is_jpeg(bytes)) return read_jpeg_header(bytes, name);
  PROTOLITH_CHECK(is_bmp(bytes), "{}: not a PNG, JPEG or BMP image ({} bytes; {})", name,
                  bytes.size(), foreign_type(bytes));
  return {"BMP"};
}

void check_sides(const char* format, std::int64_t width, std::int64_t height,
                 const std::string& name) {
  static_assert(kMaxImageSide == STBI_MAX_DIMENSIONS);
  PROTOLITH_CHECK(
      std::max(width, height) <= kMaxImageSide,
      "{}: a {} of {}x{} pixels is larger than the {}x{} that are read; make it smaller", name,
      format, width, height, kMaxImageSide, kMaxImageSide);
}

struct StbFree {
  void operator()(stbi_uc* pixels) const noexcept { stbi_image_free(pixels); }
};

/// Pixels of `channels` channels, laid on white paper by the alpha behind each.
std::vector<std::uint8_t> on_white(std::span<const stbi_uc> pixels, std::size_t channels) {
  constexpr unsigned kWhite = 255;
  std::vector<std::uint8_t> result(pixels.size() / (channels + 1) * channels);
  std::uint8_t* out = result.data();
  for (std::size_t at = 0; at < pixels.size(); at += channels + 1) {
    const unsigned alpha = pixels[at + channels];
    for (std::size_t c = 0; c < channels; ++c) {
      const unsigned sum = alpha * pixels[at + c] + (kWhite - alpha) * kWhite;
      *out++ = static_cast<std::uint8_t>((sum + kWhite / 2) / kWhite);
    }
  }
  return result;
}

}  // namespace

DecodedImage decode_image(std::span<const std::byte> bytes, std::int32_t channels,
                          const std::string& name, std::int64_t max_pixels) {
  const Header header = read_header(bytes, name);
  check_sides(header.format, header.width, header.height, name);
  constexpr std::size_t kMaxBytes = std::size_t{1} << 30;  // stb_image counts in int
  PROTOLITH_CHECK(bytes.size() <= kMaxBytes, "{}: {} MiB is too much for one image", name,
                  bytes.size() >> 20);
  const auto* data = reinterpret_cast<const stbi_uc*>(bytes.data());
  const int size = static_cast<int>(bytes.size());
  DecodedImage image;
  image.channels = channels;
  int stored_channels = 0;
  PROTOLITH_CHECK(
      stbi_info_from_memory(data, size, &image.width, &image.height, &stored_channels) != 0,
      "{}: the {} is of a kind that is not read, or its header is damaged; save it again as an "
      "ordinary PNG or JPEG",
      name, header.format);
  // A BMP whose rows lie from top to bottom says so by a height below 0.
  const std::int64_t height = std::abs(std::int64_t{image.height});
  PROTOLITH_CHECK(image.width > 0 && height > 0, "{}: an image of {}x{} pixels has none", name,
                  image.width, height);
  check_sides(header.format, image.width, height, name);  // a BMP's were not known before
  PROTOLITH_CHECK(image.width * height <= max_pixels, "{}: {}x{} pixels, at most {} are accepted",
                  name, image.width, height, max_pixels);
  const bool alpha = !is_jpeg(bytes);  // which a JPEG has not
  const int loaded_channels = channels + (alpha ? 1 : 0);
  const std::unique_ptr<stbi_uc, StbFree> pixels(stbi_load_from_memory(
      data, size, &image.width, &image.height, &stored_channels, loaded_channels));
  PROTOLITH_CHECK(pixels != nullptr, "{}: the image is damaged ({})", name, stbi_failure_reason());
  const std::size_t count = static_cast<std::size_t>(image.width) *
                            static_cast<std::size_t>(image.height) *
                            static_cast<std::size_t>(loaded_channels);
  if (alpha) {
    image.pixels = on_white({pixels.get(), count}, static_cast<std::size_t>(channels));
  } else {
    image.pixels.assign(pixels.get(), pixels.get() + count);
  }
  apply_orientation(image, header.orientation);
  return image;
}

}  // namespace protolith
