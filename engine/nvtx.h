// Named ranges for NVIDIA's profilers (Nsight Systems and Compute), by NVTX 3: headers of the CUDA
// toolkit, no library. A build without the toolkit has none, and nobody ever listens.
#pragma once

#include <string>

namespace protolith {

/// Protolith's domain of NVTX ranges.
class NvtxDomain {
 public:
  /// Looks whether a profiler has loaded its part into this process (by NVTX_INJECTION64_PATH, as
  /// `nsys profile` and `ncu --nvtx` set it), once: the first one made decides for the process.
  NvtxDomain();
  ~NvtxDomain();
  NvtxDomain(const NvtxDomain&) = delete;
  NvtxDomain& operator=(const NvtxDomain&) = delete;

  /// Whether anybody listens; if not, push() and pop() do nothing.
  bool listens() const noexcept { return domain_ != nullptr; }
  /// Opens and closes a range on this thread.
  void push(const std::string& name);
  void pop();

 private:
  void* domain_ = nullptr;
};

}  // namespace protolith
