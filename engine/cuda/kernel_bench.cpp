// CudaBackend's side of `bench kernels`.
#include "engine/kernel_bench.h"

#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/kernel_entries.h"

namespace protolith {
namespace {

int attribute(cudaDeviceAttr name, int device) {
  int value = 0;
  PROTOLITH_CUDA(cudaDeviceGetAttribute(&value, name, device));
  return value;
}

/// f32 units of a multiprocessor (CUDA Programming Guide, "Arithmetic Instructions": results per
/// clock cycle of 32-bit floating-point multiply-add); 0: a generation that is not known.
int f32_units(int major, int minor) {
  if (major == 7 || (major == 8 && minor == 0)) return 64;
  return major >= 8 && major <= 12 ? 128 : 0;
}

class CudaKernelBench final : public KernelBench {
 public:
  CudaKernelBench(int device, cudaStream_t stream)
      : device_(device),
        stream_(stream),
        entries_(cuda::kernel_entries(stream)),
        start_(make_timer()),
        end_(make_timer()) {}

  const std::vector<KernelEntry>& entries() const override { return entries_; }

  /// By the clocks that the device claims at most, two transfers in a memory clock; 0 where the
  /// driver does not tell them, as under some hypervisors.
  DevicePeak peak() override {
    const double clock = 1e3 * attribute(cudaDevAttrClockRate, device_);
    const double memory_clock = 1e3 * attribute(cudaDevAttrMemoryClockRate, device_);
    const int units = f32_units(attribute(cudaDevAttrComputeCapabilityMajor, device_),
                                attribute(cudaDevAttrComputeCapabilityMinor, device_));
    return {2.0 * units * attribute(cudaDevAttrMultiProcessorCount, device_) * clock,
            2.0 * memory_clock * attribute(cudaDevAttrGlobalMemoryBusWidth, device_) / 8,
            "by the device's clocks, multiprocessors and bus width"};
  }

  /// Writes twice the L2 cache; by the driver, so that a profiler sees no kernel of it.
  void flush_caches() override {
    if (memory_ == nullptr) {
      bytes_ = 2 * static_cast<std::size_t>(attribute(cudaDevAttrL2CacheSize, device_));
      if (bytes_ == 0) return;
      memory_ = cuda::allocate_device(bytes_, {DeviceType::cuda, device_}, stream_);
    }
    PROTOLITH_CUDA(cudaMemsetAsync(memory_->data(), 1, bytes_, stream_));
  }

  double seconds(const std::function<void()>& launch) override {
    PROTOLITH_CUDA(cudaEventRecord(start_.get(), stream_));
    launch();
    PROTOLITH_CUDA(cudaEventRecord(end_.get(), stream_));
    PROTOLITH_CUDA(cudaEventSynchronize(end_.get()));
    float milliseconds = 0;
    PROTOLITH_CUDA(cudaEventElapsedTime(&milliseconds, start_.get(), end_.get()));
    return 1e-3 * static_cast<double>(milliseconds);
  }

 private:
  static cuda::OwnedEvent make_timer() {
    cudaEvent_t event = nullptr;
    PROTOLITH_CUDA(cudaEventCreate(&event));
    return cuda::OwnedEvent(event);
  }

  int device_;
  cudaStream_t stream_;
  std::vector<KernelEntry> entries_;
  cuda::OwnedEvent start_, end_;
  std::shared_ptr<Storage> memory_;
  std::size_t bytes_ = 0;
};

}  // namespace

std::unique_ptr<KernelBench> CudaBackend::kernel_bench() {
  return std::make_unique<CudaKernelBench>(device_.index, stream_.get());
}

}  // namespace protolith
