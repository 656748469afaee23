#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>

#include "engine/device.h"

namespace protolith {

/// Takes back the blocks of memory that Storage objects hold.
class MemoryOwner {
 public:
  virtual ~MemoryOwner() = default;
  /// Called once per block, with the generation at which it was handed out.
  virtual void release(std::byte* data, std::size_t bytes, std::uint64_t generation) noexcept = 0;
  /// Rises at every reset; a block of an older generation is dead.
  virtual std::uint64_t generation() const noexcept { return 0; }
};

/// One block of device memory; goes back to its owner when the last tensor on it is gone.
class Storage {
 public:
  Storage(std::byte* data, std::size_t bytes, Device device, std::shared_ptr<MemoryOwner> owner);
  ~Storage();
  Storage(const Storage&) = delete;
  Storage& operator=(const Storage&) = delete;

  /// The first byte. Throws Error when the arena was reset since the block was handed out.
  std::byte* data() const;
  std::size_t bytes() const noexcept { return bytes_; }
  Device device() const noexcept { return device_; }

 private:
  std::byte* data_;
  std::size_t bytes_;
  Device device_;
  std::shared_ptr<MemoryOwner> owner_;
  std::uint64_t generation_;
};

/// A reserved range of addresses of which a growing prefix is backed by memory, so that addresses
/// stay valid while an arena grows.
class MemoryRegion {
 public:
  virtual ~MemoryRegion() = default;
  virtual std::byte* base() const noexcept = 0;
  /// Backs at least the first `bytes` bytes. Throws Error naming what was asked for when there is
  /// no more memory.
  virtual void commit(std::size_t bytes) = 0;
};

/// Host memory: address space as large as the machine's memory, committed in steps of 2 MiB.
std::unique_ptr<MemoryRegion> reserve_host_region();

/// A first-fit arena over one region: blocks freed inside a step are reused at once, so that the
/// footprint follows liveness, and every identical step places its blocks identically, so that no
/// step after the first grows it. Not thread-safe: one arena belongs to one driving thread.
class Arena : public MemoryOwner, public std::enable_shared_from_this<Arena> {
 public:
  Arena(Device device, std::unique_ptr<MemoryRegion> region);
  ~Arena() override;

  /// A block of at least `bytes` bytes, aligned to kAlignment. Contents are undefined.
  std::shared_ptr<Storage> allocate(std::size_t bytes);
  /// Ends the step: every block handed out so far becomes invalid (using one throws).
  void reset();

  std::size_t live_bytes() const noexcept { return live_; }
  /// Largest address in use so far, relative to the base, in bytes.
  std::size_t footprint_bytes() const noexcept { return footprint_; }
  /// How often the footprint has grown; constant from the second identical step on.
  std::uint64_t growth_count() const noexcept { return growths_; }

  void release(std::byte* data, std::size_t bytes, std::uint64_t generation) noexcept override;
  std::uint64_t generation() const noexcept override { return generation_; }

  static constexpr std::size_t kAlignment = 256;

 private:
  Device device_;
  std::unique_ptr<MemoryRegion> region_;
  std::map<std::size_t, std::size_t> free_;  // offset -> bytes, below footprint_
  std::size_t footprint_ = 0;
  std::size_t live_ = 0;
  std::uint64_t growths_ = 0;
  std::uint64_t generation_ = 1;
};

/// A zero-filled block of host memory that lives as long as a tensor refers to it.
std::shared_ptr<Storage> allocate_host(std::size_t bytes);

/// A block that belongs to somebody else (a memory-mapped file, say), kept alive by `keeper`.
std::shared_ptr<Storage> borrow_host(std::byte* data, std::size_t bytes,
                                     std::shared_ptr<const void> keeper);

}  // namespace protolith
