// Device and pinned memory, streams and an event on a fresh emulated device.
#pragma once

#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <functional>
#include <numeric>
#include <vector>

#include "tests/gpu_emulation/device/device.h"
#include "tests/gpu_emulation/device/submit.h"

namespace protolith::test {

/// A device of its own for each test; what a test leaves behind fails it.
struct FreshDevice {
  FreshDevice() { emulated::reset(); }
  ~FreshDevice() { CHECK_NOTHROW(emulated::reset()); }
};

struct Buffers : FreshDevice {
  static constexpr std::size_t kCount = 100, kBytes = kCount * sizeof(float);

  float *device = nullptr, *other = nullptr, *pinned = nullptr;
  cudaStream_t stream = nullptr, second = nullptr;
  cudaEvent_t event = nullptr;

  Buffers() {
    device = allocated();
    other = allocated();
    REQUIRE(cudaMallocHost(reinterpret_cast<void**>(&pinned), kBytes) == cudaSuccess);
    REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking) == cudaSuccess);
    REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == cudaSuccess);
    std::iota(pinned, pinned + kCount, 0.0F);
  }
  ~Buffers() {
    cudaFree(device);
    cudaFree(other);
    cudaFreeHost(pinned);
    cudaStreamDestroy(stream);
    cudaStreamDestroy(second);
    cudaEventDestroy(event);
  }

  static float* allocated(std::size_t bytes = kBytes) {
    void* pointer = nullptr;
    REQUIRE(cudaMalloc(&pointer, bytes) == cudaSuccess);
    return static_cast<float*>(pointer);
  }
  /// Launches as the kernels' own launcher does.
  static void launch(cudaStream_t to, std::function<void()> body) {
    simt::submit(to, std::move(body));
  }
  static void add_one(cudaStream_t to, float* values) {
    launch(to, [values] {
      for (std::size_t i = 0; i < kCount; ++i) values[i] += 1;
    });
  }
  cudaError_t upload(float* to, cudaStream_t on) const {
    return cudaMemcpyAsync(to, pinned, kBytes, cudaMemcpyHostToDevice, on);
  }
  cudaError_t download(const float* from, cudaStream_t on) const {
    return cudaMemcpyAsync(pinned, from, kBytes, cudaMemcpyDeviceToHost, on);
  }
  static cudaError_t set(float* values, int byte, cudaStream_t on) {
    return cudaMemsetAsync(values, byte, kBytes, on);
  }
  /// What device memory holds once everything queued is done.
  static std::vector<float> fetched(const float* from) {
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
    std::vector<float> host(kCount);
    REQUIRE(cudaMemcpy(host.data(), from, kBytes, cudaMemcpyDeviceToHost) == cudaSuccess);
    return host;
  }
};

}  // namespace protolith::test
