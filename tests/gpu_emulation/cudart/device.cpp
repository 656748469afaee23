// The device, its properties, and the runtime's version.
#include <cuda_profiler_api.h>

#include <cstring>
#include <string>

#include "tests/gpu_emulation/device/runtime.h"

using namespace protolith::emulated;

namespace {

thread_local int current_device = 0;

void require(bool condition, cudaError_t status = cudaErrorInvalidValue) {
  if (!condition) throw Failure{status};
}

// A Hopper-like device but for its few multiprocessors, so that grids sized by them stay small.
constexpr int kMultiprocessors = 4;
constexpr int kMemoryBusBits = 5120;
constexpr int kL2Bytes = 50 << 20;

cudaDeviceProp properties_of(const Device& d) {
  cudaDeviceProp p{};
  std::strcpy(p.name, "Emulated device");
  p.totalGlobalMem = d.memory.total();
  p.sharedMemPerBlock = 48 << 10;
  p.sharedMemPerBlockOptin = 227 << 10;
  p.sharedMemPerMultiprocessor = 228 << 10;
  p.reservedSharedMemPerBlock = 1 << 10;
  p.regsPerBlock = p.regsPerMultiprocessor = 1 << 16;
  p.warpSize = 32;
  p.memPitch = 0x7fffffff;
  p.maxThreadsPerBlock = 1024;
  const int threads[] = {1024, 1024, 64}, blocks[] = {0x7fffffff, 65535, 65535};
  std::memcpy(p.maxThreadsDim, threads, sizeof threads);
  std::memcpy(p.maxGridSize, blocks, sizeof blocks);
  p.totalConstMem = 64 << 10;
  p.major = d.machine.major;
  p.minor = d.machine.minor;
  p.textureAlignment = 512;
  p.multiProcessorCount = kMultiprocessors;
  p.canMapHostMemory = p.concurrentKernels = p.unifiedAddressing = 1;
  p.asyncEngineCount = 3;
  p.memoryBusWidth = kMemoryBusBits;
  p.l2CacheSize = kL2Bytes;
  p.maxThreadsPerMultiProcessor = 2048;
  p.maxBlocksPerMultiProcessor = 32;
  p.streamPrioritiesSupported = 1;
  p.hostRegisterSupported = 1;
  return p;
}

int attribute_of(const Device& d, cudaDeviceAttr attribute) {
  const cudaDeviceProp p = properties_of(d);
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
      return p.maxThreadsPerBlock;
    case cudaDevAttrMaxBlockDimX:
      return p.maxThreadsDim[0];
    case cudaDevAttrMaxBlockDimY:
      return p.maxThreadsDim[1];
    case cudaDevAttrMaxBlockDimZ:
      return p.maxThreadsDim[2];
    case cudaDevAttrMaxGridDimX:
      return p.maxGridSize[0];
    case cudaDevAttrMaxGridDimY:
      return p.maxGridSize[1];
    case cudaDevAttrMaxGridDimZ:
      return p.maxGridSize[2];
    case cudaDevAttrMaxSharedMemoryPerBlock:
      return static_cast<int>(p.sharedMemPerBlock);
    case cudaDevAttrMaxSharedMemoryPerBlockOptin:
      return static_cast<int>(p.sharedMemPerBlockOptin);
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      return static_cast<int>(p.sharedMemPerMultiprocessor);
    case cudaDevAttrReservedSharedMemoryPerBlock:
      return static_cast<int>(p.reservedSharedMemPerBlock);
    case cudaDevAttrTotalConstantMemory:
      return static_cast<int>(p.totalConstMem);
    case cudaDevAttrWarpSize:
      return p.warpSize;
    case cudaDevAttrMaxRegistersPerBlock:
      return p.regsPerBlock;
    case cudaDevAttrMaxRegistersPerMultiprocessor:
      return p.regsPerMultiprocessor;
    case cudaDevAttrClockRate:
      return 1'980'000;  // kHz
    case cudaDevAttrMemoryClockRate:
      return 2'619'000;  // kHz
    case cudaDevAttrGlobalMemoryBusWidth:
      return p.memoryBusWidth;
    case cudaDevAttrL2CacheSize:
      return p.l2CacheSize;
    case cudaDevAttrMultiProcessorCount:
      return p.multiProcessorCount;
    case cudaDevAttrMaxThreadsPerMultiProcessor:
      return p.maxThreadsPerMultiProcessor;
    case cudaDevAttrMaxBlocksPerMultiprocessor:
      return p.maxBlocksPerMultiProcessor;
    case cudaDevAttrComputeCapabilityMajor:
      return p.major;
    case cudaDevAttrComputeCapabilityMinor:
      return p.minor;
    case cudaDevAttrComputeMode:
      return cudaComputeModeDefault;
    case cudaDevAttrCanMapHostMemory:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrUnifiedAddressing:
      return 1;
    case cudaDevAttrAsyncEngineCount:
      return p.asyncEngineCount;
    case cudaDevAttrKernelExecTimeout:
    case cudaDevAttrIntegrated:
    case cudaDevAttrEccEnabled:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrPageableMemoryAccess:
    case cudaDevAttrMemoryPoolsSupported:
      return 0;
    default:
      throw Failure{cudaErrorInvalidValue};  // one that nobody has asked for yet
  }
}

