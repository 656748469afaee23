// Squared Euclidean distances between queries and prototypes, d_ij = |q_i - c_j|^2, in two ways as
// kernels/cpu/squared_distance.h has them: `direct` sums squared differences (exact near 0); the
// GEMM way, |q|^2 + |c|^2 - 2 q.c, takes the product from a GEMM and finishes it here, clamped at 0
// (the clamp changes the value only, never the slope; NaN stays NaN). What both sides need alike,
// norms, sums and the end of the gradient, is done for both in one launch: an episode's matrices
// are so small that launches are the cost. Memory traffic: norms read their rows; the epilogue
// reads and writes the distances; direct reads each side once for every 16 rows of the other
// (counted once: L2 holds both sides).
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

/// norms[i] = |q_i|^2 for q [queries, features], then norms[queries + j] = |c_j|^2 for
/// c [prototypes, features]; norms: [queries + prototypes].
void both_squared_norms(const float* q, std::int64_t queries, const float* c,
                        std::int64_t prototypes, std::int64_t features, float* norms,
                        Stream stream);
/// In place: d[i,j] holds q_i . c_j and becomes max(0, query_norms[i] + prototype_norms[j] - 2 d).
void distance_epilogue(const float* query_norms, const float* prototype_norms, float* d,
                       std::int64_t queries, std::int64_t prototypes, Stream stream);
/// d [queries, prototypes] of q [queries, features] and c [prototypes, features]. A pair's distance
/// has the same bits wherever it stands among the others.
void squared_distance_direct(const float* q, const float* c, float* d, std::int64_t queries,
                             std::int64_t prototypes, std::int64_t features, Stream stream);
/// row_sums[i] = sum_j a[i,j] and column_sums[j] = sum_i a[i,j] for a [rows, columns], summed in
/// double: a gradient's rows cancel.
void row_and_column_sums(const float* a, std::int64_t rows, std::int64_t columns, float* row_sums,
                         float* column_sums, Stream stream);
/// dq[i,k] = 2 * (row_sums[i] * q[i,k] - dq[i,k]) and dc[j,k] = 2 * (column_sums[j] * c[j,k] -
/// dc[j,k]), in place: turns the products of the distance gradient with the other side into the
/// gradients of both sides. q, dq: [queries, features]; c, dc: [prototypes, features].
void distance_backward_epilogues(const float* q, const float* row_sums, float* dq,
                                 std::int64_t queries, const float* c, const float* column_sums,
                                 float* dc, std::int64_t prototypes, std::int64_t features,
                                 Stream stream);

inline Traffic both_squared_norms_traffic(std::int64_t queries, std::int64_t prototypes,
                                          std::int64_t features) {
  const std::int64_t rows = queries + prototypes;
  return {4 * rows * features, 4 * rows, 2 * rows * features, 1};
}
inline Traffic distance_epilogue_traffic(std::int64_t queries, std::int64_t prototypes) {
  const std::int64_t pairs = queries * prototypes;
  return {4 * (pairs + queries + prototypes), 4 * pairs, 3 * pairs, 1};
}
inline Traffic squared_distance_direct_traffic(std::int64_t queries, std::int64_t prototypes,
                                               std::int64_t features) {
  const std::int64_t pairs = queries * prototypes;
  return {4 * (queries + prototypes) * features, 4 * pairs, 3 * pairs * features, 1};
}
inline Traffic row_and_column_sums_traffic(std::int64_t rows, std::int64_t columns) {
  return {4 * rows * columns, 4 * (rows + columns), 2 * rows * columns, 1};
}
inline Traffic distance_backward_epilogues_traffic(std::int64_t queries, std::int64_t prototypes,
                                                   std::int64_t features) {
  const std::int64_t rows = queries + prototypes;
  return {4 * (2 * rows * features + rows), 4 * rows * features, 3 * rows * features, 1};
}

}  // namespace protolith::cuda
