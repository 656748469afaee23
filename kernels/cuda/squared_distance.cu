#include "kernels/cuda/squared_distance.h"

#include <cmath>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/row_reduce.cuh"
#include "kernels/cuda/vector4.cuh"

namespace protolith::cuda {
namespace {

// Blocks of the element-wise kernels: at most 32 registers, so that eight fill an SM.
// Occupancy: at least 100 %.
constexpr int kThreads = 256;

// One warp for each of an SM's four schedulers: the rows are few, and small blocks spread them. As
// many registers as an SM's threads may have, 32 where it holds 2048. Occupancy: at least 100 %.
constexpr int kRowsPerBlock = 4;

template <int N>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp)
    both_squared_norms_kernel(const float* q, std::int64_t queries, const float* c,
                              std::int64_t prototypes, std::int64_t features, float* norms) {
  const std::int64_t row = std::int64_t{blockIdx.x} * kRowsPerBlock + warp_index();
  if (row >= queries + prototypes) return;
  const float* x = row < queries ? q + row * features : c + (row - queries) * features;
  float total = 0.0F;
  for (std::int64_t k = N * lane_index(); k < features; k += N * kWarp) {
    const Pack<N> values = load<N>(x + k);
#pragma unroll
    for (int i = 0; i < N; ++i) total = fmaf(values.v[i], values.v[i], total);
  }
  total = warp_reduce(total, Sum());
  if (lane_index() == 0) norms[row] = total;
}

template <int N>
__global__ void __launch_bounds__(kThreads)
    distance_epilogue_kernel(const float* query_norms, const float* prototype_norms, float* d,
                             std::int64_t queries, std::int64_t prototypes) {
  const std::int64_t first = N * (std::int64_t{blockIdx.x} * kThreads + threadIdx.x);
  if (first >= queries * prototypes) return;
  const float query_norm = query_norms[first / prototypes];
  const float* const norms = prototype_norms + first % prototypes;
  const Pack<N> product = load<N>(d + first);
  store<N>(d + first, make_pack<N>([&](int i) {
             const float distance = fmaf(-2.0F, product.v[i], query_norm + norms[i]);
             return distance <= 0.0F ? 0.0F : distance;  // NaN stays NaN
           }));
}

// The direct way: a block of 8 x 8 threads computes kTile x kTile distances, 2 x 2 a thread, from
// kDepth features of both sides at a time. 64 threads, so that 300 x 60 distances make 76 blocks;
// a deep tile, because a block this small waits for memory once for each. Shared memory: 8.5 KiB of
// packs, an odd number to a row: the eight rows that a quarter of a warp reads lie in 32 banks. Of
// 100 KiB, the least that an SM of 1536 threads has, ten blocks get theirs and the driver's KiB.
// Occupancy: at least 41 %.
constexpr int kTile = 16;
constexpr int kDepth = 64;
constexpr int kSide = kTile / 2;
constexpr int kRowPacks = kDepth / 4 + 1;
using Tile = Pack<4>[kTile][kRowPacks];

// Copies features [k0, k0 + kDepth) of rows [first_row, first_row + kTile) of x, 0 where there are
// none: both sides' zeros add nothing to a distance.
template <int N>
__device__ __forceinline__ void fill_tile(const float* x, std::int64_t first_row, std::int64_t rows,
                                          std::int64_t k0, std::int64_t features, Tile& tile) {
  constexpr int kPacks = kDepth / N;
  for (int i = static_cast<int>(threadIdx.x); i < kTile * kPacks; i += kSide * kSide) {
    const int row = i / kPacks, k = i % kPacks * N;
    const bool inside = first_row + row < rows && k0 + k < features;
    store<N>(tile[row][k / 4].v + k % 4,
             inside ? load<N>(x + (first_row + row) * features + k0 + k) : Pack<N>{});
  }
}

template <int N>
__global__ void __launch_bounds__(kSide* kSide)
    direct_kernel(const float* q, const float* c, float* d, std::int64_t queries,
                  std::int64_t prototypes, std::int64_t features, std::int64_t prototype_tiles) {
  SHARED_ARRAY(Pack<4>, q_tile, [kTile][kRowPacks]);
  SHARED_ARRAY(Pack<4>, c_tile, [kTile][kRowPacks]);
  const std::int64_t first_query = blockIdx.x / prototype_tiles * kTile;
  const std::int64_t first_prototype = blockIdx.x % prototype_tiles * kTile;
  const int y = static_cast<int>(threadIdx.x) / kSide, x = static_cast<int>(threadIdx.x) % kSide;
  float total[2][2] = {};
  for (std::int64_t k0 = 0; k0 < features; k0 += kDepth) {
    fill_tile<N>(q, first_query, queries, k0, features, q_tile);
    fill_tile<N>(c, first_prototype, prototypes, k0, features, c_tile);
    __syncthreads();
#pragma unroll 4
    for (int k = 0; k < kDepth / 4; ++k) {
      const Pack<4> a[2] = {q_tile[y][k], q_tile[y + kSide][k]};
      const Pack<4> b[2] = {c_tile[x][k], c_tile[x + kSide][k]};
#pragma unroll
      for (int i = 0; i < 16; ++i) {
        const float difference = a[i / 2 % 2].v[i / 4] - b[i % 2].v[i / 4];
        total[i / 2 % 2][i % 2] = fmaf(difference, difference, total[i / 2 % 2][i % 2]);
      }
    }
    __syncthreads();
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::int64_t query = first_query + y + i / 2 * kSide;
    const std::int64_t prototype = first_prototype + x + i % 2 * kSide;
    if (query < queries && prototype < prototypes) {
      d[query * prototypes + prototype] = total[i / 2][i % 2];
    }
  }
}

// Sums: the first blocks take a row a warp, the others kColumns columns each, a 32-byte sector of
// every row, with 4 rows a warp. So 60 columns still make 8 blocks.
constexpr int kSumWarps = kThreads / kWarp;
constexpr int kColumns = 8;

__device__ __forceinline__ void sum_row(const float* a, std::int64_t row, std::int64_t columns,
                                        float* sums) {
  double total = 0.0;
  for (std::int64_t j = lane_index(); j < columns; j += kWarp) {
    total += static_cast<double>(a[row * columns + j]);
  }
  total = warp_reduce(total, Sum());
  if (lane_index() == 0) sums[row] = static_cast<float>(total);
}

// At most 40 registers, for loads of several rows in flight. Occupancy: at least 75 %.
__global__ void __launch_bounds__(kThreads)
    row_and_column_sums_kernel(const float* a, std::int64_t rows, std::int64_t columns,
                               float* row_sums, float* column_sums, std::int64_t row_blocks) {
  SHARED_ARRAY(double, partial, [kThreads / kColumns][kColumns]);
  if (blockIdx.x < row_blocks) {
    const std::int64_t row = std::int64_t{blockIdx.x} * kSumWarps + warp_index();
    if (row < rows) sum_row(a, row, columns, row_sums);
    return;
  }
  const int x = static_cast<int>(threadIdx.x) % kColumns;
  const int y = static_cast<int>(threadIdx.x) / kColumns;
  const std::int64_t column = (blockIdx.x - row_blocks) * kColumns + x;
  double total = 0.0;
  if (column < columns) {
#pragma unroll 4
    for (std::int64_t row = y; row < rows; row += kThreads / kColumns) {
      total += static_cast<double>(a[row * columns + column]);
    }
  }
  partial[y][x] = total;
  __syncthreads();
  if (y != 0 || column >= columns) return;
  for (int other = 1; other < kThreads / kColumns; ++other) total += partial[other][x];
  column_sums[column] = static_cast<float>(total);
}

template <int N>
__device__ __forceinline__ void finish_gradient(const float* x, const float* sums, float* dx,
                                                std::int64_t element, std::int64_t features) {
  const float sum = sums[element / features];
  const Pack<N> values = load<N>(x + element), product = load<N>(dx + element);
  store<N>(dx + element, make_pack<N>([&](int i) {
             const float difference = fmaf(sum, values.v[i], -product.v[i]);
             return difference + difference;
           }));
}

template <int N>
__global__ void __launch_bounds__(kThreads)
    backward_epilogues_kernel(const float* q, const float* row_sums, float* dq,
                              std::int64_t queries, const float* c, const float* column_sums,
                              float* dc, std::int64_t prototypes, std::int64_t features) {
  const std::int64_t element = N * (std::int64_t{blockIdx.x} * kThreads + threadIdx.x);
  const std::int64_t of_queries = queries * features;
  if (element < of_queries) {
    finish_gradient<N>(q, row_sums, dq, element, features);
  } else if (element < of_queries + prototypes * features) {
    finish_gradient<N>(c, column_sums, dc, element - of_queries, features);
  }
}

}  // namespace

