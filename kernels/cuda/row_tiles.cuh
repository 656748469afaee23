// The device's side of row_tiles.h: a thread's rows, and sums over a block's rows.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_tiles.h"

namespace protolith::cuda {

/// Blocks that share an SM, for __launch_bounds__(kTileThreads, kTilesPerSm): 64 registers a
/// thread, enough for four rows' float4 loads in flight. 1024 of at most 2048 threads.
/// Occupancy: at least 50 %.
inline constexpr int kTilesPerSm = 4;

/// Launches `four` when `vectors`, else `one`; a kernel's first parameter is its RowTiles.
template <class Kernel, class... A>
void launch_tiles(bool vectors, Kernel four, Kernel one, const RowTiles& tiles, cudaStream_t stream,
                  const A&... arguments) {
  const dim3 grid(static_cast<unsigned>(tiles.down), static_cast<unsigned>(tiles.across));
  const dim3 block(static_cast<unsigned>(tiles.threads_across),
                   static_cast<unsigned>(tiles.threads_down));
  launch(vectors ? four : one, grid, block, 0, stream, tiles, arguments...);
}

/// Rows of tile number `tile`.
__device__ __forceinline__ std::int64_t tile_rows(const RowTiles& tiles, std::int64_t tile) {
  const std::int64_t left = tiles.rows - tile * tiles.rows_per_tile;
  return left < tiles.rows_per_tile ? left : tiles.rows_per_tile;
}

/// The calling thread's part of its block's tile.
template <int kWidth>
class Tile {
 public:
  __device__ explicit Tile(const RowTiles& tiles)
      : first_row(blockIdx.x * tiles.rows_per_tile),
        rows(tile_rows(tiles, blockIdx.x)),
        channel(kWidth * (std::int64_t{blockIdx.y} * blockDim.x + threadIdx.x)),
        inside(channel < tiles.channels) {}

  /// Calls body(row) for this thread's rows among the tile's first `limit`; a thread past the last
  /// channel has none.
  template <int kUnroll, class Body>
  __device__ __forceinline__ void for_each_row(std::int64_t limit, const Body& body) const {
    const auto count = static_cast<unsigned>(inside ? (limit < rows ? limit : rows) : 0);
    unsigned row = threadIdx.y;
    // No branch within a group of rows, so that all its loads are in flight at once.
    for (; row + (kUnroll - 1) * blockDim.y < count; row += kUnroll * blockDim.y) {
      for (unsigned k = 0; k < kUnroll; ++k) body(first_row + row + k * blockDim.y);
    }
    if constexpr (kUnroll > 1) {
      for (; row < count; row += blockDim.y) body(first_row + row);
    }
  }
  template <int kUnroll, class Body>
  __device__ __forceinline__ void for_each_row(const Body& body) const {
    for_each_row<kUnroll>(rows, body);
  }

  const std::int64_t first_row, rows;
  const std::int64_t channel;  ///< the first of this thread's pack
  const bool inside;           ///< false past the last channel
};

/// Sums each value over the threads of the same threadIdx.x, in an order that blockDim alone
/// decides; all of them get the sums. Every thread of a block of at most kThreads calls it.
template <int kThreads, class T, int kValues>
__device__ void sum_over_rows(T (&values)[kValues]) {
  SHARED_ARRAY(T, slots, [kValues][kThreads]);
  const unsigned row = threadIdx.y;
  const auto slot = [](unsigned r) { return r * blockDim.x + threadIdx.x; };
  for (unsigned left = blockDim.y; left > 1;) {
    const unsigned half = (left + 1) / 2;
    if (row >= half && row < left) {
      for (int k = 0; k < kValues; ++k) slots[k][slot(row - half)] = values[k];
    }
    __syncthreads();
    if (row + half < left) {
      for (int k = 0; k < kValues; ++k) values[k] += slots[k][slot(row)];
    }
    __syncthreads();
    left = half;
  }
  if (row == 0) {
    for (int k = 0; k < kValues; ++k) slots[k][slot(0)] = values[k];
  }
  __syncthreads();
  for (int k = 0; k < kValues; ++k) values[k] = slots[k][slot(0)];
  __syncthreads();
}

}  // namespace protolith::cuda
