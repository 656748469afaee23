#include "kernels/cuda/batch_norm_relu_pool.h"

#include "kernels/cuda/batch_norm_gradient.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/pool_window.cuh"
#include "kernels/cuda/relu.cuh"
#include "kernels/cuda/row_tiles.cuh"

namespace protolith::cuda {
namespace {

/// relu(x * scale + shift) of a pack of channels.
template <int kWidth>
class AffineRelu {
 public:
  __device__ AffineRelu(const float* scale, const float* shift, std::int64_t channel)
      : scale_(load_constants<kWidth>(scale + channel)),
        shift_(load_constants<kWidth>(shift + channel)) {}
  __device__ __forceinline__ Pack<kWidth> operator()(const Pack<kWidth>& x) const {
    return map([](float value, float a, float b) { return relu(fmaf(value, a, b)); }, x, scale_,
               shift_);
  }

 private:
  Pack<kWidth> scale_, shift_;
};

/// g = y <= 0 ? 0 : dy.
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> entering(const float* y, const float* dy) {
  return map(relu_gradient, load<kWidth>(y), load<kWidth>(dy));
}

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads)
    affine_relu_kernel(RowTiles tiles, const float* x, const float* scale, const float* shift,
                       float* y) {
  const Tile<kWidth> tile(tiles);
  if (!tile.inside) return;
  const AffineRelu<kWidth> activation(scale, shift, tile.channel);
  tile.template for_each_row<1>([&](std::int64_t row) {
    const std::int64_t i = row * tiles.channels + tile.channel;
    store(y + i, activation(load<kWidth>(x + i)));
  });
}

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads, kTilesPerSm)
    affine_relu_pool_kernel(RowTiles tiles, Windows windows, const float* x, const float* scale,
                            const float* shift, PoolOutputs out) {
  const Tile<kWidth> tile(tiles);
  if (!tile.inside) return;
  pool_forward(tiles, tile, windows, x, out, AffineRelu<kWidth>(scale, shift, tile.channel));
}

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads, kTilesPerSm)
    relu_gradient_sums_kernel(RowTiles tiles, const float* x, const float* y, const float* dy,
                              const float* mean, float* partial) {
  sum_gradients<kWidth>(tiles, x, mean, partial,
                        [&](std::int64_t i) { return entering<kWidth>(y + i, dy + i); });
}

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads, kTilesPerSm)
    relu_data_gradient_kernel(RowTiles tiles, const float* x, const float* y, const float* dy,
                              DataGradientInputs inputs, float* dx) {
  write_data_gradient<kWidth>(tiles, x, inputs, dx,
                              [&](std::int64_t i) { return entering<kWidth>(y + i, dy + i); });
}

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads, kTilesPerSm)
    pool_data_gradient_kernel(RowTiles tiles, Windows windows, const float* x, const float* y,
                              const std::uint8_t* winner, const float* dy,
                              DataGradientInputs inputs, float* dx) {
  const Tile<kWidth> tile(tiles);
  if (!tile.inside) return;
  const DataGradient<kWidth> result(inputs, tile.channel);
  tile.template for_each_row<1>([&](std::int64_t row) {
    const Window window = window_at(windows, row);
    const auto element = [&](int place) {
      return window.pixel(place) * tiles.channels + tile.channel;
    };
    // dx may be x: all loads come before the first store, to be in flight at once.
    Pack<kWidth> values[4] = {};
    for (int place = 0; place < 4; ++place) {
      if (window.has(place)) values[place] = load<kWidth>(x + element(place));
    }
    Pack<kWidth> g{};
    Places<kWidth> places{};
    if (window.whole()) {
      const std::int64_t i = window.output * tiles.channels + tile.channel;
      g = entering<kWidth>(y + i, dy + i);
      places = load_places<kWidth>(winner + i);
    }
    for (int place = 0; place < 4; ++place) {
      if (!window.has(place)) continue;
      store(dx + element(place),
            result(values[place], gradient_at(static_cast<unsigned>(place), places, g)));
    }
  });
}

std::int64_t row_count(const ImageExtents& e) {
  return e.images * e.height * e.width;
}

