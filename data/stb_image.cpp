// stb_image's implementation. It trusts what it reads more than it should; what follows, and the
// checks in image_codec and jpeg_markers, make up for that.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>

namespace {

/// A block starts with the bytes that were first asked for it, out of stb_image's sight.
constexpr std::size_t kHead = alignof(std::max_align_t);
static_assert(kHead >= sizeof(std::size_t));

std::byte* head_of(void* block) {
  return static_cast<std::byte*>(block) - kHead;
}

/// Memory of zeros: a JPEG may leave out a table that it decodes by, or pixels, and the result must
/// not depend on what the memory held before.
void* take(std::size_t bytes) {
  void* start = bytes <= SIZE_MAX - kHead ? std::calloc(1, kHead + bytes) : nullptr;
  if (start == nullptr) return nullptr;
  std::memcpy(start, &bytes, sizeof(bytes));
  return static_cast<std::byte*>(start) + kHead;
}

void give_back(void* block) {
  if (block != nullptr) std::free(head_of(block));
}

/// A larger block in its place, or null. What a PNG's stream inflates to is first given the size
/// that the image needs: one that grows far beyond that is a decompression bomb.
void* grow(void* block, std::size_t bytes) {
  constexpr std::size_t kAlways = std::size_t{1} << 27;  // and a file's own bytes are not more
  if (block == nullptr) return take(bytes);
  std::size_t first = 0;
  std::memcpy(&first, head_of(block), sizeof(first));
  if (bytes > std::max(kAlways, 2 * first)) return nullptr;
  void* start = std::realloc(head_of(block), kHead + bytes);
  return start != nullptr ? static_cast<std::byte*>(start) + kHead : nullptr;
}

}  // namespace

#define STBI_MALLOC(bytes) take(bytes)
#define STBI_REALLOC(block, bytes) grow(block, bytes)
#define STBI_FREE(block) give_back(block)
#define STBI_ASSERT(condition) \
  static_cast<void>(0)  // files make them fail; none may end the program
#define STB_IMAGE_IMPLEMENTATION
#include "data/stb_image.h"
