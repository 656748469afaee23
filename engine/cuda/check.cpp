#include "engine/cuda/check.h"

#include <array>

namespace protolith::cuda {

void throw_failure(cudaError_t status, const char* call, const char* file, int line) {
  throw Error(fmt::format("CUDA: {} ({}) in {}", cudaGetErrorString(status),
                          cudaGetErrorName(status), call),
              file, line);
}

void throw_failure(cublasStatus_t status, const char* call, const char* file, int line) {
  throw Error(fmt::format("cuBLAS: {} in {}", cublasGetStatusString(status), call), file, line);
}

void throw_failure(cudnnStatus_t status, const char* call, const char* file, int line) {
  std::array<char, 512> detail{};
  cudnnGetLastErrorString(detail.data(), detail.size());
  throw Error(fmt::format("cuDNN: {} in {}: {}", cudnnGetErrorString(status), call, detail.data()),
              file, line);
}

}  // namespace protolith::cuda