void reduce(const float* x, const float* y, const float* dy, const float* mean,
            const float* inv_std, float* dgamma, float* dbeta, std::int64_t rows,
            std::int64_t channels, void* scratch, Stream stream) {
  const bool vectors = channels % 4 == 0 && aligned16(x, y, dy);
  const RowTiles tiles(rows, channels, vectors ? 4 : 1, kSumRows);
  auto* const partial = static_cast<float*>(scratch);
  launch_tiles(vectors, relu_gradient_sums_kernel<4>, relu_gradient_sums_kernel<1>, tiles, stream,
               x, y, dy, mean, partial);
  finish_parameter_gradients(tiles, partial, inv_std, dgamma, dbeta, stream);
}

}  // namespace

void affine_relu_forward(const float* x, const float* scale, const float* shift, float* y,
                         ImageExtents extents, Stream stream) {
  const bool vectors = extents.channels % 4 == 0 && aligned16(x, y);
  const RowTiles tiles(row_count(extents), extents.channels, vectors ? 4 : 1, kMapRows);
  launch_tiles(vectors, affine_relu_kernel<4>, affine_relu_kernel<1>, tiles, stream, x, scale,
               shift, y);
}

void affine_relu_pool_forward(const float* x, const float* scale, const float* shift, float* y,
                              std::uint8_t* winner, float* selected, ImageExtents extents,
                              Stream stream) {
  const PoolOutputs out{y, winner, winner == nullptr ? nullptr : selected};
  const bool vectors = extents.channels % 4 == 0 && aligned16(x, y, selected) && aligned4(winner);
  const Windows windows = whole_windows(extents);
  const RowTiles tiles(windows.count(), extents.channels, vectors ? 4 : 1, kMapRows);
  launch_tiles(vectors, affine_relu_pool_kernel<4>, affine_relu_pool_kernel<1>, tiles, stream,
               windows, x, scale, shift, out);
}

void relu_batch_norm_backward_reduce(const float* x, const float* y, const float* dy,
                                     const float* mean, const float* inv_std, float* dgamma,
                                     float* dbeta, ImageExtents extents, void* scratch,
                                     Stream stream) {
  reduce(x, y, dy, mean, inv_std, dgamma, dbeta, row_count(extents), extents.channels, scratch,
         stream);
}

void relu_batch_norm_backward_data(const float* x, const float* y, const float* dy,
                                   const float* gamma, const float* mean, const float* inv_std,
                                   const float* dgamma, const float* dbeta, float* dx,
                                   ImageExtents extents, std::int64_t rows, Stream stream) {
  const std::int64_t count = row_count(extents);
  const bool vectors = extents.channels % 4 == 0 && aligned16(x, y, dy, dx);
  const RowTiles tiles(count, extents.channels, vectors ? 4 : 1, kMapRows);
  const DataGradientInputs inputs{
      gamma, mean, inv_std, dgamma, dbeta, 1.0 / static_cast<double>(rows > 0 ? rows : count)};
  launch_tiles(vectors, relu_data_gradient_kernel<4>, relu_data_gradient_kernel<1>, tiles, stream,
               x, y, dy, inputs, dx);
}

void pool_relu_batch_norm_backward_reduce(const float* selected, const float* y, const float* dy,
                                          const float* mean, const float* inv_std, float* dgamma,
                                          float* dbeta, ImageExtents extents, void* scratch,
                                          Stream stream) {
  reduce(selected, y, dy, mean, inv_std, dgamma, dbeta, whole_windows(extents).count(),
         extents.channels, scratch, stream);
}

void pool_relu_batch_norm_backward_data(const float* x, const float* y, const std::uint8_t* winner,
                                        const float* dy, const float* gamma, const float* mean,
                                        const float* inv_std, const float* dgamma,
                                        const float* dbeta, float* dx, ImageExtents extents,
                                        std::int64_t rows, Stream stream) {
  const std::int64_t over = rows > 0 ? rows : row_count(extents);
  const bool vectors = extents.channels % 4 == 0 && aligned16(x, y, dy, dx) && aligned4(winner);
  const Windows windows = all_windows(extents);
  const RowTiles tiles(windows.count(), extents.channels, vectors ? 4 : 1, kMapRows);
  const DataGradientInputs inputs{gamma,  mean,  inv_std,
                                  dgamma, dbeta, 1.0 / static_cast<double>(over)};
  launch_tiles(vectors, pool_data_gradient_kernel<4>, pool_data_gradient_kernel<1>, tiles, stream,
               windows, x, y, winner, dy, inputs, dx);
}

}  // namespace protolith::cuda
