// The emulated device's memory: what it finds wrong, and the driver's virtual memory management.
#include <cuda.h>

#include <cmath>
#include <stdexcept>
#include <string>

#include "tests/gpu_emulation/standins/buffers.h"

#if defined(__SANITIZE_ADDRESS__)
#define INSTRUMENTED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define INSTRUMENTED 1
#endif
#endif

namespace protolith::test {
namespace {

using emulated::fault;
using emulated::WorkKind;

bool faulted(const std::string& part) {
  return fault().find(part) != std::string::npos;
}

cudaError_t enqueue(cudaStream_t stream, std::vector<emulated::Operand> operands) {
  return emulated::enqueue(stream, WorkKind::cudnn, "work", std::move(operands), [] {});
}

TEST_CASE_FIXTURE(Buffers, "new memory is NaN and closed to the host except while work runs") {
  CHECK(std::isnan(fetched(device)[kCount - 1]));
  CHECK(!emulated::host_readable(device));
  CHECK(emulated::host_readable(pinned));
  bool open = false;
  launch(stream, [&] { open = emulated::host_readable(device); });
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(open);
  CHECK(!emulated::host_readable(device));
}

TEST_CASE_FIXTURE(Buffers, "operands are checked when work is queued") {
  float outside = 0;
  SUBCASE("past the end") {
    CHECK(enqueue(stream, {{"x", device + 1, kBytes}}) == cudaErrorIllegalAddress);
    CHECK(faulted("past the end"));
  }
  SUBCASE("host memory") {
    CHECK(enqueue(stream, {{"x", &outside, 4}}) == cudaErrorIllegalAddress);
    CHECK(faulted("no device memory"));
  }
  SUBCASE("pinned memory as an operand") {
    CHECK(enqueue(stream, {{"x", pinned, 4}}) == cudaErrorIllegalAddress);
    CHECK(faulted("not device memory"));
  }
  SUBCASE("misaligned") {
    CHECK(enqueue(stream, {{"x", device + 1, 16, 16}}) == cudaErrorIllegalAddress);
    CHECK(faulted("not aligned to 16"));
  }
  SUBCASE("overlapping") {
    CHECK(enqueue(stream, {{"x", device, 16}, {"y", device + 3, 16, 4, true}}) ==
          cudaErrorIllegalAddress);
    CHECK(faulted("work, y: overlaps x"));
  }
  SUBCASE("freed") {
    float* const gone = allocated();
    REQUIRE(cudaFree(gone) == cudaSuccess);
    CHECK(enqueue(stream, {{"x", gone, 4}}) == cudaErrorIllegalAddress);
    CHECK(faulted("freed"));
  }
  // A fault stays, whatever is asked next.
  CHECK(cudaStreamSynchronize(stream) == cudaErrorIllegalAddress);
  void* pointer = nullptr;
  CHECK(cudaMalloc(&pointer, 4) == cudaErrorIllegalAddress);
}

TEST_CASE_FIXTURE(Buffers, "operands may touch, and readers may share") {
  CHECK(enqueue(stream, {{"x", device, 16}, {"y", device + 4, 16, 4, true}}) == cudaSuccess);
  CHECK(enqueue(stream, {{"x", device, 16}, {"y", device + 2, 16}}) == cudaSuccess);
  CHECK(enqueue(stream, {{"x", nullptr, 0}, {"y", device, kBytes, 256, true}}) == cudaSuccess);
}

TEST_CASE_FIXTURE(Buffers, "cudaFree waits for work; cudaFreeHost does not") {
  float* const mine = allocated();
  REQUIRE(upload(mine, stream) == cudaSuccess);
  REQUIRE(cudaFree(mine) == cudaSuccess);
  CHECK(fault().empty());
  CHECK(cudaFree(mine) == cudaErrorInvalidValue);
  void* staging = nullptr;
  REQUIRE(cudaHostAlloc(&staging, kBytes, cudaHostAllocDefault) == cudaSuccess);
  CHECK(cudaFree(staging) == cudaErrorInvalidValue);
  REQUIRE(cudaMemcpyAsync(device, staging, kBytes, cudaMemcpyDefault, stream) == cudaSuccess);
  REQUIRE(cudaFreeHost(staging) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorIllegalAddress);
  CHECK(faulted("freed"));
}

TEST_CASE_FIXTURE(Buffers, "work that throws is a fault") {
  launch(stream, [] { throw std::runtime_error("divergent barrier"); });
  CHECK(cudaStreamSynchronize(stream) == cudaErrorIllegalAddress);
  CHECK(faulted("divergent barrier"));
}

#ifndef INSTRUMENTED  // the sanitizer stops the program at the write itself
TEST_CASE_FIXTURE(Buffers, "a write beside an allocation is found when the work is done") {
  SUBCASE("after") {
    launch(stream, [p = device] { p[kCount] = 1; });
    CHECK(cudaStreamSynchronize(stream) == cudaErrorIllegalAddress);
    CHECK(faulted("past the end"));
  }
  SUBCASE("before") {
    launch(stream, [p = device] { p[-1] = 1; });
    CHECK(cudaStreamSynchronize(stream) == cudaErrorIllegalAddress);
    CHECK(faulted("before the start"));
  }
}
#endif

TEST_CASE_FIXTURE(FreshDevice, "memory runs out at the total") {
  emulated::set_total_memory(1 << 20);
  void *first = nullptr, *second = nullptr;
  REQUIRE(cudaMalloc(&first, 1 << 19) == cudaSuccess);
  CHECK(cudaMalloc(&second, (1 << 19) + 1) == cudaErrorMemoryAllocation);
  std::size_t free = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(free == 1 << 19);
  CHECK(total == 1 << 20);
  CHECK(cudaMalloc(&second, 0) == cudaSuccess);
  CHECK(second == nullptr);
  CHECK(cudaMalloc(&second, SIZE_MAX) == cudaErrorMemoryAllocation);
  REQUIRE(cudaFree(first) == cudaSuccess);
  CHECK(cudaFree(nullptr) == cudaSuccess);
}

TEST_CASE("what is left behind is named at the reset") {
  emulated::reset();
  const float* const left = Buffers::allocated();
  REQUIRE(left != nullptr);
  CHECK(emulated::live_objects().size() == 1);
  CHECK_THROWS_AS(emulated::reset(), std::logic_error);
  CHECK(emulated::live_objects().empty());
}

TEST_CASE_FIXTURE(Buffers, "pointers tell what they point to") {
  cudaPointerAttributes attributes;
  REQUIRE(cudaPointerGetAttributes(&attributes, device + 1) == cudaSuccess);
  CHECK(attributes.type == cudaMemoryTypeDevice);
  CHECK(attributes.hostPointer == nullptr);
  REQUIRE(cudaPointerGetAttributes(&attributes, pinned) == cudaSuccess);
  CHECK(attributes.type == cudaMemoryTypeHost);
  REQUIRE(cudaPointerGetAttributes(&attributes, &attributes) == cudaSuccess);
  CHECK(attributes.type == cudaMemoryTypeUnregistered);
}

constexpr std::size_t kGranule = std::size_t{2} << 20;

template <class F>
F* entry(const char* name, F*) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult result;
  REQUIRE(cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &result) ==
          cudaSuccess);
  REQUIRE(result == cudaDriverEntryPointSuccess);
  return reinterpret_cast<F*>(function);
}
#define ENTRY(name) decltype(&(name)) const name##_ = entry(#name, decltype(&(name)){})

