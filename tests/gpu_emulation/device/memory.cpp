#include "tests/gpu_emulation/device/memory.h"

#include <sanitizer/asan_interface.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "tests/gpu_emulation/device/poison.h"

namespace protolith::emulated {
namespace {

constexpr std::size_t kPage = 4096;
constexpr std::size_t kAlignment = 256;  // what cudaMalloc guarantees
constexpr std::size_t kFreedBlocks = 4096;
constexpr unsigned char kCanary = 0xC5;

std::size_t round_up(std::size_t value, std::size_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

std::uintptr_t address(const void* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

std::string describe(std::uintptr_t begin, std::size_t bytes, Space space) {
  std::ostringstream text;
  text << (space == Space::device ? "device" : "pinned") << " memory of " << bytes << " bytes at 0x"
       << std::hex << begin;
  return text.str();
}

bool all_canary(const std::byte* begin, const std::byte* end) {
  return std::all_of(begin, end, [](std::byte b) { return b == std::byte{kCanary}; });
}

}  // namespace

// A protection key opens and shuts all memory of that key by one register, not by every page's
// entry.
Memory::Memory() : key_(pkey_alloc(0, PKEY_DISABLE_ACCESS)) {}

Memory::~Memory() {
  clear();
  if (key_ >= 0) pkey_free(key_);
}

void Memory::clear() {
  for (const auto& [begin, block] : blocks_) {
    ASAN_UNPOISON_MEMORY_REGION(block.mapping, block.mapping_bytes);
    munmap(block.mapping, block.mapping_bytes);
  }
  for (const Block& block : freed_) munmap(block.mapping, block.mapping_bytes);
  for (const auto& [begin, reservation] : reservations_) {
    munmap(reinterpret_cast<void*>(begin), reservation.bytes);
  }
  if (file_ >= 0) close(file_);
  blocks_.clear();
  freed_.clear();
  reservations_.clear();
  physical_.clear();
  accessible_.clear();
  file_ = -1;
  total_ = kTotal;
  used_ = 0;
}

// The block ends at the last page's end but for alignment, so that a write past it faults; what is
// left of the pages holds a pattern that damage() looks for.
void* Memory::allocate(Space space, std::size_t bytes) {
  const std::size_t aligned = round_up(bytes, kAlignment);
  if (aligned < bytes || aligned > (std::size_t{1} << 46)) return nullptr;
  if (space == Space::device && aligned > total_ - std::min(total_, used_)) return nullptr;
  const std::size_t pages = round_up(aligned, kPage);
  void* const mapping = mmap(nullptr, pages + 2 * kPage, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (mapping == MAP_FAILED) return nullptr;
  std::byte* const first = static_cast<std::byte*>(mapping) + kPage;
  if (mprotect(first, pages, PROT_READ | PROT_WRITE) != 0) {
    munmap(mapping, pages + 2 * kPage);
    return nullptr;
  }
  std::byte* const begin = first + (pages - aligned);
  std::memset(first, kCanary, static_cast<std::size_t>(begin - first));
  fill_with_nan(begin, bytes);
  std::memset(begin + bytes, kCanary, aligned - bytes);
  ASAN_POISON_MEMORY_REGION(first, static_cast<std::size_t>(begin - first));
  ASAN_POISON_MEMORY_REGION(begin + bytes, aligned - bytes);
  if (space == Space::device) {
    used_ += aligned;
    give(first, pages);
  }
  blocks_[address(begin)] = {bytes, space, static_cast<std::byte*>(mapping), pages + 2 * kPage};
  return begin;
}

bool Memory::release(Space space, void* pointer, std::string& damaged) {
  const auto found = blocks_.find(address(pointer));
  if (found == blocks_.end() || found->second.space != space) return false;
  const Block block = found->second;
  {
    const Open open(*this);
    damaged = damage(found->first, block);
  }
  ASAN_UNPOISON_MEMORY_REGION(block.mapping, block.mapping_bytes);
  mmap(block.mapping, block.mapping_bytes, PROT_NONE,
       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
  if (space == Space::device) used_ -= round_up(block.bytes, kAlignment);
  freed_.push_back(block);
  if (freed_.size() > kFreedBlocks) {
    munmap(freed_.front().mapping, freed_.front().mapping_bytes);
    freed_.pop_front();
  }
  blocks_.erase(found);
  return true;
}

std::optional<Range> Memory::find(const void* pointer) const {
  const std::uintptr_t at = address(pointer);
  if (auto block = blocks_.upper_bound(at); block != blocks_.begin()) {
    --block;
    // The address one past an allocation belongs to nothing.
    if (at - block->first < block->second.bytes) {
      return Range{reinterpret_cast<std::byte*>(block->first), block->second.bytes,
                   block->second.space};
    }
  }
  for (const Range& range : accessible_) {
    if (at - address(range.begin) < range.bytes) return range;
  }
  return std::nullopt;
}

bool Memory::dead(const void* pointer) const {
  if (find(pointer)) return false;
  const std::uintptr_t at = address(pointer);
  const auto inside = [at](const Block& block) {
    return at - address(block.mapping) < block.mapping_bytes;
  };
  return std::any_of(freed_.begin(), freed_.end(), inside) ||
         std::any_of(blocks_.begin(), blocks_.end(),
                     [&](const auto& block) { return inside(block.second); }) ||
         std::any_of(reservations_.begin(), reservations_.end(),
                     [at](const auto& r) { return at - r.first < r.second.bytes; });
}

std::string Memory::check(const void* pointer, std::size_t bytes, Space space) const {
  const char* const wanted = space == Space::device ? "device" : "pinned";
  const auto range = find(pointer);
  std::ostringstream text;
  text << bytes << " bytes at " << pointer;
  if (!range) {
    text << (dead(pointer) ? ": freed or unmapped memory"
                           : std::string(": no ") + wanted + " memory");
  } else if (range->space != space) {
    text << ": not " << wanted << " memory";
  } else if (bytes > range->bytes - (address(pointer) - address(range->begin))) {
    text << ": past the end of " << describe(address(range->begin), range->bytes, space);
  } else {
    return {};
  }
  return text.str();
}

std::vector<std::string> Memory::live() const {
  std::vector<std::string> lines;
  for (const auto& [begin, block] : blocks_) {
    lines.push_back(describe(begin, block.bytes, block.space));
  }
  for (const auto& [begin, reservation] : reservations_) {
    lines.push_back("reserved " + describe(begin, reservation.bytes, Space::device));
  }
  for (const auto& [handle, memory] : physical_) {
    lines.push_back("physical memory of " + std::to_string(memory.bytes) + " bytes");
  }
  return lines;
}

std::vector<std::span<const std::byte>> Memory::device_ranges() const {
  std::vector<std::span<const std::byte>> ranges;
  for (const auto& [begin, block] : blocks_) {
    if (block.space != Space::device) continue;
    ranges.emplace_back(reinterpret_cast<const std::byte*>(begin), block.bytes);
  }
  for (const Range& range : accessible_) ranges.emplace_back(range.begin, range.bytes);
  return ranges;
}

std::string Memory::damage(std::uintptr_t begin, const Block& block) const {
  ASAN_UNPOISON_MEMORY_REGION(block.mapping, block.mapping_bytes);
  const auto* const data = reinterpret_cast<const std::byte*>(begin);
  const std::byte* const first = block.mapping + kPage;
  const std::byte* const end = block.mapping + block.mapping_bytes - kPage;
  const bool before = !all_canary(first, data), after = !all_canary(data + block.bytes, end);
  ASAN_POISON_MEMORY_REGION(first, static_cast<std::size_t>(data - first));
  ASAN_POISON_MEMORY_REGION(data + block.bytes, static_cast<std::size_t>(end - data) - block.bytes);
  if (!before && !after) return {};
  return std::string("a write ") + (before ? "before the start" : "past the end") + " of " +
         describe(begin, block.bytes, block.space);
}

std::string Memory::damage() const {
  for (const auto& [begin, block] : blocks_) {
    if (std::string text = damage(begin, block); !text.empty()) return text;
  }
  return {};
}

void Memory::give(void* begin, std::size_t bytes) {
  if (key_ >= 0) {
    pkey_mprotect(begin, bytes, PROT_READ | PROT_WRITE, key_);
  } else {
    mprotect(begin, bytes, open_ > 0 ? PROT_READ | PROT_WRITE : PROT_NONE);
  }
}

void Memory::set_open(bool open) {
  if (key_ >= 0) {
    pkey_set(key_, open ? 0 : PKEY_DISABLE_ACCESS);
    return;
  }
  const int protection = open ? PROT_READ | PROT_WRITE : PROT_NONE;
  for (const auto& [begin, block] : blocks_) {
    if (block.space == Space::device) {
      mprotect(block.mapping + kPage, block.mapping_bytes - 2 * kPage, protection);
    }
  }
  for (const Range& range : accessible_) mprotect(range.begin, range.bytes, protection);
}

Memory::Open::Open(Memory& memory) : memory_(memory) {
  if (memory_.open_++ == 0) memory_.set_open(true);
}

Memory::Open::~Open() {
  if (--memory_.open_ == 0) memory_.set_open(false);
}

}  // namespace protolith::emulated
