// cuDNN 9's graph (backend) API as values: descriptors that own themselves and take attributes of
// the right type, the handle, and the description of the device that plans are made for.
#pragma once

#include <cudnn.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "engine/cuda/check.h"
#include "engine/tensor.h"

namespace protolith::cuda {

/// Plans without a handle, for a described device, exist since cuDNN 9.8.
inline constexpr std::size_t kLeastCudnn = 90800;
static_assert(CUDNN_VERSION >= kLeastCudnn, "Protolith needs cuDNN 9.8 or newer");

/// Every cuDNN 9 has one name for the dynamic linker: throws Error where that which was `loaded`,
/// by cudnnGetVersion(), is too old.
void check_cudnn_version(std::size_t loaded);

/// What a plan may do.
struct CudnnOptions {
  /// Convolutions may round their inputs to TF32 (8 exponent and 10 mantissa bits) for the tensor
  /// cores of devices of compute capability 8.0 and newer; sums are f32 either way.
  bool tf32 = true;
  /// Only engines that yield the same bits at every run.
  bool deterministic = true;
  std::size_t workspace_limit = std::size_t{512} << 20U;  ///< bytes, per call
};

/// cuDNN's context on one stream of the current device; belongs to one driving thread.
class CudnnHandle {
 public:
  /// Throws Error when cuDNN is too old or cannot be initialised.
  explicit CudnnHandle(cudaStream_t stream);
  ~CudnnHandle();
  CudnnHandle(const CudnnHandle&) = delete;
  CudnnHandle& operator=(const CudnnHandle&) = delete;

  cudnnHandle_t get() const noexcept { return handle_; }

 private:
  cudnnHandle_t handle_ = nullptr;
};

/// The backend API's name for a C++ type.
template <class T>
inline constexpr cudnnBackendAttributeType_t kAttributeType = T::no_attribute_has_this_type;
template <>
inline constexpr auto kAttributeType<std::int64_t> = CUDNN_TYPE_INT64;
template <>
inline constexpr auto kAttributeType<float> = CUDNN_TYPE_FLOAT;
template <>
inline constexpr auto kAttributeType<bool> = CUDNN_TYPE_BOOLEAN;
template <>
inline constexpr auto kAttributeType<char> = CUDNN_TYPE_CHAR;
template <>
inline constexpr auto kAttributeType<const void*> = CUDNN_TYPE_VOID_PTR;
template <>
inline constexpr auto kAttributeType<cudnnHandle_t> = CUDNN_TYPE_HANDLE;
template <>
inline constexpr auto kAttributeType<cudnnDataType_t> = CUDNN_TYPE_DATA_TYPE;
template <>
inline constexpr auto kAttributeType<cudnnConvolutionMode_t> = CUDNN_TYPE_CONVOLUTION_MODE;
template <>
inline constexpr auto kAttributeType<cudnnBackendHeurMode_t> = CUDNN_TYPE_HEUR_MODE;
template <>
inline constexpr auto kAttributeType<cudnnBackendNormMode_t> = CUDNN_TYPE_NORM_MODE;
template <>
inline constexpr auto kAttributeType<cudnnBackendNormFwdPhase_t> = CUDNN_TYPE_NORM_FWD_PHASE;
template <>
inline constexpr auto kAttributeType<cudnnBackendNumericalNote_t> = CUDNN_TYPE_NUMERICAL_NOTE;
template <>
inline constexpr auto kAttributeType<cudnnBackendBehaviorNote_t> = CUDNN_TYPE_BEHAVIOR_NOTE;

/// One backend descriptor: created, given attributes, finalized, then read or referred to. Every
/// function throws Error with cuDNN's reason when cuDNN refuses.
class Descriptor {
 public:
  explicit Descriptor(cudnnBackendDescriptorType_t type);
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept : raw_(std::exchange(other.raw_, nullptr)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(raw_, other.raw_);
    return *this;
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  cudnnBackendDescriptor_t get() const noexcept { return raw_; }

  template <class T>
  void set(cudnnBackendAttributeName_t name, std::span<const T> values) {
    set_raw(name, kAttributeType<T>, static_cast<std::int64_t>(values.size()), values.data());
  }
  template <class T>
  void set(cudnnBackendAttributeName_t name, T value) {
    set_raw(name, kAttributeType<T>, 1, &value);
  }
  /// Refers to another descriptor, finalized before and kept alive as long as this one.
  void set(cudnnBackendAttributeName_t name, const Descriptor& other) {
    set_raw(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &other.raw_);
  }

  void finalize();
  /// Without throwing, for what cuDNN may rightly refuse: a plan of an engine that does not fit.
  cudnnStatus_t try_finalize() noexcept { return cudnnBackendFinalize(raw_); }

  template <class T>
  T value(cudnnBackendAttributeName_t name) const {
    T result{};
    get_raw(name, kAttributeType<T>, 1, &result);
    return result;
  }
  /// At most `capacity` values.
  template <class T>
  std::vector<T> values(cudnnBackendAttributeName_t name, std::size_t capacity) const {
    std::vector<T> result(capacity);
    const std::int64_t count =
        get_raw(name, kAttributeType<T>, static_cast<std::int64_t>(capacity), result.data());
    result.resize(static_cast<std::size_t>(count));
    return result;
  }
  /// At most `capacity` descriptors of the type.
  std::vector<Descriptor> descriptors(cudnnBackendAttributeName_t name,
                                      cudnnBackendDescriptorType_t type,
                                      std::size_t capacity) const;

 private:
  void set_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
               std::int64_t count, const void* values);
  /// Returns how many values were written: all that there are, or `capacity`.
  std::int64_t get_raw(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                       std::int64_t capacity, void* values) const;

  cudnnBackendDescriptor_t raw_ = nullptr;
};

/// Bytes to which every tensor that cuDNN gets must be aligned: what the 16-byte loads of the
/// fastest engines need.
inline constexpr std::int64_t kCudnnAlignment = 16;

/// A finalized f32 tensor descriptor of a contiguous [N,H,W,C] or [K,R,S,C] array, which cuDNN
/// wants as extents N,C,H,W with the strides of NHWC.
Descriptor nhwc_tensor(std::int64_t id, const Shape& shape);
/// A finalized descriptor of one f32 on the host, passed by value at execution.
Descriptor host_scalar(std::int64_t id);

/// What a plan is made for.
class DeviceProperties {
 public:
  /// The device of a handle.
  explicit DeviceProperties(const CudnnHandle& handle);
  /// A device that need not exist here, in the JSON that cuDNN writes for
  /// CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION.
  explicit DeviceProperties(const std::string& json);

  const Descriptor& descriptor() const noexcept { return descriptor_; }

 private:
  Descriptor descriptor_;
};

}  // namespace protolith::cuda