// The driver's calls as a growing arena uses them.
struct Arena : FreshDevice {
  ENTRY(cuMemAddressReserve);
  ENTRY(cuMemAddressFree);
  ENTRY(cuMemCreate);
  ENTRY(cuMemRelease);
  ENTRY(cuMemMap);
  ENTRY(cuMemUnmap);
  ENTRY(cuMemSetAccess);
  ENTRY(cuMemGetAllocationGranularity);
  ENTRY(cuGetErrorString);
  static constexpr std::size_t kReserved = std::size_t{64} << 30;
  CUmemAllocationProp properties{};
  CUmemAccessDesc access{};
  CUdeviceptr base = 0;

  Arena() {
    properties.type = CU_MEM_ALLOCATION_TYPE_PINNED;
    properties.location.type = CU_MEM_LOCATION_TYPE_DEVICE;
    access = {properties.location, CU_MEM_ACCESS_FLAGS_PROT_READWRITE};
    REQUIRE(cuMemAddressReserve_(&base, kReserved, 0, 0, 0) == CUDA_SUCCESS);
  }
  ~Arena() { cuMemAddressFree_(base, kReserved); }

  CUresult grow(std::size_t index) {
    CUmemGenericAllocationHandle handle = 0;
    CUresult result = cuMemCreate_(&handle, kGranule, &properties, 0);
    if (result != CUDA_SUCCESS) return result;
    const CUdeviceptr at = base + index * kGranule;
    result = cuMemMap_(at, kGranule, 0, handle, 0);
    cuMemRelease_(handle);  // the mapping keeps it
    return result != CUDA_SUCCESS ? result : cuMemSetAccess_(at, kGranule, &access, 1);
  }
  std::byte* at(std::size_t granule) const {
    return reinterpret_cast<std::byte*>(base + granule * kGranule);
  }
};

