// The few functions of the driver that programs reach through the runtime's entry points.
#include <cuda.h>
#include <cuda_runtime_api.h>

#include <cstring>

#include "tests/gpu_emulation/device/runtime.h"

using namespace protolith::emulated;

namespace {

// Runs a call's body, which gives a CUresult, on a healthy device, unless a test wants it to fail.
template <class F>
CUresult driver_call(const char* name, F&& body) {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  try {
    if (d.failing_driver_call == name) {
      d.failing_driver_call.clear();
      return CUDA_ERROR_OUT_OF_MEMORY;
    }
    // The driver's statuses have the runtime's numbers.
    if (const cudaError_t status = d.status(); status != cudaSuccess) {
      return static_cast<CUresult>(status);
    }
    return body(d);
  } catch (const Failure& failure) {
    return static_cast<CUresult>(failure.status);
  }
}

// The same for calls that give something back, which they do even after a fault.
template <class F>
CUresult driver_release(F&& body) {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  try {
    const CUresult result = body(d);
    return d.status() == cudaSuccess ? result : static_cast<CUresult>(d.status());
  } catch (const Failure& failure) {
    return static_cast<CUresult>(failure.status);
  }
}

// All devices share one memory.
bool has_device(const Device& d, int number) {
  return number >= 0 && number < d.machine.devices;
}

CUresult check(const Device& d, const CUmemAllocationProp* properties) {
  if (properties == nullptr || properties->type != CU_MEM_ALLOCATION_TYPE_PINNED ||
      properties->location.type != CU_MEM_LOCATION_TYPE_DEVICE) {
    return CUDA_ERROR_INVALID_VALUE;
  }
  return has_device(d, properties->location.id) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}

CUresult CUDAAPI address_reserve(CUdeviceptr* pointer, std::size_t bytes, std::size_t alignment,
                                 CUdeviceptr, unsigned long long flags) {
  return driver_call("cuMemAddressReserve", [&](Device& d) {
    if (pointer == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    d.forbid_during_capture();
    return d.memory.reserve(pointer, bytes, alignment);
  });
}

CUresult CUDAAPI address_free(CUdeviceptr pointer, std::size_t bytes) {
  return driver_release([&](Device& d) {
    d.forbid_during_capture();
    return d.memory.unreserve(pointer, bytes);
  });
}

CUresult CUDAAPI create(CUmemGenericAllocationHandle* handle, std::size_t bytes,
                        const CUmemAllocationProp* properties, unsigned long long flags) {
  return driver_call("cuMemCreate", [&](Device& d) {
    if (handle == nullptr || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    if (const CUresult result = check(d, properties); result != CUDA_SUCCESS) return result;
    d.forbid_during_capture();
    const CUresult result = d.memory.create(handle, bytes);
    if (result == CUDA_SUCCESS) ++d.counters.allocations;
    return result;
  });
}

CUresult CUDAAPI release(CUmemGenericAllocationHandle handle) {
  return driver_release([&](Device& d) {
    d.forbid_during_capture();
    return d.memory.drop(handle);
  });
}

CUresult CUDAAPI map(CUdeviceptr pointer, std::size_t bytes, std::size_t offset,
                     CUmemGenericAllocationHandle handle, unsigned long long flags) {
  return driver_call("cuMemMap", [&](Device& d) {
    if (offset != 0 || flags != 0) return CUDA_ERROR_INVALID_VALUE;
    d.forbid_during_capture();
    return d.memory.map(pointer, bytes, handle);
  });
}

// Pending work on the range is the caller's to wait for: its own check finds the memory gone.
CUresult CUDAAPI unmap(CUdeviceptr pointer, std::size_t bytes) {
  return driver_release([&](Device& d) {
    d.forbid_during_capture();
    return d.memory.unmap(pointer, bytes);
  });
}

CUresult CUDAAPI set_access(CUdeviceptr pointer, std::size_t bytes, const CUmemAccessDesc* access,
                            std::size_t count) {
  return driver_call("cuMemSetAccess", [&](Device& d) {
    if (access == nullptr || count != 1 || access->location.type != CU_MEM_LOCATION_TYPE_DEVICE ||
        (access->flags != CU_MEM_ACCESS_FLAGS_PROT_READWRITE &&
         access->flags != CU_MEM_ACCESS_FLAGS_PROT_NONE)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (!has_device(d, access->location.id)) return CUDA_ERROR_INVALID_DEVICE;
    d.forbid_during_capture();
    return d.memory.set_access(pointer, bytes, access->flags != CU_MEM_ACCESS_FLAGS_PROT_NONE);
  });
}

CUresult CUDAAPI granularity(std::size_t* bytes, const CUmemAllocationProp* properties,
                             CUmemAllocationGranularity_flags option) {
  return driver_call("cuMemGetAllocationGranularity", [&](Device& d) {
    if (bytes == nullptr || (option != CU_MEM_ALLOC_GRANULARITY_MINIMUM &&
                             option != CU_MEM_ALLOC_GRANULARITY_RECOMMENDED)) {
      return CUDA_ERROR_INVALID_VALUE;
    }
    if (const CUresult result = check(d, properties); result != CUDA_SUCCESS) return result;
    *bytes = Memory::kGranule;
    return CUDA_SUCCESS;
  });
}

CUresult CUDAAPI error_string(CUresult result, const char** text) {
  if (text == nullptr) return CUDA_ERROR_INVALID_VALUE;
  const auto status = static_cast<cudaError_t>(result);
  const bool known = std::strcmp(cudaGetErrorName(status), "unrecognized error code") != 0;
  *text = known ? cudaGetErrorString(status) : nullptr;
  return known ? CUDA_SUCCESS : CUDA_ERROR_INVALID_VALUE;
}

struct Entry {
  const char* name;
  void* function;
  unsigned version;  // that introduced it
};

// The compiler checks that each has the driver's own type.
template <class F>
Entry entry(const char* name, F* function, std::type_identity_t<F>*, unsigned version) {
  return {name, reinterpret_cast<void*>(function), version};
}

#define ENTRY(name, function, version) \
  entry(#name, function, static_cast<decltype(&(name))>(nullptr), version)
const Entry* entry_of(const char* name) {
  static const Entry kEntries[] = {
      ENTRY(cuMemAddressReserve, address_reserve, 10020),
      ENTRY(cuMemAddressFree, address_free, 10020),
      ENTRY(cuMemCreate, create, 10020),
      ENTRY(cuMemRelease, release, 10020),
      ENTRY(cuMemMap, map, 10020),
      ENTRY(cuMemUnmap, unmap, 10020),
      ENTRY(cuMemSetAccess, set_access, 10020),
      ENTRY(cuMemGetAllocationGranularity, granularity, 10020),
      ENTRY(cuGetErrorString, error_string, 6000),
  };
#undef ENTRY
  for (const Entry& entry : kEntries) {
    if (std::strcmp(entry.name, name) == 0) return &entry;
  }
  return nullptr;
}

}  // namespace

extern "C" {

cudaError_t cudaGetDriverEntryPointByVersion(const char* symbol, void** function, unsigned version,
                                             unsigned long long flags,
                                             cudaDriverEntryPointQueryResult* result) {
  return call([&](Device& d) {
    if (symbol == nullptr || *symbol == '\0' || function == nullptr ||
        flags > cudaEnablePerThreadDefaultStream ||
        version > static_cast<unsigned>(d.machine.driver_version)) {
      throw Failure{cudaErrorInvalidValue};
    }
    const Entry* const found = entry_of(symbol);
    const bool served = found != nullptr && version >= found->version;
    *function = served ? found->function : nullptr;
    if (result != nullptr) {
      *result = served             ? cudaDriverEntryPointSuccess
                : found == nullptr ? cudaDriverEntryPointSymbolNotFound
                                   : cudaDriverEntryPointVersionNotSufficent;
    }
  });
}

// Deprecated in CUDA 13 in favour of the call with a version.
cudaError_t cudaGetDriverEntryPoint(const char* symbol, void** function, unsigned long long flags,
                                    cudaDriverEntryPointQueryResult* result) {
  return cudaGetDriverEntryPointByVersion(symbol, function, CUDART_VERSION, flags, result);
}

}  // extern "C"
