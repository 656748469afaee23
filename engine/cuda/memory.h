// Device memory: the arena's region of addresses, blocks that outlive steps, and the pinned host
// memory through which data comes and goes.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "engine/cuda/handles.h"
#include "engine/memory.h"

namespace protolith::cuda {

/// Addresses for as much as the device has memory, backed from the front in granules as an arena
/// grows (CUDA's virtual memory management): blocks never move, so that a captured graph stays
/// valid. commit() throws Error with what was asked for and what is free.
std::unique_ptr<MemoryRegion> reserve_device_region(Device device);

/// A block of device memory, zeroed in stream order, that lives as long as a tensor refers to it.
/// Throws Error with what was asked for and what is free.
std::shared_ptr<Storage> allocate_device(std::size_t bytes, Device device, cudaStream_t stream);

/// Pinned host memory that copies to and from the device go through, in chunks; a chunk is used
/// again only when its copy is done.
class Staging {
 public:
  explicit Staging(cudaStream_t stream);
  Staging(const Staging&) = delete;
  Staging& operator=(const Staging&) = delete;

  /// Queues a copy; `source` may be reused on return.
  void to_device(const void* source, void* target, std::size_t bytes);
  /// Waits for the stream's work and fills `target`.
  void to_host(const void* source, void* target, std::size_t bytes);

 private:
  struct Chunk {
    std::byte* data;
    OwnedEvent done;
  };
  Chunk& next_chunk();

  cudaStream_t stream_;
  Owned<void*, &cudaFreeHost> memory_;
  std::vector<Chunk> chunks_;
  std::size_t next_ = 0;
};

}  // namespace protolith::cuda
