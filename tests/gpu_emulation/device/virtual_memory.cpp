// Address ranges, physical memory and mappings, as the driver keeps them.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>

#include "tests/gpu_emulation/device/memory.h"
#include "tests/gpu_emulation/device/poison.h"

namespace protolith::emulated {
namespace {

void* inaccessible(void* at, std::size_t bytes) {
  return mmap(at, bytes, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at != nullptr ? MAP_FIXED : 0), -1, 0);
}

}  // namespace

CUresult Memory::reserve(CUdeviceptr* pointer, std::size_t bytes, std::size_t alignment) {
  alignment = std::max(alignment, kGranule);
  if (bytes == 0 || bytes % kGranule != 0 || (alignment & (alignment - 1)) != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  void* const mapping = inaccessible(nullptr, bytes + alignment);
  if (mapping == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  const auto first = reinterpret_cast<std::uintptr_t>(mapping);
  const std::uintptr_t begin = (first + alignment - 1) / alignment * alignment;
  if (begin != first) munmap(mapping, begin - first);
  munmap(reinterpret_cast<void*>(begin + bytes), alignment - (begin - first));
  reservations_[begin] = {bytes, {}};
  *pointer = begin;
  return CUDA_SUCCESS;
}

CUresult Memory::unreserve(CUdeviceptr pointer, std::size_t bytes) {
  const auto found = reservations_.find(pointer);
  if (found == reservations_.end() || found->second.bytes != bytes ||
      !found->second.mappings.empty()) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  munmap(reinterpret_cast<void*>(found->first), bytes);
  reservations_.erase(found);
  return CUDA_SUCCESS;
}

// The first gap in the file that holds `bytes`.
std::size_t Memory::free_offset(std::size_t bytes) const {
  std::map<std::size_t, std::size_t> taken;
  for (const auto& [handle, memory] : physical_) taken[memory.offset] = memory.bytes;
  std::size_t offset = 0;
  for (const auto& [begin, size] : taken) {
    if (begin - offset >= bytes) break;
    offset = begin + size;
  }
  return offset;
}

CUresult Memory::create(CUmemGenericAllocationHandle* handle, std::size_t bytes) {
  if (bytes == 0 || bytes % kGranule != 0) return CUDA_ERROR_INVALID_VALUE;
  if (bytes > total_ - std::min(total_, used_)) return CUDA_ERROR_OUT_OF_MEMORY;
  if (file_ < 0) file_ = memfd_create("emulated device memory", MFD_CLOEXEC);
  const std::size_t offset = free_offset(bytes);
  if (file_ < 0 || (offset + bytes > static_cast<std::size_t>(lseek(file_, 0, SEEK_END)) &&
                    ftruncate(file_, static_cast<off_t>(offset + bytes)) != 0)) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  void* const data =
      mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file_, static_cast<off_t>(offset));
  if (data == MAP_FAILED) return CUDA_ERROR_OUT_OF_MEMORY;
  fill_with_nan(data, bytes);
  munmap(data, bytes);
  used_ += bytes;
  *handle = next_handle_++;
  physical_[*handle] = {offset, bytes};
  return CUDA_SUCCESS;
}

void Memory::free_if_unused(CUmemGenericAllocationHandle handle) {
  const auto found = physical_.find(handle);
  const Physical& memory = found->second;
  if (!memory.released || memory.mappings != 0) return;
  // Gives the pages back; the file keeps its length.
  fallocate(file_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(memory.offset),
            static_cast<off_t>(memory.bytes));
  used_ -= memory.bytes;
  physical_.erase(found);
}

CUresult Memory::drop(CUmemGenericAllocationHandle handle) {
  const auto found = physical_.find(handle);
  if (found == physical_.end() || found->second.released) return CUDA_ERROR_INVALID_VALUE;
  found->second.released = true;
  free_if_unused(handle);
  return CUDA_SUCCESS;
}

Memory::Reservation* Memory::reservation(std::uintptr_t begin, std::size_t bytes) {
  auto found = reservations_.upper_bound(begin);
  if (bytes == 0 || found == reservations_.begin()) return nullptr;
  --found;
  const std::size_t offset = begin - found->first;
  const bool inside = offset < found->second.bytes && bytes <= found->second.bytes - offset;
  return inside ? &found->second : nullptr;
}

CUresult Memory::map(CUdeviceptr pointer, std::size_t bytes, CUmemGenericAllocationHandle handle) {
  Reservation* const range = reservation(pointer, bytes);
  const auto found = physical_.find(handle);
  // The whole of the physical memory: cuMemUnmap takes no part of a mapping either.
  if (range == nullptr || found == physical_.end() || found->second.released ||
      found->second.bytes != bytes || pointer % kGranule != 0) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  auto next = range->mappings.lower_bound(pointer);
  if (next != range->mappings.end() && next->first < pointer + bytes) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  if (next != range->mappings.begin()) {
    --next;
    if (next->first + next->second.bytes > pointer) return CUDA_ERROR_INVALID_VALUE;
  }
  void* const at = reinterpret_cast<void*>(pointer);
  if (mmap(at, bytes, PROT_NONE, MAP_SHARED | MAP_FIXED, file_,
           static_cast<off_t>(found->second.offset)) == MAP_FAILED) {
    return CUDA_ERROR_OUT_OF_MEMORY;
  }
  range->mappings[pointer] = {bytes, handle};
  ++found->second.mappings;
  return CUDA_SUCCESS;
}

CUresult Memory::unmap(CUdeviceptr pointer, std::size_t bytes) {
  Reservation* const range = reservation(pointer, bytes);
  if (range == nullptr) return CUDA_ERROR_INVALID_VALUE;
  // Whole mappings, which cover the range without a gap.
  const auto first = range->mappings.find(pointer);
  auto last = first;
  std::uintptr_t end = pointer;
  while (last != range->mappings.end() && last->first == end && end < pointer + bytes) {
    end += last->second.bytes;
    ++last;
  }
  if (end != pointer + bytes) return CUDA_ERROR_INVALID_VALUE;
  inaccessible(reinterpret_cast<void*>(pointer), bytes);
  for (auto mapping = first; mapping != last; ++mapping) {
    --physical_[mapping->second.handle].mappings;
    free_if_unused(mapping->second.handle);
  }
  range->mappings.erase(first, last);
  collect_accessible();
  return CUDA_SUCCESS;
}

CUresult Memory::set_access(CUdeviceptr pointer, std::size_t bytes, bool accessible) {
  Reservation* const range = reservation(pointer, bytes);
  if (range == nullptr) return CUDA_ERROR_INVALID_VALUE;
  std::uintptr_t end = pointer;
  auto mapping = range->mappings.find(pointer);
  for (; mapping != range->mappings.end() && mapping->first == end && end < pointer + bytes;
       ++mapping) {
    end += mapping->second.bytes;
  }
  if (end != pointer + bytes) return CUDA_ERROR_INVALID_VALUE;
  for (auto m = range->mappings.find(pointer); m != mapping; ++m) m->second.accessible = accessible;
  void* const begin = reinterpret_cast<void*>(pointer);
  if (accessible) {
    give(begin, bytes);
  } else {
    mprotect(begin, bytes, PROT_NONE);
  }
  collect_accessible();
  return CUDA_SUCCESS;
}

void Memory::collect_accessible() {
  accessible_.clear();
  for (const auto& [base, reservation] : reservations_) {
    std::uintptr_t end = 0;  // of the last range; no range crosses from one reservation to another
    for (const auto& [begin, mapping] : reservation.mappings) {
      if (!mapping.accessible) continue;
      if (begin == end) {
        accessible_.back().bytes += mapping.bytes;
      } else {
        accessible_.push_back({reinterpret_cast<std::byte*>(begin), mapping.bytes, Space::device});
      }
      end = begin + mapping.bytes;
    }
  }
}

}  // namespace protolith::emulated
