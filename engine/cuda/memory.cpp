#include "engine/cuda/memory.h"

#include <cuda.h>

#include <algorithm>
#include <cstring>

namespace protolith::cuda {
namespace {

constexpr std::size_t kChunkBytes = std::size_t{1} << 18;
constexpr std::size_t kChunks = 4;

std::size_t round_up(std::size_t value, std::size_t step) {
  return (value + step - 1) / step * step;
}

struct FreeMemory {
  std::size_t free = 0, total = 0;
};

FreeMemory free_memory() {
  FreeMemory memory;
  PROTOLITH_CUDA(cudaMemGetInfo(&memory.free, &memory.total));
  return memory;
}

[[noreturn]] void throw_out_of_memory(Device device, std::size_t bytes) {
  static_cast<void>(cudaGetLastError());  // it is reported here, not by the next call
  const FreeMemory memory = free_memory();
  throw Error(
      fmt::format("out of memory on {}: {} MiB more were asked for, {} of {} MiB are free; "
                  "other programs may hold some (nvidia-smi), smaller episodes or shapes take "
                  "less, and --device cpu none",
                  to_string(device), (bytes + (1U << 20U) - 1) >> 20U, memory.free >> 20U,
                  memory.total >> 20U));
}

/// The driver's functions for virtual memory, found at run time: nothing links to libcuda.
struct DriverMemory {
  decltype(&cuMemGetAllocationGranularity) granularity;
  decltype(&cuMemAddressReserve) reserve;
  decltype(&cuMemAddressFree) release_addresses;
  decltype(&cuMemCreate) create;
  decltype(&cuMemRelease) release;
  decltype(&cuMemMap) map;
  decltype(&cuMemUnmap) unmap;
  decltype(&cuMemSetAccess) set_access;

  DriverMemory() {
    find("cuMemGetAllocationGranularity", granularity);
    find("cuMemAddressReserve", reserve);
    find("cuMemAddressFree", release_addresses);
    find("cuMemCreate", create);
    find("cuMemRelease", release);
    find("cuMemMap", map);
    find("cuMemUnmap", unmap);
    find("cuMemSetAccess", set_access);
  }

 private:
  template <class F>
  static void find(const char* name, F& function) {
    constexpr unsigned kVersion = 12000;
    void* found = nullptr;
    cudaDriverEntryPointQueryResult result{};
    PROTOLITH_CUDA(
        cudaGetDriverEntryPointByVersion(name, &found, kVersion, cudaEnableDefault, &result));
    PROTOLITH_CHECK(result == cudaDriverEntryPointSuccess, "the NVIDIA driver has no {}", name);
    function = reinterpret_cast<F>(found);
  }
};

void check_driver(CUresult status, const char* what) {
  PROTOLITH_CHECK(status == CUDA_SUCCESS, "CUDA driver: error {} in {}", static_cast<int>(status),
                  what);
}

class DeviceRegion : public MemoryRegion {
 public:
  explicit DeviceRegion(Device device) : device_(device) {
    properties_.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties_.location = {CU_MEM_LOCATION_TYPE_DEVICE, device.index};
    check_driver(driver_.granularity(&granule_, &properties_, CU_MEM_ALLOC_GRANULARITY_RECOMMENDED),
                 "cuMemGetAllocationGranularity");
    reserved_ = round_up(free_memory().total, granule_);
    check_driver(driver_.reserve(&base_, reserved_, 0, 0, 0), "cuMemAddressReserve");
  }
  ~DeviceRegion() override {
    if (committed_ > 0) driver_.unmap(base_, committed_);
    driver_.release_addresses(base_, reserved_);
  }
  DeviceRegion(const DeviceRegion&) = delete;
  DeviceRegion& operator=(const DeviceRegion&) = delete;

  std::byte* base() const noexcept override { return reinterpret_cast<std::byte*>(base_); }

