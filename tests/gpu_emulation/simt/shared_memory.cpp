#include "tests/gpu_emulation/simt/shared_memory.h"

#include <cstdint>
#include <cstring>
#include <string>

#include "tests/gpu_emulation/simt/executor.h"
#include "tests/gpu_emulation/simt/race_detector.h"

namespace simt {
namespace {

constexpr std::size_t kLimit = 48 << 10;

}  // namespace

void* SharedMemory::array(const void* key, std::size_t bytes) {
  for (const Array& array : arrays_) {
    if (array.key == key) return array.bytes.get();
  }
  if (used_ + bytes > kLimit) {
    throw Error("the block uses " + std::to_string(used_ + bytes) +
                " bytes of shared memory, which is more than 48 KiB");
  }
  used_ += bytes;
  const race::Unwatched scope;
  arrays_.push_back({key, poisoned(bytes)});
  return arrays_.back().bytes.get();
}

void SharedMemory::start(std::size_t dynamic_bytes) {
  used_ = dynamic_bytes;
  if (dynamic_bytes == 0) return;
  const race::Unwatched scope;
  dynamic_ = poisoned(dynamic_bytes);
}

void SharedMemory::end() {
  const race::Unwatched scope;
  arrays_.clear();
  dynamic_.reset();
}

SharedMemory::Bytes SharedMemory::poisoned(std::size_t bytes) {
  constexpr std::uint32_t kQuietNan = 0x7fc0dead;
  Bytes block(new std::byte[bytes]);
  for (std::size_t i = 0; i < bytes; i += sizeof kQuietNan) {
    std::memcpy(block.get() + i, &kQuietNan, std::min(sizeof kQuietNan, bytes - i));
  }
  return block;
}

}  // namespace simt
