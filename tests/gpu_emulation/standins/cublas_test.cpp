// The stand-in for cuBLAS.
#include <cublas_v2.h>

#include <cmath>
#include <limits>
#include <random>

#include "tests/gpu_emulation/cublas/gemm.h"
#include "tests/gpu_emulation/standins/buffers.h"

namespace protolith::test {
namespace {

constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();

struct Blas : Buffers {
  cublasHandle_t handle = nullptr;
  float* third = nullptr;
  Blas() {
    REQUIRE(cublasCreate(&handle) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cublasSetStream(handle, stream) == CUBLAS_STATUS_SUCCESS);
    third = allocated();
  }
  ~Blas() {
    cublasDestroy(handle);
    cudaFree(third);
  }
  static void put(float* to, const std::vector<float>& values) {
    REQUIRE(values.size() <= kCount);
    REQUIRE(cudaMemcpy(to, values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice) ==
            cudaSuccess);
    REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  }
  cublasStatus_t product(int m, int n, int k, int lda, int ldb, int ldc) {
    const float one = 1, zero = 0;
    return cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, m, n, k, &one, device, lda, other, ldb,
                       &zero, third, ldc);
  }
};

std::vector<float> uniform(std::size_t count, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> distribution(-1, 1);
  std::vector<float> values(count);
  for (float& value : values) value = distribution(generator);
  return values;
}

TEST_CASE_FIXTURE(Blas, "products equal the definition for every transposition") {
  constexpr int kM = 3, kN = 4, kK = 5, kBatch = 2, kLd = 6, kStride = 40;
  const std::vector<float> a = uniform(kCount, 1), b = uniform(kCount, 2), c = uniform(kCount, 3);
  const float alpha = 0.5F;
  for (const float beta : {0.0F, -2.0F}) {
    for (const cublasOperation_t op_a : {CUBLAS_OP_N, CUBLAS_OP_T}) {
      for (const cublasOperation_t op_b : {CUBLAS_OP_N, CUBLAS_OP_C}) {
        put(device, a);
        put(other, b);
        put(third, beta == 0 ? std::vector<float>(kCount, kNaN) : c);
        REQUIRE(cublasSgemmStridedBatched(handle, op_a, op_b, kM, kN, kK, &alpha, device, kLd,
                                          kStride, other, kLd, kStride, &beta, third, kLd, kStride,
                                          kBatch) == CUBLAS_STATUS_SUCCESS);
        const std::vector<float> result = fetched(third);
        for (int i = 0; i < kM * kN * kBatch; ++i) {
          const int row = i % kM, column = i / kM % kN, offset = i / (kM * kN) * kStride;
          double sum = 0;
          for (int p = 0; p < kK; ++p) {
            const int in_a = op_a == CUBLAS_OP_N ? row + p * kLd : p + row * kLd;
            const int in_b = op_b == CUBLAS_OP_N ? p + column * kLd : column + p * kLd;
            sum += double{a[static_cast<std::size_t>(offset + in_a)]} *
                   b[static_cast<std::size_t>(offset + in_b)];
          }
          const auto at = static_cast<std::size_t>(offset + row + column * kLd);
          const double expected = alpha * sum + (beta == 0 ? 0 : double{beta} * c[at]);
          // k + 2 roundings of values below k + 2.
          CHECK(std::abs(result[at] - expected) < (kK + 2) * (kK + 2) * 6e-8);
        }
        // Between columns nothing is written.
        CHECK((beta == 0 ? std::isnan(result[kM]) : result[kM] == c[kM]));
      }
    }
  }
}

TEST_CASE_FIXTURE(Blas, "TF32 rounds the inputs, where it is asked for") {
  const float fine = 1.0F + 0x1p-13F, coarse = 1.0F;
  CHECK(emulated::round_to_tf32(fine) == coarse);
  CHECK(emulated::round_to_tf32(1.0F + 0x1p-11F) == 1.0F + 0x1p-10F);  // a tie: away from zero
  CHECK(emulated::round_to_tf32(-1.0F - 0x1p-11F) == -1.0F - 0x1p-10F);
  CHECK(std::isnan(emulated::round_to_tf32(kNaN)));
  put(device, {fine});
  put(other, {1});
  const auto multiply = [&](cublasComputeType_t type) {
    const float one = 1, zero = 0;
    REQUIRE(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, device, CUDA_R_32F, 1,
                         other, CUDA_R_32F, 1, &zero, third, CUDA_R_32F, 1, type,
                         CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_SUCCESS);
    return fetched(third)[0];
  };
  CHECK(multiply(CUBLAS_COMPUTE_32F) == fine);
  CHECK(multiply(CUBLAS_COMPUTE_32F_FAST_TF32) == coarse);
  REQUIRE(cublasSetMathMode(handle, CUBLAS_TF32_TENSOR_OP_MATH) == CUBLAS_STATUS_SUCCESS);
  CHECK(multiply(CUBLAS_COMPUTE_32F) == coarse);
  CHECK(multiply(CUBLAS_COMPUTE_32F_PEDANTIC) == fine);
  REQUIRE(product(1, 1, 1, 1, 1, 1) == CUBLAS_STATUS_SUCCESS);
  CHECK(fetched(third)[0] == coarse);
  cublasMath_t mode;
  REQUIRE(cublasGetMathMode(handle, &mode) == CUBLAS_STATUS_SUCCESS);
  CHECK(mode == CUBLAS_TF32_TENSOR_OP_MATH);
}

TEST_CASE_FIXTURE(Blas, "arguments are checked as documented") {
  CHECK(product(3, 2, 2, 2, 2, 3) == CUBLAS_STATUS_INVALID_VALUE);  // lda < m
  CHECK(product(3, 2, 2, 3, 1, 3) == CUBLAS_STATUS_INVALID_VALUE);  // ldb < k
  CHECK(product(3, 2, 2, 3, 2, 2) == CUBLAS_STATUS_INVALID_VALUE);  // ldc < m
  CHECK(product(-1, 2, 2, 3, 2, 3) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(product(0, 2, 2, 0, 2, 1) == CUBLAS_STATUS_INVALID_VALUE);  // lda < 1
  CHECK(product(0, 2, 2, 1, 2, 1) == CUBLAS_STATUS_SUCCESS);
  const float one = 1;
  CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, device, 1, other, 1, nullptr,
                    third, 1) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(cublasGemmEx(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, &one, device, CUDA_R_16F, 1, other,
                     CUDA_R_16F, 1, &one, third, CUDA_R_32F, 1, CUBLAS_COMPUTE_32F,
                     CUBLAS_GEMM_DEFAULT) == CUBLAS_STATUS_NOT_SUPPORTED);
  CHECK(cublasSetStream(nullptr, stream) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(cublasSetWorkspace(handle, device + 1, 4) == CUBLAS_STATUS_INVALID_VALUE);
  CHECK(emulated::fault().empty());
  // The result past the end of its memory.
  CHECK(product(10, 11, 1, 10, 1, 10) == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK(emulated::fault().find("cublasSgemm, C") != std::string::npos);
}

TEST_CASE_FIXTURE(Blas, "a product in place faults") {
  const float one = 1;
  CHECK(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 2, 2, 2, &one, device, 2, other, 2, &one,
                    device + 3, 2) == CUBLAS_STATUS_EXECUTION_FAILED);
  CHECK(emulated::fault().find("overlaps A") != std::string::npos);
}

TEST_CASE_FIXTURE(Blas, "scalars on the device are read when the product runs") {
  put(device, {3, 2});
  put(other, {5});
  REQUIRE(cublasSetPointerMode(handle, CUBLAS_POINTER_MODE_DEVICE) == CUBLAS_STATUS_SUCCESS);
  REQUIRE(set(third, 0, stream) == cudaSuccess);
  REQUIRE(cublasSgemm(handle, CUBLAS_OP_N, CUBLAS_OP_N, 1, 1, 1, device + 1, device, 1, other, 1,
                      device + 1, third, 1) == CUBLAS_STATUS_SUCCESS);
  CHECK(fetched(third)[0] == 30);
}

TEST_CASE_FIXTURE(Blas, "a capture without a workspace of its own allocates") {
  float* const workspace = allocated(8192);
  cudaGraph_t graph;
  const auto allocations = [&] {
    emulated::reset_counters();
    REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
    CHECK(product(2, 2, 2, 2, 2, 2) == CUBLAS_STATUS_SUCCESS);
    REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
    REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
    return emulated::counters().allocations;
  };
  CHECK(allocations() == 1);
  REQUIRE(cublasSetWorkspace(handle, workspace, 8192) == CUBLAS_STATUS_SUCCESS);
  CHECK(allocations() == 0);
  // Choosing the stream anew forgets the workspace.
  REQUIRE(cublasSetStream(handle, stream) == CUBLAS_STATUS_SUCCESS);
  CHECK(allocations() == 1);
  CHECK(cudaFree(workspace) == cudaSuccess);
}

TEST_CASE_FIXTURE(Buffers, "a handle is not created in a capture") {
  cublasHandle_t handle = nullptr;
  cudaGraph_t graph = nullptr;
  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  CHECK(cublasCreate(&handle) == CUBLAS_STATUS_NOT_INITIALIZED);
  CHECK(cudaStreamEndCapture(stream, &graph) == cudaErrorStreamCaptureInvalidated);
}

}  // namespace
}  // namespace protolith::test
