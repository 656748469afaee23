// Squared Euclidean distances between queries and prototypes, d_ij = |q_i - c_j|^2.
// Two ways: `direct` sums squared differences (exact near 0); the GEMM way,
// |q|^2 + |c|^2 - 2 q.c, takes the product from a GEMM and finishes it here, clamped at 0 (the
// clamp changes the value only, never the slope; NaN stays NaN).
// Memory traffic: row norms read their rows; the epilogue reads and writes the distances; direct
// reads the prototypes once per block of queries.
#pragma once

#include <cstdint>

#include "kernels/traffic.h"

namespace protolith::cpu {

/// norms[i] = sum_k x[i,k]^2 for x [rows, features].
void row_squared_norms(const float* x, float* norms, std::int64_t rows, std::int64_t features);
/// In place: d[i,j] holds q_i . c_j and becomes max(0, query_norms[i] + prototype_norms[j] - 2 d).
void distance_epilogue(const float* query_norms, const float* prototype_norms, float* d,
                       std::int64_t queries, std::int64_t prototypes);
/// d [queries, prototypes] of q [queries, features] and c [prototypes, features].
void squared_distance_direct(const float* q, const float* c, float* d, std::int64_t queries,
                             std::int64_t prototypes, std::int64_t features);
/// sums[i] = sum_j a[i,j].
void row_sums(const float* a, float* sums, std::int64_t rows, std::int64_t columns);
/// sums[j] = sum_i a[i,j].
void column_sums(const float* a, float* sums, std::int64_t rows, std::int64_t columns);
/// out[i,k] = 2 * (weights[i] * x[i,k] - out[i,k]): turns the product of the distance gradient
/// with the other side (out) into the gradient of this side, whose gradient sums are `weights`.
void distance_backward_epilogue(const float* x, const float* weights, float* out, std::int64_t rows,
                                std::int64_t features);

inline Traffic row_squared_norms_traffic(std::int64_t rows, std::int64_t features) {
  return {4 * rows * features, 4 * rows, 2 * rows * features, 1};
}
inline Traffic distance_epilogue_traffic(std::int64_t queries, std::int64_t prototypes) {
  const std::int64_t pairs = queries * prototypes;
  return {4 * (pairs + queries + prototypes), 4 * pairs, 3 * pairs, 1};
}
/// Both sides once: caches hold the prototypes.
inline Traffic squared_distance_direct_traffic(std::int64_t queries, std::int64_t prototypes,
                                               std::int64_t features) {
  const std::int64_t pairs = queries * prototypes;
  return {4 * (queries + prototypes) * features, 4 * pairs, 3 * pairs * features, 1};
}
inline Traffic row_sums_traffic(std::int64_t rows, std::int64_t columns) {
  return {4 * rows * columns, 4 * rows, rows * columns, 1};
}
inline Traffic column_sums_traffic(std::int64_t rows, std::int64_t columns) {
  return {4 * rows * columns, 4 * columns, rows * columns, 1};
}
inline Traffic distance_backward_epilogue_traffic(std::int64_t rows, std::int64_t features) {
  return {4 * (2 * rows * features + rows), 4 * rows * features, 3 * rows * features, 1};
}

}  // namespace protolith::cpu