// For the calls that answer on a machine where nothing else does.
template <class F>
cudaError_t answer(F&& body) {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  return record(body(d));
}

cudaError_t machine_status(const Device& d) {
  if (d.machine.count_status != cudaSuccess) return d.machine.count_status;
  return d.machine.devices == 0 ? cudaErrorNoDevice : cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  return answer([&](Device& d) {
    const cudaError_t status = machine_status(d);
    // Without a driver that serves it the runtime does not even touch the count.
    if (status == cudaErrorInsufficientDriver) return status;
    if (count == nullptr) return cudaErrorInvalidValue;
    *count = status == cudaSuccess ? d.machine.devices : 0;
    return status;
  });
}

cudaError_t cudaDriverGetVersion(int* version) {
  return answer([&](Device& d) {
    if (version == nullptr) return cudaErrorInvalidValue;
    *version = d.machine.driver_version;
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  return answer([&](Device&) {
    if (version == nullptr) return cudaErrorInvalidValue;
    *version = CUDART_VERSION;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* number) {
  return answer([&](Device& d) {
    if (const cudaError_t status = machine_status(d); status != cudaSuccess) return status;
    if (number == nullptr) return cudaErrorInvalidValue;
    *number = current_device;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int number) {
  return call([&](Device& d) {
    require(number >= 0 && number < d.machine.devices, cudaErrorInvalidDevice);
    current_device = number;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int number) {
  return call([&](Device& d) {
    require(properties != nullptr);
    require(number >= 0 && number < d.machine.devices, cudaErrorInvalidDevice);
    *properties = properties_of(d);
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int number) {
  return call([&](Device& d) {
    require(value != nullptr);
    require(number >= 0 && number < d.machine.devices, cudaErrorInvalidDevice);
    *value = attribute_of(d, attribute);
  });
}

cudaError_t cudaLaunchKernel(const void*, dim3, dim3, void**, std::size_t, cudaStream_t) {
  // Emulated kernels come through simt::submit; no other function is code for this device.
  return call([](Device&) { throw Failure{cudaErrorInvalidDeviceFunction}; });
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  return call([&](Device& d) {
    require(attributes != nullptr && function != nullptr);
    if (d.failing_driver_call == "cudaFuncGetAttributes") {
      d.failing_driver_call.clear();
      throw Failure{cudaErrorNoKernelImageForDevice};
    }
    *attributes = {};
  });
}

cudaError_t cudaProfilerStart() {
  return call([&](Device& d) { ++d.counters.profiler_starts; });
}

cudaError_t cudaProfilerStop() {
  return call([&](Device& d) { ++d.counters.profiler_stops; });
}

}  // extern "C"
