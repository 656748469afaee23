// data/cache: any file, and any description in a file whose checksums are right.
#include "data/cache.h"

#include <array>
#include <cstring>

#include "tests/fuzz/fuzz.h"

using namespace protolith;

namespace {

const CacheKey kKey{"test", "now"};

/// A cache file whose header fits the description and the pixels.
std::string with_header(const std::string& description, const std::string& pixels) {
  struct Header {
    std::array<char, 8> magic = {'P', 'R', 'O', 'T', 'O', 'S', 'E', 'T'};
    std::uint32_t version = 1, header_bytes = 64;
    std::uint64_t description_bytes, description_hash, pixel_offset, pixel_bytes;
    std::uint64_t pixel_hash = 0, header_hash = 0;
  } header{};
  static_assert(sizeof(Header) == 64);
  header.description_bytes = description.size();
  header.description_hash = hash_bytes(description.data(), description.size());
  header.pixel_offset = sizeof(header) + description.size();
  header.pixel_bytes = pixels.size();
  header.header_hash = hash_bytes(&header, offsetof(Header, header_hash));
  return std::string(reinterpret_cast<const char*>(&header), sizeof(header)) + description + pixels;
}

/// The texts that a description starts with.
std::string key_text() {
  std::string text;
  for (const std::string& part : {kKey.identity, kKey.state}) {
    const std::uint64_t size = part.size();
    text += std::string(reinterpret_cast<const char*>(&size), sizeof(size)) + part;
  }
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const fuzz::MemoryFile file;
  std::string_view input = fuzz::text_of(data, size);
  const std::size_t pixels = fuzz::take_choice(input);
  file.fill(pixels == 0 ? std::string(input)
                        : with_header(key_text() + std::string(input), std::string(pixels, '\1')));
  const CacheLookup found = read_cache(file.path(), kKey);
  if (!found.dataset) return 0;
  const Dataset& dataset = *found.dataset;
  check_pixels(file.path());
  for (const std::vector<ImageClass>& split : dataset.splits) {
    for (const ImageClass& c : split) {
      fuzz::require(c.first >= 0 && c.first + c.count <= dataset.images.shape()[0]);
    }
  }
  return 0;
}
