// Calls into the CUDA libraries: a failure throws protolith::Error with the call as it is written.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include "engine/check.h"

namespace protolith::cuda {

[[noreturn]] void throw_failure(cudaError_t status, const char* call, const char* file, int line);
[[noreturn]] void throw_failure(cublasStatus_t status, const char* call, const char* file,
                                int line);
/// Adds what cuDNN says of its last error.
[[noreturn]] void throw_failure(cudnnStatus_t status, const char* call, const char* file, int line);

inline bool succeeded(cudaError_t status) {
  return status == cudaSuccess;
}
inline bool succeeded(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS;
}
inline bool succeeded(cudnnStatus_t status) {
  return status == CUDNN_STATUS_SUCCESS;
}

}  // namespace protolith::cuda

/// Throws protolith::Error naming the call unless a CUDA runtime, cuBLAS or cuDNN call succeeds.
#define PROTOLITH_CUDA(call)                                                        \
  do {                                                                              \
    const auto status_ = (call);                                                    \
    if (!::protolith::cuda::succeeded(status_)) [[unlikely]] {                      \
      ::protolith::cuda::throw_failure(status_, #call, __builtin_FILE(), __LINE__); \
    }                                                                               \
  } while (false)