TEST_CASE_FIXTURE(Arena, "adjacent granules are one range; what is not mapped is none") {
  std::size_t granularity = 0;
  REQUIRE(cuMemGetAllocationGranularity_(&granularity, &properties,
                                         CU_MEM_ALLOC_GRANULARITY_MINIMUM) == CUDA_SUCCESS);
  CHECK(granularity == kGranule);
  REQUIRE(grow(0) == CUDA_SUCCESS);
  CHECK(cudaMemset(at(0), 0, kGranule + 1) == cudaErrorInvalidValue);
  REQUIRE(grow(1) == CUDA_SUCCESS);
  CHECK(!emulated::host_readable(at(1)));
  const float one = 1;
  float read = 0;
  REQUIRE(cudaMemcpy(&read, at(1) + 8, 4, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(std::isnan(read));
  REQUIRE(cudaMemcpy(at(1) - 2, &one, 4, cudaMemcpyHostToDevice) == cudaSuccess);
  REQUIRE(cudaMemcpy(&read, at(1) - 2, 4, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(read == 1);
  CHECK(!emulated::host_readable(at(1)));
  CHECK(enqueue(nullptr, {{"x", at(0), 2 * kGranule}}) == cudaSuccess);
  CHECK(grow(1) == CUDA_ERROR_INVALID_VALUE);  // there is a mapping already
  CHECK(cuMemAddressFree_(base, kReserved) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemUnmap_(base, kGranule / 2) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemUnmap_(base + kGranule, kGranule) == CUDA_SUCCESS);
  CHECK(cudaDeviceSynchronize() == cudaErrorIllegalAddress);  // the work's operand is gone
  CHECK(cuMemUnmap_(base, kGranule) == CUDA_ERROR_ILLEGAL_ADDRESS);
}

TEST_CASE_FIXTURE(Arena, "physical memory ends at the total and comes back") {
  emulated::set_total_memory(3 * kGranule);
  for (const std::size_t i : {0, 1, 2}) REQUIRE(grow(i) == CUDA_SUCCESS);
  CHECK(grow(3) == CUDA_ERROR_OUT_OF_MEMORY);
  void* pointer = nullptr;
  CHECK(cudaMalloc(&pointer, 1) == cudaErrorMemoryAllocation);
  REQUIRE(cuMemUnmap_(base + kGranule, kGranule) == CUDA_SUCCESS);
  REQUIRE(grow(5) == CUDA_SUCCESS);
  REQUIRE(cuMemUnmap_(base + 5 * kGranule, kGranule) == CUDA_SUCCESS);
  REQUIRE(grow(1) == CUDA_SUCCESS);
  REQUIRE(cuMemUnmap_(base, 3 * kGranule) == CUDA_SUCCESS);  // whole mappings side by side
  std::size_t free = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(free == total);
}

TEST_CASE_FIXTURE(Arena, "mapped memory without access, and bad arguments, are refused") {
  CUmemGenericAllocationHandle handle = 0;
  CHECK(cuMemCreate_(&handle, kGranule / 2, &properties, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemCreate_(&handle, kGranule, &properties, 1) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemCreate_(&handle, kGranule, &properties, 0) == CUDA_SUCCESS);
  CHECK(cuMemMap_(base + 4096, kGranule, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemMap_(base + kReserved, kGranule, 0, handle, 0) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemSetAccess_(base, kGranule, &access, 1) == CUDA_ERROR_INVALID_VALUE);
  REQUIRE(cuMemMap_(base, kGranule, 0, handle, 0) == CUDA_SUCCESS);
  CHECK(cudaMemset(at(0), 0, 4) == cudaErrorInvalidValue);
  REQUIRE(cuMemSetAccess_(base, kGranule, &access, 1) == CUDA_SUCCESS);
  CHECK(cudaMemset(at(0), 0, 4) == cudaSuccess);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  REQUIRE(cuMemUnmap_(base, kGranule) == CUDA_SUCCESS);
  CHECK(emulated::live_objects().size() == 2);  // the reservation and the memory
  REQUIRE(cuMemRelease_(handle) == CUDA_SUCCESS);
  CHECK(cuMemRelease_(handle) == CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr pointer = 0;
  CHECK(cuMemAddressReserve_(&pointer, 4096, 0, 0, 0) == CUDA_ERROR_INVALID_VALUE);
  const char* text = nullptr;
  CHECK(cuGetErrorString_(CUDA_ERROR_OUT_OF_MEMORY, &text) == CUDA_SUCCESS);
  CHECK(std::string(text) == "out of memory");
}

TEST_CASE_FIXTURE(FreshDevice,
                  "unknown entry points are null, newer ones than the driver refused") {
  void* function = &function;
  cudaDriverEntryPointQueryResult result;
  CHECK(cudaGetDriverEntryPointByVersion("cuNothing", &function, 12000, 0, &result) == cudaSuccess);
  CHECK(function == nullptr);
  CHECK(result == cudaDriverEntryPointSymbolNotFound);
  CHECK(cudaGetDriverEntryPointByVersion("cuMemMap", &function, 9000, 0, &result) == cudaSuccess);
  CHECK(result == cudaDriverEntryPointVersionNotSufficent);
  CHECK(cudaGetDriverEntryPointByVersion("cuMemMap", &function, 99000, 0, &result) ==
        cudaErrorInvalidValue);
}

}  // namespace
}  // namespace protolith::test