void both_squared_norms(const float* q, std::int64_t queries, const float* c,
                        std::int64_t prototypes, std::int64_t features, float* norms,
                        Stream stream) {
  with_width(features % 4 == 0 && aligned16(q, c), [&](auto width) {
    launch(both_squared_norms_kernel<width.value>, blocks_for(queries + prototypes, kRowsPerBlock),
           kRowsPerBlock * kWarp, 0, stream, q, queries, c, prototypes, features, norms);
  });
}

void distance_epilogue(const float* query_norms, const float* prototype_norms, float* d,
                       std::int64_t queries, std::int64_t prototypes, Stream stream) {
  with_width(prototypes % 4 == 0 && aligned16(d), [&](auto width) {
    launch(distance_epilogue_kernel<width.value>,
           blocks_for(queries * prototypes, width.value * kThreads), kThreads, 0, stream,
           query_norms, prototype_norms, d, queries, prototypes);
  });
}

void squared_distance_direct(const float* q, const float* c, float* d, std::int64_t queries,
                             std::int64_t prototypes, std::int64_t features, Stream stream) {
  const std::int64_t prototype_tiles = blocks_for(prototypes, kTile);
  with_width(features % 4 == 0 && aligned16(q, c), [&](auto width) {
    launch(direct_kernel<width.value>, blocks_for(blocks_for(queries, kTile) * prototype_tiles, 1),
           kSide * kSide, 0, stream, q, c, d, queries, prototypes, features, prototype_tiles);
  });
}

void row_and_column_sums(const float* a, std::int64_t rows, std::int64_t columns, float* row_sums,
                         float* column_sums, Stream stream) {
  const std::int64_t row_blocks = blocks_for(rows, kSumWarps);
  launch(row_and_column_sums_kernel, blocks_for(row_blocks + blocks_for(columns, kColumns), 1),
         kThreads, 0, stream, a, rows, columns, row_sums, column_sums, row_blocks);
}

void distance_backward_epilogues(const float* q, const float* row_sums, float* dq,
                                 std::int64_t queries, const float* c, const float* column_sums,
                                 float* dc, std::int64_t prototypes, std::int64_t features,
                                 Stream stream) {
  with_width(features % 4 == 0 && aligned16(q, dq, c, dc), [&](auto width) {
    launch(backward_epilogues_kernel<width.value>,
           blocks_for((queries + prototypes) * features, width.value * kThreads), kThreads, 0,
           stream, q, row_sums, dq, queries, c, column_sums, dc, prototypes, features);
  });
}

}  // namespace protolith::cuda
