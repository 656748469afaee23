// What the CUDA runtime and cuBLAS answer on a machine without a driver. Built twice: linked to the
// stand-ins, and to the real libraries, which must agree.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <doctest/doctest.h>

#include <cstring>
#include <string>

#ifdef PROTOLITH_STANDINS
#include "tests/gpu_emulation/device/device.h"
#endif

namespace protolith::test {
namespace {

bool without_driver() {
#ifdef PROTOLITH_STANDINS
  emulated::set_machine(cudaErrorInsufficientDriver, 0, 0);
#endif
  int version = -1;
  REQUIRE(cudaDriverGetVersion(&version) == cudaSuccess);
  if (version != 0) MESSAGE("skipped: a driver is installed");
  return version == 0;
}

TEST_CASE("versions are told without a driver") {
  if (!without_driver()) return;
  int version = 0;
  CHECK(cudaRuntimeGetVersion(&version) == cudaSuccess);
  CHECK(version / 1000 == CUDART_VERSION / 1000);
  CHECK(cudaRuntimeGetVersion(nullptr) == cudaErrorInvalidValue);
  CHECK(cudaDriverGetVersion(nullptr) == cudaErrorInvalidValue);
  CHECK(cublasGetVersion(nullptr, &version) == CUBLAS_STATUS_SUCCESS);
  CHECK(version == CUBLAS_VERSION);
  CHECK(cublasGetVersion(nullptr, nullptr) == CUBLAS_STATUS_INVALID_VALUE);
}

TEST_CASE("everything else needs the driver, whatever its arguments") {
  if (!without_driver()) return;
  const cudaError_t expected = cudaErrorInsufficientDriver;
  int number = -1, other = 0;
  void* pointer = &other;
  CHECK(cudaGetDeviceCount(&number) == expected);
  CHECK(number == -1);
  CHECK(cudaPeekAtLastError() == expected);
  CHECK(cudaGetLastError() == expected);
  CHECK(cudaGetLastError() == expected);  // and is not forgotten
  CHECK(cudaGetDeviceCount(nullptr) == expected);
  CHECK(cudaGetDevice(&number) == expected);
  CHECK(cudaSetDevice(0) == expected);
  CHECK(cudaSetDevice(-1) == expected);
  CHECK(cudaMalloc(&pointer, 16) == expected);
  CHECK(pointer == &other);
  CHECK(cudaMalloc(nullptr, 16) == expected);
  CHECK(cudaFree(nullptr) == expected);
  CHECK(cudaHostAlloc(&pointer, 16, 99) == expected);
  CHECK(cudaMemcpy(&number, &other, 4, cudaMemcpyHostToHost) == expected);
  cudaStream_t stream;
  CHECK(cudaStreamCreateWithFlags(&stream, 7) == expected);
  cudaEvent_t event;
  CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming) == expected);
  cudaPointerAttributes attributes;
  CHECK(cudaPointerGetAttributes(&attributes, &number) == expected);
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0) == expected);
  cudaDriverEntryPointQueryResult result;
  CHECK(cudaGetDriverEntryPointByVersion("cuMemCreate", &pointer, 12000, 0, &result) == expected);
}

TEST_CASE("cuBLAS has no handle without a device") {
  if (!without_driver()) return;
  const cublasStatus_t expected = CUBLAS_STATUS_NOT_INITIALIZED;
  cublasHandle_t handle = nullptr;
  float one = 1;
  CHECK(cublasCreate(nullptr) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasCreate(&handle) == expected);
  CHECK(cublasDestroy(nullptr) == expected);
  CHECK(cublasSetStream(nullptr, nullptr) == expected);
  CHECK(cublasSetWorkspace(nullptr, nullptr, 0) == expected);
  CHECK(cublasSetMathMode(nullptr, CUBLAS_DEFAULT_MATH) == expected);
  CHECK(cublasSetPointerMode(nullptr, CUBLAS_POINTER_MODE_HOST) == expected);
  CHECK(cublasSgemm(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, &one, 1, &one, 1, &one, &one,
                    1) == expected);
  CHECK(cublasGemmEx(nullptr, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, &one, CUDA_R_32F, 1, &one,
                     CUDA_R_32F, 1, &one, &one, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F,
                     CUBLAS_GEMM_DEFAULT) == expected);
}

TEST_CASE("statuses have these names and texts") {
  struct Text {
    cudaError_t status;
    const char *name, *text;
  };
  for (const Text& t : {
           Text{cudaSuccess, "cudaSuccess", "no error"},
           Text{cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
           Text{cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
                "an illegal memory access was encountered"},
           Text{cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
                "operation failed due to a previous error during capture"},
           Text{cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
                "operation not permitted when stream is capturing"},
           Text{cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
           Text{cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle",
                "invalid resource handle"},
           Text{static_cast<cudaError_t>(555), "unrecognized error code",
                "unrecognized error code"},
       }) {
    CHECK(std::string(cudaGetErrorName(t.status)) == t.name);
    CHECK(std::string(cudaGetErrorString(t.status)) == t.text);
  }
  CHECK(std::string(cublasGetStatusString(CUBLAS_STATUS_EXECUTION_FAILED)) ==
        "the function failed to launch on the GPU");
  CHECK(std::string(cublasGetStatusName(CUBLAS_STATUS_NOT_SUPPORTED)) ==
        "CUBLAS_STATUS_NOT_SUPPORTED");
  CHECK(std::string(cublasGetStatusString(static_cast<cublasStatus_t>(12))) ==
        "unrecognized status");
}

}  // namespace
}  // namespace protolith::test
