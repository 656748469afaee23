// The emulated device's memory: allocations by cudaMalloc and cudaHostAlloc, and the driver's
// virtual memory management. Device memory is unreadable except while Memory::Open lives.
#pragma once

#include <cuda.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace protolith::emulated {

enum class Space : std::uint8_t { device, pinned };

/// A range of live memory: one allocation, or adjacent granules mapped into one reservation.
struct Range {
  std::byte* begin;
  std::size_t bytes;
  Space space;
};

class Memory {
 public:
  Memory();
  ~Memory();
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  /// As new.
  void clear();

  static constexpr std::size_t kTotal = std::size_t{1} << 30;

  /// A block of its own between inaccessible pages, 256-byte aligned and no more, full of NaN.
  /// Null when the device's memory (or the machine's) does not suffice.
  void* allocate(Space space, std::size_t bytes);
  /// False when no allocation of this space begins there. `damage` says what was overwritten
  /// around the block.
  bool release(Space space, void* pointer, std::string& damage);

  /// The live range that contains the address.
  std::optional<Range> find(const void* pointer) const;
  /// Whether the address belongs to device or pinned memory that was freed, or is not mapped.
  bool dead(const void* pointer) const;
  /// Empty, or what is wrong with [pointer, pointer + bytes) as an operand in this space.
  std::string check(const void* pointer, std::size_t bytes, Space space) const;
  std::vector<std::string> live() const;
  /// Device memory that work may access.
  std::vector<std::span<const std::byte>> device_ranges() const;

  std::size_t total() const { return total_; }
  std::size_t used() const { return used_; }
  void set_total(std::size_t bytes) { total_ = bytes; }

  /// Makes device memory accessible for its life.
  class Open {
   public:
    explicit Open(Memory& memory);
    ~Open();
    Open(const Open&) = delete;
    Open& operator=(const Open&) = delete;

   private:
    Memory& memory_;
  };
  /// Empty, or the allocation beside which something was written.
  std::string damage() const;

  // Virtual memory management, with the driver's rules and statuses.
  static constexpr std::size_t kGranule = std::size_t{2} << 20;
  CUresult reserve(CUdeviceptr* pointer, std::size_t bytes, std::size_t alignment);
  CUresult unreserve(CUdeviceptr pointer, std::size_t bytes);
  CUresult create(CUmemGenericAllocationHandle* handle, std::size_t bytes);
  CUresult drop(CUmemGenericAllocationHandle handle);
  CUresult map(CUdeviceptr pointer, std::size_t bytes, CUmemGenericAllocationHandle handle);
  CUresult unmap(CUdeviceptr pointer, std::size_t bytes);
  CUresult set_access(CUdeviceptr pointer, std::size_t bytes, bool accessible);

 private:
  struct Block {
    std::size_t bytes;
    Space space;
    std::byte* mapping;
    std::size_t mapping_bytes;
  };
  struct Physical {
    std::size_t offset, bytes;
    bool released = false;
    int mappings = 0;
  };
  struct Mapping {
    std::size_t bytes;
    CUmemGenericAllocationHandle handle;
    bool accessible = false;
  };
  struct Reservation {
    std::size_t bytes;
    std::map<std::uintptr_t, Mapping> mappings;
  };

  std::string damage(std::uintptr_t begin, const Block& block) const;
  void set_open(bool open);
  /// What device memory gets that work may access.
  void give(void* begin, std::size_t bytes);
  void collect_accessible();
  Reservation* reservation(std::uintptr_t begin, std::size_t bytes);
  std::size_t free_offset(std::size_t bytes) const;
  void free_if_unused(CUmemGenericAllocationHandle handle);

  std::map<std::uintptr_t, Block> blocks_;
  std::deque<Block> freed_;  // address space kept for a while, to tell use after free
  std::map<std::uintptr_t, Reservation> reservations_;
  std::map<CUmemGenericAllocationHandle, Physical> physical_;
  std::vector<Range> accessible_;  // mapped and accessible, adjacent granules as one
  CUmemGenericAllocationHandle next_handle_ = 0x1000;
  int file_ = -1;  // what granules are made of
  int key_;        // of the pages of device memory; negative where the processor has no such keys
  int open_ = 0;
  std::size_t total_ = kTotal;
  std::size_t used_ = 0;
};

}  // namespace protolith::emulated
