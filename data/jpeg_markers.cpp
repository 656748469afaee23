#include "data/jpeg_markers.h"

#include <cstdint>
#include <cstring>

#include "engine/check.h"

namespace protolith {
namespace {

constexpr std::uint8_t kStartOfImage = 0xd8;
constexpr std::uint8_t kEndOfImage = 0xd9;
constexpr std::uint8_t kStartOfScan = 0xda;
constexpr std::uint8_t kHuffmanTables = 0xc4;
constexpr std::uint8_t kApp1 = 0xe1;
/// Each scan of a progressive JPEG costs a pass over all of the image, however few bytes it has;
/// encoders write about 10.
constexpr std::size_t kMaxScans = 100;

std::uint8_t at(std::span<const std::byte> bytes, std::size_t i) {
  return static_cast<std::uint8_t>(bytes[i]);
}

std::size_t two_bytes(std::span<const std::byte> bytes, std::size_t i) {
  return std::size_t{at(bytes, i)} << 8 | at(bytes, i + 1);
}

/// Markers that no length follows: restart markers and TEM.
bool stands_alone(std::uint8_t marker) {
  return (marker >= 0xd0 && marker <= 0xd7) || marker == 0x01;
}

/// The position of the next marker's code from `i` on; bytes.size() when there is none. In
/// entropy-coded data FF 00 stands for a byte FF.
std::size_t next_marker(std::span<const std::byte> bytes, std::size_t i) {
  for (; i + 1 < bytes.size(); ++i) {
    if (at(bytes, i) == 0xff && at(bytes, i + 1) != 0x00 && at(bytes, i + 1) != 0xff) return i + 1;
  }
  return bytes.size();
}

/// Whether a segment's Huffman tables hold at most 256 symbols each, all of them there: stb_image
/// writes as many into its tables as the file says.
bool tables_fit(std::span<const std::byte> segment) {
  constexpr std::size_t kLengths = 16, kSymbols = 256;
  while (!segment.empty()) {
    if (segment.size() < 1 + kLengths) return false;
    std::size_t symbols = 0;
    for (std::size_t i = 1; i <= kLengths; ++i) symbols += at(segment, i);
    segment = segment.subspan(1 + kLengths);
    if (symbols > kSymbols || symbols > segment.size()) return false;
    segment = segment.subspan(symbols);
  }
  return true;
}

/// Whether a frame header follows (T.81, table B.1); F7 is that of JPEG-LS.
bool starts_frame(std::uint8_t marker) {
  constexpr std::uint8_t kReserved = 0xc8, kArithmeticTables = 0xcc, kJpegLs = 0xf7;
  return marker == kJpegLs || (marker >= 0xc0 && marker <= 0xcf && marker != kHuffmanTables &&
                               marker != kReserved && marker != kArithmeticTables);
}

/// Takes the size from a frame header, unless it is too short for one, as stb_image will say.
void read_frame(std::uint8_t marker, std::span<const std::byte> header, const std::string& name,
                JpegMarkers& found) {
  constexpr std::uint8_t kProgressive = 0xc2;  // and below: baseline, extended; all by Huffman
  constexpr std::size_t kSizes = 5;
  if (header.size() < kSizes) return;
  PROTOLITH_CHECK(marker <= kProgressive && at(header, 0) == 8,
                  "{}: a JPEG of a kind that is not read (arithmetic coding, 12 bits and lossless "
                  "are not); save it again as an ordinary one",
                  name);
  found.height = static_cast<std::int32_t>(two_bytes(header, 1));
  found.width = static_cast<std::int32_t>(two_bytes(header, 3));
}

}  // namespace

bool is_jpeg(std::span<const std::byte> bytes) {
  return bytes.size() >= 3 && at(bytes, 0) == 0xff && at(bytes, 1) == kStartOfImage &&
         at(bytes, 2) == 0xff;
}

JpegMarkers scan_jpeg(std::span<const std::byte> bytes, const std::string& name) {
  constexpr char kExif[] = {'E', 'x', 'i', 'f', '\0', '\0'};
  JpegMarkers found;
  std::size_t scans = 0;
  for (std::size_t i = next_marker(bytes, 2); i < bytes.size(); i = next_marker(bytes, i)) {
    const std::uint8_t marker = at(bytes, i++);
    if (marker == kEndOfImage && scans > 0) return found;
    if (stands_alone(marker)) continue;
    if (bytes.size() - i < 2) break;
    const std::size_t length = two_bytes(bytes, i);
    if (length < 2 || length > bytes.size() - i) break;
    const auto segment = bytes.subspan(i + 2, length - 2);
    if (marker == kApp1 && found.exif.empty() && segment.size() > sizeof(kExif) &&
        std::memcmp(segment.data(), kExif, sizeof(kExif)) == 0) {
      found.exif = segment.subspan(sizeof(kExif));
    }
    if (starts_frame(marker) && scans == 0) read_frame(marker, segment, name, found);
    PROTOLITH_CHECK(marker != kHuffmanTables || tables_fit(segment),
                    "{}: the JPEG is damaged: a Huffman table at byte {} does not fit its segment",
                    name, i);
    if (marker == kStartOfScan) ++scans;
    PROTOLITH_CHECK(scans <= kMaxScans, "{}: the JPEG has more than {} scans; save it again", name,
                    kMaxScans);
    i += length;
  }
  throw Error(fmt::format("{}: the JPEG is cut short: {} bytes, and no end-of-image marker", name,
                          bytes.size()));
}

}  // namespace protolith
