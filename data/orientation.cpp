#include "data/orientation.h"

#include <algorithm>
#include <cstdint>
#include <utility>

namespace protolith {
namespace {

/// Reads integers of a TIFF file; 0 beyond its end.
class TiffReader {
 public:
  explicit TiffReader(std::span<const std::byte> bytes)
      : bytes_(bytes), little_(at(0) == 'I' && at(1) == 'I') {}

  bool valid() const noexcept {
    return (little_ || (at(0) == 'M' && at(1) == 'M')) && number(2, 2) == 42;
  }
  /// The integer of `size` bytes at `position`.
  std::uint32_t number(std::size_t position, std::size_t size) const noexcept {
    std::uint32_t value = 0;
    for (std::size_t i = 0; i < size; ++i) {
      value = value << 8 | at(position + (little_ ? size - 1 - i : i));
    }
    return value;
  }

 private:
  std::uint32_t at(std::size_t position) const noexcept {
    return position < bytes_.size() ? static_cast<std::uint32_t>(bytes_[position]) : 0;
  }
  std::span<const std::byte> bytes_;
  bool little_;
};

}  // namespace

int exif_orientation(std::span<const std::byte> tiff) noexcept {
  const TiffReader reader(tiff);
  if (!reader.valid()) return 1;
  constexpr std::size_t kEntryBytes = 12;  // tag, type, count, value
  constexpr std::uint32_t kOrientation = 0x0112, kShort = 3;
  const std::size_t directory = reader.number(4, 4);
  const std::uint32_t entries = reader.number(directory, 2);
  for (std::size_t i = 0; i < entries; ++i) {
    const std::size_t entry = directory + 2 + i * kEntryBytes;
    if (reader.number(entry, 2) != kOrientation) continue;
    const std::uint32_t value = reader.number(entry + 8, 2);
    return reader.number(entry + 2, 2) == kShort && value >= 1 && value <= 8
               ? static_cast<int>(value)
               : 1;
  }
  return 1;
}

void apply_orientation(DecodedImage& image, int orientation) {
  if (orientation < 2 || orientation > 8) return;
  // As stored, the picture's rows run along the columns from 5 on; then its ends may be swapped.
  const bool transposed = orientation >= 5;
  const bool mirrored_x =
      orientation == 2 || orientation == 3 || orientation == 7 || orientation == 8;
  const bool mirrored_y =
      orientation == 3 || orientation == 4 || orientation == 6 || orientation == 7;
  const auto channels = static_cast<std::size_t>(image.channels);
  DecodedImage turned = image;
  if (transposed) std::swap(turned.width, turned.height);
  std::uint8_t* target = turned.pixels.data();
  for (std::int32_t y = 0; y < turned.height; ++y) {
    for (std::int32_t x = 0; x < turned.width; ++x) {
      std::int32_t from_x = transposed ? y : x;
      std::int32_t from_y = transposed ? x : y;
      if (mirrored_x) from_x = image.width - 1 - from_x;
      if (mirrored_y) from_y = image.height - 1 - from_y;
      const std::size_t from =
          static_cast<std::size_t>(from_y) * static_cast<std::size_t>(image.width) +
          static_cast<std::size_t>(from_x);
      target = std::copy_n(image.pixels.data() + from * channels, channels, target);
    }
  }
  image = std::move(turned);
}

}  // namespace protolith