  void commit(std::size_t bytes) override {
    if (bytes <= committed_) return;
    const std::size_t size = round_up(bytes, granule_) - committed_;
    if (size > reserved_ - committed_) throw_out_of_memory(device_, size);
    CUmemGenericAllocationHandle handle{};
    check_growth(driver_.create(&handle, size, &properties_, 0), "cuMemCreate", size);
    const CUdeviceptr end = base_ + committed_;
    const CUresult mapped = driver_.map(end, size, 0, handle, 0);
    driver_.release(handle);  // from here on the mapping alone keeps the memory
    check_growth(mapped, "cuMemMap", size);
    const CUmemAccessDesc access{properties_.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    const CUresult opened = driver_.set_access(end, size, &access, 1);
    if (opened != CUDA_SUCCESS) driver_.unmap(end, size);
    check_growth(opened, "cuMemSetAccess", size);
    committed_ += size;
  }

 private:
  void check_growth(CUresult status, const char* what, std::size_t size) const {
    if (status == CUDA_ERROR_OUT_OF_MEMORY) throw_out_of_memory(device_, size);
    check_driver(status, what);
  }

  Device device_;
  DriverMemory driver_;
  CUmemAllocationProp properties_{};
  std::size_t granule_ = 0, reserved_ = 0, committed_ = 0;
  CUdeviceptr base_ = 0;
};

class DeviceHeap : public MemoryOwner {
 public:
  // cudaFree waits for the device's work: no kernel is left that uses the block.
  void release(std::byte* data, std::size_t, std::uint64_t) noexcept override {
    static_cast<void>(cudaFree(data));
  }
};

}  // namespace

std::unique_ptr<MemoryRegion> reserve_device_region(Device device) {
  return std::make_unique<DeviceRegion>(device);
}

std::shared_ptr<Storage> allocate_device(std::size_t bytes, Device device, cudaStream_t stream) {
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), Arena::kAlignment);
  void* data = nullptr;
  const cudaError_t allocated = cudaMalloc(&data, size);
  if (allocated == cudaErrorMemoryAllocation) throw_out_of_memory(device, size);
  if (!succeeded(allocated)) throw_failure(allocated, "cudaMalloc", __builtin_FILE(), __LINE__);
  auto storage = std::make_shared<Storage>(static_cast<std::byte*>(data), bytes, device,
                                           std::make_shared<DeviceHeap>());
  PROTOLITH_CUDA(cudaMemsetAsync(data, 0, size, stream));
  return storage;
}

Staging::Staging(cudaStream_t stream) : stream_(stream) {
  void* memory = nullptr;
  PROTOLITH_CUDA(cudaMallocHost(&memory, kChunks * kChunkBytes));
  memory_.reset(memory);
  for (std::size_t i = 0; i < kChunks; ++i) {
    chunks_.push_back({static_cast<std::byte*>(memory) + i * kChunkBytes, make_event()});
  }
}

Staging::Chunk& Staging::next_chunk() {
  Chunk& chunk = chunks_[next_];
  next_ = (next_ + 1) % kChunks;
  // An event that was never recorded counts as done.
  PROTOLITH_CUDA(cudaEventSynchronize(chunk.done.get()));
  return chunk;
}

void Staging::to_device(const void* source, void* target, std::size_t bytes) {
  for (std::size_t begin = 0; begin < bytes; begin += kChunkBytes) {
    const std::size_t size = std::min(kChunkBytes, bytes - begin);
    Chunk& chunk = next_chunk();
    std::memcpy(chunk.data, static_cast<const std::byte*>(source) + begin, size);
    PROTOLITH_CUDA(cudaMemcpyAsync(static_cast<std::byte*>(target) + begin, chunk.data, size,
                                   cudaMemcpyHostToDevice, stream_));
    PROTOLITH_CUDA(cudaEventRecord(chunk.done.get(), stream_));
  }
}

void Staging::to_host(const void* source, void* target, std::size_t bytes) {
  for (std::size_t begin = 0; begin < bytes; begin += kChunkBytes) {
    const std::size_t size = std::min(kChunkBytes, bytes - begin);
    Chunk& chunk = next_chunk();
    PROTOLITH_CUDA(cudaMemcpyAsync(chunk.data, static_cast<const std::byte*>(source) + begin, size,
                                   cudaMemcpyDeviceToHost, stream_));
    PROTOLITH_CUDA(cudaStreamSynchronize(stream_));
    std::memcpy(static_cast<std::byte*>(target) + begin, chunk.data, size);
  }
}

}  // namespace protolith::cuda
