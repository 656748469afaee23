// Stand-in for cuDNN's backend API on the emulated device: what the engine calls, as strict as
// NVIDIA's library or stricter.
#include <cudnn.h>

#include <algorithm>
#include <mutex>

#include "tests/gpu_emulation/cudnn/execute.h"
#include "tests/gpu_emulation/device/device.h"

using namespace protolith::emulated;
using dnn::Descriptor;
using dnn::Refusal;
using dnn::require;

// What cudnn_graph.h leaves incomplete.
struct cudnnContext {
  cudaStream_t stream = nullptr;
  int device = 0;
};

namespace {

/// What exists: a pointer that is not in here was never given out, or has been destroyed.
struct Library {
  std::recursive_mutex mutex;
  std::map<cudnnHandle_t, std::unique_ptr<cudnnContext>> handles;
  std::map<cudnnBackendDescriptor_t, std::shared_ptr<Descriptor>> descriptors;
  std::string last_error;
};

Library& library() {
  static auto* const instance = new Library;  // outlives every static of the program
  return *instance;
}

template <class F>
cudnnStatus_t call(F&& body) {
  const std::lock_guard lock(library().mutex);
  try {
    body();
    return CUDNN_STATUS_SUCCESS;
  } catch (const Refusal& refusal) {
    library().last_error = refusal.reason;
    return refusal.status;
  }
}

cudnnContext& context(cudnnHandle_t handle) {
  const auto found = library().handles.find(handle);
  require(found != library().handles.end(), CUDNN_STATUS_BAD_PARAM, "no such handle");
  return *found->second;
}

}  // namespace

namespace protolith::emulated::dnn {

std::shared_ptr<Descriptor> live(cudnnBackendDescriptor_t raw) {
  require(raw != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "a null descriptor");
  const auto found = library().descriptors.find(raw);
  require(found != library().descriptors.end(), CUDNN_STATUS_BAD_PARAM,
          "not a descriptor, or destroyed");
  return found->second;
}

bool is_handle(cudnnHandle_t handle) {
  return library().handles.count(handle) != 0;
}

int compute_capability(cudnnHandle_t handle) {
  const int device = context(handle).device;
  int major = 0, minor = 0;
  require(
      cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device) == cudaSuccess &&
          cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device) == cudaSuccess,
      CUDNN_STATUS_NOT_INITIALIZED, "the device cannot be asked");
  return 10 * major + minor;
}

}  // namespace protolith::emulated::dnn

size_t cudnnGetVersion() {
  return CUDNN_VERSION;
}

const char* cudnnGetErrorString(cudnnStatus_t status) {
  switch (status) {
#define PROTOLITH_NAME(name) \
  case name:                 \
    return #name;
    PROTOLITH_NAME(CUDNN_STATUS_SUCCESS)
    PROTOLITH_NAME(CUDNN_STATUS_NOT_INITIALIZED)
    PROTOLITH_NAME(CUDNN_STATUS_BAD_PARAM)
    PROTOLITH_NAME(CUDNN_STATUS_BAD_PARAM_NULL_POINTER)
    PROTOLITH_NAME(CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER)
    PROTOLITH_NAME(CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED)
    PROTOLITH_NAME(CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH)
    PROTOLITH_NAME(CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE)
    PROTOLITH_NAME(CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE)
    PROTOLITH_NAME(CUDNN_STATUS_NOT_SUPPORTED)
    PROTOLITH_NAME(CUDNN_STATUS_INTERNAL_ERROR)
    PROTOLITH_NAME(CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED)
    PROTOLITH_NAME(CUDNN_STATUS_EXECUTION_FAILED)
#undef PROTOLITH_NAME
    default:
      return "CUDNN_STATUS_OTHER";
  }
}

void cudnnGetLastErrorString(char* message, size_t size) {
  const std::lock_guard lock(library().mutex);
  if (message == nullptr || size == 0) return;
  const std::size_t length = std::min(size - 1, library().last_error.size());
  std::memcpy(message, library().last_error.data(), length);
  message[length] = '\0';
  library().last_error.clear();
}

cudnnStatus_t cudnnCreate(cudnnHandle_t* handle) {
  return call([&] {
    require(handle != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "nowhere to write to");
    int device = 0;
    require(cudaGetDevice(&device) == cudaSuccess, CUDNN_STATUS_NOT_INITIALIZED, "no device");
    auto made = std::make_unique<cudnnContext>();
    made->device = device;
    *handle = made.get();
    library().handles[*handle] = std::move(made);
    count_handle("cuDNN handle", 1);
  });
}

cudnnStatus_t cudnnDestroy(cudnnHandle_t handle) {
  return call([&] {
    context(handle);
    library().handles.erase(handle);
    count_handle("cuDNN handle", -1);
  });
}

cudnnStatus_t cudnnSetStream(cudnnHandle_t handle, cudaStream_t stream) {
  return call([&] { context(handle).stream = stream; });
}

cudnnStatus_t cudnnGetStream(cudnnHandle_t handle, cudaStream_t* stream) {
  return call([&] {
    require(stream != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "nowhere to write to");
    *stream = context(handle).stream;
  });
}

cudnnStatus_t cudnnBackendCreateDescriptor(cudnnBackendDescriptorType_t type,
                                           cudnnBackendDescriptor_t* descriptor) {
  return call([&] {
    require(descriptor != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "nowhere to write to");
    require(type >= 0 && type <= CUDNN_BACKEND_OPERATION_SDPA_BWD_DESCRIPTOR,
            CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED, "no such descriptor");
    auto made = std::make_shared<Descriptor>();
    made->type = type;
    *descriptor = made.get();
    library().descriptors[*descriptor] = std::move(made);
    count_handle("cuDNN descriptor", 1);
    ++counters().descriptors;
  });
}

cudnnStatus_t cudnnBackendDestroyDescriptor(cudnnBackendDescriptor_t descriptor) {
  return call([&] {
    dnn::live(descriptor);
    library().descriptors.erase(descriptor);
    count_handle("cuDNN descriptor", -1);
  });
}

cudnnStatus_t cudnnBackendSetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t count,
                                       const void* values) {
  return call([&] { dnn::set_attribute(*dnn::live(descriptor), name, type, count, values); });
}

cudnnStatus_t cudnnBackendGetAttribute(cudnnBackendDescriptor_t descriptor,
                                       cudnnBackendAttributeName_t name,
                                       cudnnBackendAttributeType_t type, int64_t capacity,
                                       int64_t* count, void* values) {
  return call(
      [&] { dnn::get_attribute(*dnn::live(descriptor), name, type, capacity, count, values); });
}

cudnnStatus_t cudnnBackendFinalize(cudnnBackendDescriptor_t descriptor) {
  return call([&] { dnn::finalize(*dnn::live(descriptor)); });
}

cudnnStatus_t cudnnBackendExecute(cudnnHandle_t handle, cudnnBackendDescriptor_t plan,
                                  cudnnBackendDescriptor_t pack) {
  return call([&] {
    const cudnnContext& here = context(handle);
    const auto p = dnn::live(plan), v = dnn::live(pack);
    require(p->type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR &&
                v->type == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR,
            CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE, "not a plan and a variant pack");
    require(p->finalized && v->finalized, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
            "a plan or pack that is not finalized");
    dnn::execute(here.stream, *p, *v);
  });
}
