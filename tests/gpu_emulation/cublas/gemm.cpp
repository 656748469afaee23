#include "tests/gpu_emulation/cublas/gemm.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <vector>

#include "tests/gpu_emulation/device/poison.h"

#if defined(__x86_64__)
#define WITH_FMA __attribute__((target("avx2,fma")))
#endif

namespace protolith::emulated {
namespace {

// op(X) as dense columns, rounded when TF32 is asked for.
std::vector<float> packed(const float* x, std::int64_t rows, std::int64_t columns, std::int64_t ld,
                          bool transpose, bool tf32) {
  std::vector<float> out(static_cast<std::size_t>(rows * columns));
  float* to = out.data();
  for (std::int64_t j = 0; j < columns; ++j) {
    for (std::int64_t i = 0; i < rows; ++i) {
      const float value = x[transpose ? j + i * ld : i + j * ld];
      *to++ = tf32 ? round_to_tf32(value) : value;
    }
  }
  return out;
}

// One column of the product: sum[i] += a(i, p) * b(p), p rising.
__attribute__((always_inline)) inline void add_column(const float* a, const float* b, float* sum,
                                                      std::int64_t m, std::int64_t k) {
  for (std::int64_t p = 0; p < k; ++p) {
    for (std::int64_t i = 0; i < m; ++i) sum[i] = std::fma(a[i + p * m], b[p], sum[i]);
  }
}

// The same bits by the machine's instruction, where it has one, as by the library's function.
#ifdef WITH_FMA
WITH_FMA void add_column_fma(const float* a, const float* b, float* sum, std::int64_t m,
                             std::int64_t k) {
  add_column(a, b, sum, m, k);
}
#endif
void add_column_any(const float* a, const float* b, float* sum, std::int64_t m, std::int64_t k) {
  add_column(a, b, sum, m, k);
}

auto* choose_add_column() {
#ifdef WITH_FMA
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &add_column_fma;
#endif
  return &add_column_any;
}

void multiply(const Gemm& g, float alpha, float beta, std::int64_t number) {
  const bool read = alpha != 0;  // as BLAS: with alpha = 0 A and B are not looked at
  const std::int64_t k = read ? g.k : 0;
  const auto a = packed(g.a + number * g.stride_a, g.m, k, g.lda, g.transpose_a, g.tf32);
  const auto b = packed(g.b + number * g.stride_b, k, g.n, g.ldb, g.transpose_b, g.tf32);
  auto* const add = choose_add_column();
  std::vector<float> sum(static_cast<std::size_t>(g.m));
  for (std::int64_t j = 0; j < g.n; ++j) {
    std::fill(sum.begin(), sum.end(), 0.0F);
    add(a.data(), b.data() + j * k, sum.data(), g.m, k);
    float* const c = g.c + number * g.stride_c + j * g.ldc;
    for (std::int64_t i = 0; i < g.m; ++i) {
      const float product = read ? alpha * sum[static_cast<std::size_t>(i)] : 0.0F;
      c[i] = beta == 0 ? product : std::fma(beta, c[i], product);
    }
  }
}

}  // namespace

float round_to_tf32(float value) {
  if (!std::isfinite(value)) return value;
  constexpr std::uint32_t kDropped = 13;  // bits of an f32's 23 that TF32 lacks
  const auto bits = std::bit_cast<std::uint32_t>(value) + (1U << (kDropped - 1));
  return std::bit_cast<float>(bits & ~((1U << kDropped) - 1));
}

void run_gemm(const Gemm& g) {
  const float alpha = g.alpha != nullptr ? *g.alpha : g.alpha_value;
  const float beta = g.beta != nullptr ? *g.beta : g.beta_value;
  for (std::int64_t i = 0; i < g.batch; ++i) multiply(g, alpha, beta, i);
  // Both ends of the workspace: who keeps something there loses it.
  const std::size_t end = std::min<std::size_t>(g.workspace_bytes, 4096);
  fill_with_nan(g.workspace, end);
  fill_with_nan(static_cast<std::byte*>(g.workspace) + (g.workspace_bytes - end), end);
}

}  // namespace protolith::emulated
