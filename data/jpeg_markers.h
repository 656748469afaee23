#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace protolith {

/// Whether the bytes start as every JPEG does.
bool is_jpeg(std::span<const std::byte> bytes);

/// Walks the marker segments of a JPEG (ITU-T T.81, annex B) to its end-of-image marker, because
/// stb_image decodes a file that is cut short to wrong pixels without a word, and writes beyond its
/// Huffman tables where a file says so. Returns the contents of the first APP1 segment that holds
/// EXIF data (from the TIFF header on), empty where there is none. Throws Error that calls the file
/// `name` when it ends before its end-of-image marker, has a Huffman table that does not fit, or
/// more than 100 scans.
std::span<const std::byte> scan_jpeg(std::span<const std::byte> bytes, const std::string& name);

}  // namespace protolith
