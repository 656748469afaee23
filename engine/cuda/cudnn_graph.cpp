#include "engine/cuda/cudnn_graph.h"

#include <algorithm>
#include <array>

namespace protolith::cuda {

void check_cudnn_version(std::size_t loaded) {
  const auto text = [](std::size_t version) {
    return fmt::format("{}.{}.{}", version / 10000, version % 10000 / 100, version % 100);
  };
  PROTOLITH_CHECK(loaded >= kLeastCudnn,
                  "device cuda: cuDNN {} was loaded and {} or later is needed; see to it that an "
                  "older libcudnn.so.9 does not come first (LD_LIBRARY_PATH), or use --device cpu",
                  text(loaded), text(kLeastCudnn));
}

CudnnHandle::CudnnHandle(cudaStream_t stream) {
  check_cudnn_version(cudnnGetVersion());
  PROTOLITH_CUDA(cudnnCreate(&handle_));
  if (const cudnnStatus_t status = cudnnSetStream(handle_, stream); !succeeded(status)) {
    cudnnDestroy(handle_);
    throw_failure(status, "cudnnSetStream(handle_, stream)", __builtin_FILE(), __LINE__);
  }
}

CudnnHandle::~CudnnHandle() {
  cudnnDestroy(handle_);
}

Descriptor::Descriptor(cudnnBackendDescriptorType_t type) {
  PROTOLITH_CUDA(cudnnBackendCreateDescriptor(type, &raw_));
}

Descriptor::~Descriptor() {
  if (raw_ != nullptr) cudnnBackendDestroyDescriptor(raw_);
}

void Descriptor::finalize() {
  PROTOLITH_CUDA(cudnnBackendFinalize(raw_));
}

void Descriptor::set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                         std::int64_t count, const void* values) {
  PROTOLITH_CUDA(cudnnBackendSetAttribute(raw_, name, type, count, values));
}

std::int64_t Descriptor::get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                                 std::int64_t capacity, void* values) const {
  std::int64_t count = 0;
  PROTOLITH_CUDA(cudnnBackendGetAttribute(raw_, name, type, capacity, &count, values));
  return std::min(count, capacity);
}

std::vector<Descriptor> Descriptor::descriptors(cudnnBackendAttributeName_t name,
                                                cudnnBackendDescriptorType_t type,
                                                std::size_t capacity) const {
  std::vector<Descriptor> result;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::size_t i = 0; i < capacity; ++i) raw.push_back(result.emplace_back(type).get());
  const std::int64_t count =
      get_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<std::int64_t>(capacity), raw.data());
  result.erase(result.begin() + count, result.end());
  return result;
}

namespace {

Descriptor tensor_descriptor(std::int64_t id, std::array<std::int64_t, 4> extents,
                             std::array<std::int64_t, 4> strides, bool by_value) {
  Descriptor tensor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  tensor.set(CUDNN_ATTR_TENSOR_UNIQUE_ID, id);
  tensor.set(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_FLOAT);
  tensor.set(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT,
             by_value ? std::int64_t{sizeof(float)} : kCudnnAlignment);
  tensor.set(CUDNN_ATTR_TENSOR_DIMENSIONS, std::span<const std::int64_t>(extents));
  tensor.set(CUDNN_ATTR_TENSOR_STRIDES, std::span<const std::int64_t>(strides));
  if (by_value) tensor.set(CUDNN_ATTR_TENSOR_IS_BY_VALUE, true);
  tensor.finalize();
  return tensor;
}

Descriptor finalized(Descriptor descriptor) {
  descriptor.finalize();
  return descriptor;
}

Descriptor device_of(const CudnnHandle& handle) {
  Descriptor descriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  descriptor.set(CUDNN_ATTR_DEVICEPROP_HANDLE, handle.get());
  return finalized(std::move(descriptor));
}

Descriptor device_of(const std::string& json) {
  Descriptor descriptor(CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
  descriptor.set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, std::span<const char>(json));
  return finalized(std::move(descriptor));
}

}  // namespace

Descriptor nhwc_tensor(std::int64_t id, const Shape& shape) {
  PROTOLITH_CHECK(shape.rank() == 4, "cuDNN wants four extents, not {}", to_string(shape));
  const std::int64_t n = shape[0], h = shape[1], w = shape[2], c = shape[3];
  return tensor_descriptor(id, {n, c, h, w}, {h * w * c, 1, w * c, c}, false);
}

Descriptor host_scalar(std::int64_t id) {
  return tensor_descriptor(id, {1, 1, 1, 1}, {1, 1, 1, 1}, true);
}

DeviceProperties::DeviceProperties(const CudnnHandle& handle) : descriptor_(device_of(handle)) {}
DeviceProperties::DeviceProperties(const std::string& json) : descriptor_(device_of(json)) {}

}  // namespace protolith::cuda
