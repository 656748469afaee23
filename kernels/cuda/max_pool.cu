#include "kernels/cuda/max_pool.h"

#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/pool_window.cuh"
#include "kernels/cuda/row_tiles.cuh"

namespace protolith::cuda {
namespace {

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads, kTilesPerSm)
    max_pool_forward_kernel(RowTiles tiles, Windows windows, const float* x, PoolOutputs out) {
  pool_forward(tiles, Tile<kWidth>(tiles), windows, x, out,
               [](const Pack<kWidth>& value) { return value; });
}

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads, kTilesPerSm)
    max_pool_backward_kernel(RowTiles tiles, Windows windows, const float* dy,
                             const std::uint8_t* winner, float* dx) {
  pool_backward<kWidth>(tiles, windows, winner, dx,
                        [&](std::int64_t i) { return load<kWidth>(dy + i); });
}

}  // namespace

void max_pool_forward(const float* x, float* y, std::uint8_t* winner, ImageExtents x_extents,
                      Stream stream) {
  const bool vectors = x_extents.channels % 4 == 0 && aligned16(x, y) && aligned4(winner);
  const Windows windows = whole_windows(x_extents);
  const RowTiles tiles(windows.count(), x_extents.channels, vectors ? 4 : 1, kMapRows);
  launch_tiles(vectors, max_pool_forward_kernel<4>, max_pool_forward_kernel<1>, tiles, stream,
               windows, x, PoolOutputs{y, winner, nullptr});
}

void max_pool_backward(const float* dy, const std::uint8_t* winner, float* dx,
                       ImageExtents x_extents, Stream stream) {
  const bool vectors = x_extents.channels % 4 == 0 && aligned16(dy, dx) && aligned4(winner);
  const Windows windows = all_windows(x_extents);
  const RowTiles tiles(windows.count(), x_extents.channels, vectors ? 4 : 1, kMapRows);
  launch_tiles(vectors, max_pool_backward_kernel<4>, max_pool_backward_kernel<1>, tiles, stream,
               windows, dy, winner, dx);
}

}  // namespace protolith::cuda
