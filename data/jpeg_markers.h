#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace protolith {

/// Whether the bytes start as every JPEG does.
bool is_jpeg(std::span<const std::byte> bytes);

/// What a JPEG's marker segments say.
struct JpegMarkers {
  /// The first APP1 segment that holds EXIF data, from the TIFF header on; empty without one.
  std::span<const std::byte> exif;
  std::int32_t width = 0;  ///< pixels, by the frame header; 0 without one
  std::int32_t height = 0;
};

/// Walks the marker segments of a JPEG (ITU-T T.81, annex B) to its end-of-image marker, because
/// stb_image decodes a file that is cut short to wrong pixels without a word, and writes beyond its
/// Huffman tables where a file says so. Throws Error that calls the file `name` when it ends before
/// its end-of-image marker, is coded as stb_image does not read it (arithmetic, lossless, not of 8
/// bits), has a Huffman table that does not fit, or more than 100 scans.
JpegMarkers scan_jpeg(std::span<const std::byte> bytes, const std::string& name);

}  // namespace protolith
