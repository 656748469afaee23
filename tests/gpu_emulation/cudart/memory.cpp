// Allocation, copies and fills.
#include <cstring>
#include <memory>
#include <vector>

#include "tests/gpu_emulation/device/runtime.h"

using namespace protolith::emulated;

namespace {

void require(bool condition, cudaError_t status) {
  if (!condition) throw Failure{status};
}

enum class Place { device, pinned, pageable };

// Where a range lies; throws for one that is not wholly in one live allocation, or was freed.
Place place_of(const Device& d, const void* pointer, std::size_t bytes) {
  const auto range = d.memory.find(pointer);
  if (!range) {
    require(pointer != nullptr && !d.memory.dead(pointer), cudaErrorInvalidValue);
    return Place::pageable;
  }
  require(d.memory.check(pointer, bytes, range->space).empty(), cudaErrorInvalidValue);
  return range->space == Space::device ? Place::device : Place::pinned;
}

struct Copy {
  void* to;
  const void* from;
  std::size_t bytes;
  Place target, source;
  bool to_device() const { return target == Place::device && source != Place::device; }
  bool to_host() const { return target != Place::device && source == Place::device; }
  bool inside_device() const { return target == Place::device && source == Place::device; }
  bool pageable() const { return target == Place::pageable || source == Place::pageable; }
};

Copy classify(const Device& d, void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  require(kind >= cudaMemcpyHostToHost && kind <= cudaMemcpyDefault,
          cudaErrorInvalidMemcpyDirection);
  const Copy copy{to, from, bytes, place_of(d, to, bytes), place_of(d, from, bytes)};
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  require(kind == cudaMemcpyDefault || (to_device == (copy.target == Place::device) &&
                                        from_device == (copy.source == Place::device)),
          cudaErrorInvalidValue);
  return copy;
}

Task task_of(const Copy& copy) {
  Task task{WorkKind::copy, "copy", {}, {}};
  if (copy.target != Place::pageable) {
    task.operands.push_back({"target", copy.to, copy.bytes, 1, true, copy.target == Place::pinned});
  }
  if (copy.source != Place::pageable) {
    task.operands.push_back(
        {"source", copy.from, copy.bytes, 1, false, copy.source == Place::pinned});
  }
  if (copy.to_device()) task.bytes_to_device = copy.bytes;
  if (copy.to_host()) task.bytes_to_host = copy.bytes;
  if (copy.to_device() && copy.source == Place::pageable) {
    // CUDA stages pageable memory within the call: later changes are not copied.
    const auto* const data = static_cast<const std::byte*>(copy.from);
    task.body = [copy, staged = std::vector<std::byte>(data, data + copy.bytes)] {
      std::memcpy(copy.to, staged.data(), copy.bytes);
    };
  } else {
    task.body = [copy] { std::memcpy(copy.to, copy.from, copy.bytes); };
  }
  return task;
}

// Allocations, which captures must not see.
void* allocate(Device& d, Space space, std::size_t bytes) {
  d.forbid_during_capture();
  void* const pointer = d.memory.allocate(space, bytes);
  require(pointer != nullptr, cudaErrorMemoryAllocation);
  ++d.counters.allocations;
  return pointer;
}

void release(Device& d, Space space, void* pointer) {
  std::string damage;
  require(d.memory.release(space, pointer, damage), cudaErrorInvalidValue);
  if (!damage.empty()) d.fail(damage);
}

void fill(Device& d, CUstream_st& stream, void* pointer, int value, std::size_t bytes) {
  if (bytes == 0) return;
  require(place_of(d, pointer, bytes) == Place::device, cudaErrorInvalidValue);
  d.submit(stream, {WorkKind::fill, "fill", {{"target", pointer, bytes, 1, true}}, [=] {
                      std::memset(pointer, value, bytes);
                    }});
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** pointer, std::size_t bytes) {
  return call([&](Device& d) {
    require(pointer != nullptr, cudaErrorInvalidValue);
    if (bytes == 0) {
      *pointer = nullptr;
      return;
    }
    *pointer = allocate(d, Space::device, bytes);
  });
}

cudaError_t cudaFree(void* pointer) {
  return release_call([&](Device& d) {
    if (pointer == nullptr) return;
    d.forbid_during_capture();
    if (d.fault.empty()) d.synchronise();  // the driver waits for work that may use the memory
    release(d, Space::device, pointer);
  });
}

cudaError_t cudaHostAlloc(void** pointer, std::size_t bytes, unsigned flags) {
  return call([&](Device& d) {
    constexpr unsigned kFlags =
        cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
    require(pointer != nullptr && (flags & ~kFlags) == 0, cudaErrorInvalidValue);
    if (bytes == 0) {
      *pointer = nullptr;
      return;
    }
    *pointer = allocate(d, Space::pinned, bytes);
  });
}

cudaError_t cudaMallocHost(void** pointer, std::size_t bytes) {
  return cudaHostAlloc(pointer, bytes, cudaHostAllocDefault);
}

cudaError_t cudaFreeHost(void* pointer) {
  return release_call([&](Device& d) {
    if (pointer == nullptr) return;
    d.forbid_during_capture();
    release(d, Space::pinned, pointer);  // a pending copy's own check finds that it is gone
  });
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  return call([&](Device& d) {
    require(free != nullptr && total != nullptr, cudaErrorInvalidValue);
    *total = d.memory.total();
    *free = *total - std::min(*total, d.memory.used());
  });
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t handle) {
  return call([&](Device& d) {
    CUstream_st& stream = d.stream(handle);
    if (bytes == 0) return;
    const Copy copy = classify(d, to, from, bytes, kind);
    if (copy.pageable()) d.require_no_capture(stream);
    d.submit(stream, task_of(copy));
    // The host waits for what the device does not copy by itself.
    if (copy.target == Place::pageable || (!copy.to_device() && !copy.to_host() &&
                                           !copy.inside_device() && stream.capture == nullptr)) {
      d.synchronise(stream);
    }
  });
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  return call([&](Device& d) {
    d.forbid_implicit(d.legacy);
    d.forbid_during_capture();
    if (bytes == 0) return;
    const Copy copy = classify(d, to, from, bytes, kind);
    const bool staged = copy.to_device() && copy.source == Place::pageable;
    if (staged) d.synchronise(d.legacy);  // before the staging
    d.submit(d.legacy, task_of(copy));
    // From pageable memory the call may return before the device has the bytes, and a copy inside
    // the device does not make the host wait at all.
    if (!staged && !copy.inside_device()) d.synchronise(d.legacy);
  });
}

cudaError_t cudaMemset(void* pointer, int value, std::size_t bytes) {
  return call([&](Device& d) {
    d.forbid_during_capture();
    fill(d, d.legacy, pointer, value, bytes);
  });
}

cudaError_t cudaMemsetAsync(void* pointer, int value, std::size_t bytes, cudaStream_t stream) {
  return call([&](Device& d) { fill(d, d.stream(stream), pointer, value, bytes); });
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  return call([&](Device& d) {
    require(attributes != nullptr, cudaErrorInvalidValue);
    *attributes = {};
    const auto range = d.memory.find(pointer);
    attributes->type = !range                          ? cudaMemoryTypeUnregistered
                       : range->space == Space::device ? cudaMemoryTypeDevice
                                                       : cudaMemoryTypeHost;
    attributes->device = range ? 0 : cudaInvalidDeviceId;
    attributes->devicePointer = range ? const_cast<void*>(pointer) : nullptr;
    attributes->hostPointer =
        range && range->space == Space::device ? nullptr : const_cast<void*>(pointer);
  });
}

}  // extern "C"
