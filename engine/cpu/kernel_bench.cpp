// CpuBackend's side of `bench kernels`.
#include "engine/kernel_bench.h"

#include <unistd.h>

#include <algorithm>
#include <chrono>

#include "engine/cpu/cpu_backend.h"
#include "engine/cpu/kernel_entries.h"
#include "kernels/cpu/machine_peak.h"
#include "kernels/cpu/parallel.h"

namespace protolith {
namespace {

/// Twice the last cache; 64 MB where the system does not tell its size, 512 MB at most: a virtual
/// machine may be told of a cache that it shares with many others.
std::size_t flushing_bytes() {
  const long cache = std::max(sysconf(_SC_LEVEL3_CACHE_SIZE), sysconf(_SC_LEVEL2_CACHE_SIZE));
  constexpr std::size_t kLeast = std::size_t{64} << 20, kMost = std::size_t{512} << 20;
  return std::clamp(2 * static_cast<std::size_t>(std::max(cache, 0L)), kLeast, kMost);
}

class CpuKernelBench final : public KernelBench {
 public:
  const std::vector<KernelEntry>& entries() const override { return entries_; }

  DevicePeak peak() override {
    return {cpu::peak_flops(), cpu::copy_bandwidth(),
            "measured: multiply-adds in registers, copying"};
  }

  void flush_caches() override {
    if (memory_.empty()) memory_.resize(flushing_bytes());
    // Read and written, a byte of each line: stores alone might pass the caches by.
    constexpr std::int64_t kLine = 64;
    cpu::parallel_ranges(static_cast<std::int64_t>(memory_.size()) / kLine, 1 << 14,
                         [&](std::int64_t begin, std::int64_t end, int) {
                           for (std::int64_t line = begin; line < end; ++line) {
                             ++memory_[static_cast<std::size_t>(line * kLine)];
                           }
                         });
  }

  double seconds(const std::function<void()>& launch) override {
    const auto start = std::chrono::steady_clock::now();
    launch();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

 private:
  std::vector<KernelEntry> entries_ = cpu_kernel_entries();
  std::vector<unsigned char> memory_;
};

}  // namespace

std::unique_ptr<KernelBench> CpuBackend::kernel_bench() {
  return std::make_unique<CpuKernelBench>();
}

}  // namespace protolith
