#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace protolith {

/// Interleaved pixels, row-major.
struct DecodedImage {
  std::int32_t width = 0;
  std::int32_t height = 0;
  std::int32_t channels = 0;
  std::vector<std::uint8_t> pixels;  ///< [height, width, channels]
};

/// Wider and higher images are refused.
inline constexpr std::int64_t kMaxImageSide = 16384;

/// Decodes a PNG, JPEG or BMP to `channels` (1: grey, 3: RGB) 8-bit channels; a JPEG is turned as
/// its EXIF orientation says, what is transparent is laid on white; other metadata are ignored.
/// `name` is what error messages call it. Throws Error when the bytes are none of these, or of a
/// kind of them that is not read, are cut short, fail a PNG checksum (JPEG and BMP have none), or
/// describe a side of more than kMaxImageSide or in all more than `max_pixels` pixels (checked
/// before anything is allocated).
DecodedImage decode_image(std::span<const std::byte> bytes, std::int32_t channels,
                          const std::string& name, std::int64_t max_pixels = std::int64_t{1} << 26);

}  // namespace protolith
