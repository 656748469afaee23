// The matrix product behind the stand-in for cuBLAS.
#pragma once

#include <cstddef>
#include <cstdint>

namespace protolith::emulated {

/// C = alpha * op(A) op(B) + beta * C for each of `batch` column-major matrices: op(A) is m x k,
/// op(B) k x n. A null `alpha` means the values beside it.
struct Gemm {
  std::int64_t m = 0, n = 0, k = 0, batch = 1;
  bool transpose_a = false, transpose_b = false;
  const float *alpha = nullptr, *beta = nullptr;
  float alpha_value = 0, beta_value = 0;
  const float *a = nullptr, *b = nullptr;
  float* c = nullptr;
  std::int64_t lda = 1, ldb = 1, ldc = 1;
  std::int64_t stride_a = 0, stride_b = 0, stride_c = 0;
  bool tf32 = false;  ///< inputs rounded to TF32: 10 bits of mantissa, to nearest, ties away
  bool pedantic = false;
  void* workspace = nullptr;  ///< scribbled over
  std::size_t workspace_bytes = 0;
};

/// Sums in f32, fused multiply-adds by rising index; with beta = 0 C is not read.
void run_gemm(const Gemm& gemm);

float round_to_tf32(float value);

}  // namespace protolith::emulated
