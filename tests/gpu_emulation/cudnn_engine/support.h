// cuDNN's operations on the emulated device: tensors there, the double-precision references, and
// comparisons with a tolerance derived from the length of the sums.
#pragma once

#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <cmath>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "engine/cuda/cudnn_batch_norm.h"
#include "engine/cuda/cudnn_convolution.h"
#include "tests/gpu_emulation/device/device.h"
#include "tests/reference/array.h"

namespace protolith::test {

using namespace protolith::cuda;
using reference::Array;

inline constexpr Device kGpu{DeviceType::cuda, 0};

/// Frees what cudaMalloc gave.
class CudaMemory : public MemoryOwner {
 public:
  void release(std::byte* data, std::size_t, std::uint64_t) noexcept override { cudaFree(data); }
};

/// A tensor on the device, `skew` bytes past the start of its block.
inline Tensor on_device(const Shape& shape, DType dtype = DType::f32, std::size_t skew = 0) {
  const std::size_t bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype) + skew;
  void* data = nullptr;
  REQUIRE(cudaMalloc(&data, bytes) == cudaSuccess);
  return Tensor(std::make_shared<Storage>(static_cast<std::byte*>(data), bytes, kGpu,
                                          std::make_shared<CudaMemory>()),
                shape, dtype, skew);
}

inline Tensor upload(const Array& values, const Shape& shape, std::size_t skew = 0) {
  const Tensor tensor = on_device(shape, DType::f32, skew);
  const std::vector<float> floats(values.begin(), values.end());
  REQUIRE(cudaMemcpy(tensor.raw(), floats.data(), tensor.bytes(), cudaMemcpyHostToDevice) ==
          cudaSuccess);
  return tensor;
}

inline std::vector<float> download(const Tensor& tensor) {
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  std::vector<float> floats(static_cast<std::size_t>(tensor.elements()));
  REQUIRE(cudaMemcpy(floats.data(), tensor.raw(), tensor.bytes(), cudaMemcpyDeviceToHost) ==
          cudaSuccess);
  return floats;
}

/// Uniform in [-1, 1), exact in f32.
inline Array random_array(std::int64_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> distribution(-1.0F, 1.0F);
  Array values(static_cast<std::size_t>(count));
  for (double& value : values) value = distribution(generator);
  return values;
}

/// |got - want| / |want| in the 2-norm.
inline double relative_error(const std::vector<float>& got, const Array& want) {
  REQUIRE(got.size() == want.size());
  double difference = 0.0, norm = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    difference += (got[i] - want[i]) * (got[i] - want[i]);
    norm += want[i] * want[i];
  }
  return std::sqrt(difference / norm);
}

/// A bound for the relative 2-norm error of f32 sums of `terms` products with random signs: the
/// roundings of one sequence make about 0.4 * sqrt(terms) roundoffs; 4 leaves room.
inline double sum_tolerance(std::int64_t terms) {
  return 4.0 * 0x1p-24 * std::sqrt(static_cast<double>(terms));
}

/// A fresh device with a stream and a cuDNN handle, and workspaces that are counted. What a test
/// leaves behind fails it.
struct Gpu {
  cudaStream_t stream = nullptr;
  std::unique_ptr<CudnnHandle> handle;
  std::vector<std::size_t> workspaces;  ///< bytes asked for
  std::vector<Tensor> kept;             ///< freeing would wait for the device

  explicit Gpu(int major = 9, int minor = 0) {
    emulated::reset();
    emulated::set_compute_capability(major, minor);
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    handle = std::make_unique<CudnnHandle>(stream);
  }
  ~Gpu() {
    handle.reset();
    kept.clear();
    cudaStreamDestroy(stream);
  }
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  std::function<Tensor(std::size_t)> workspace() {
    return [this](std::size_t bytes) {
      workspaces.push_back(bytes);
      return kept.emplace_back(on_device({static_cast<std::int64_t>(bytes)}, DType::u8));
    };
  }
  CudnnConvolution convolution(const CudnnOptions& options) {
    return CudnnConvolution(*handle, options, workspace());
  }
  CudnnBatchNorm batch_norm() { return CudnnBatchNorm(*handle, {}, workspace()); }
};

}  // namespace protolith::test
