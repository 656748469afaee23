#include "kernels/cuda/batch_norm.h"

#include "kernels/cuda/batch_norm_gradient.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/row_tiles.cuh"

namespace protolith::cuda {
namespace {

// The second launch of a reduction: 8 channels, whose f32 sums fill a sector of memory, times 32
// threads that share the tiles. These are too few blocks to share an SM: registers are no matter.
// Occupancy: at least 12 %, that of one block.
constexpr int kMergeChannels = 8;
constexpr int kMergeLines = 32;
constexpr int kMergeThreads = kMergeChannels * kMergeLines;

template <class Kernel, class... A>
void launch_merge(Kernel kernel, std::int64_t channels, Stream stream, const A&... arguments) {
  launch(kernel, blocks_for(channels, kMergeChannels), dim3(kMergeChannels, kMergeLines), 0, stream,
         arguments...);
}

// An estimate of the tile's mean of each channel from up to four rows a thread, computed from the
// distances to the first row, so that a constant's is exact. Those rows are read again at once.
template <int kWidth>
__device__ Pack<kWidth> tile_pivot(const RowTiles& tiles, const Tile<kWidth>& tile,
                                   const float* x) {
  const std::int64_t samples = tile.rows < 4 * blockDim.y ? tile.rows : 4 * blockDim.y;
  Pack<kWidth> first{};
  Pack<kWidth> sum[1] = {};
  if (tile.inside) first = load<kWidth>(x + tile.first_row * tiles.channels + tile.channel);
  tile.template for_each_row<4>(samples, [&](std::int64_t row) {
    sum[0] += map([](float a, float b) { return a - b; },
                  load<kWidth>(x + row * tiles.channels + tile.channel), first);
  });
  sum_over_rows<kTileThreads>(sum);
  const float part = 1.0F / static_cast<float>(samples);
  return map([&](float a, float b) { return fmaf(b, part, a); }, first, sum[0]);
}

// A tile's pivots and sums of (x - pivot) and its square to partial [tiles.down, 3, channels].
template <int kWidth>
__global__ void __launch_bounds__(kTileThreads, kTilesPerSm)
    statistics_kernel(RowTiles tiles, const float* x, float* partial) {
  const Tile<kWidth> tile(tiles);
  const Pack<kWidth> pivot = tile_pivot(tiles, tile, x);
  Pack<kWidth> sums[2] = {};
  tile.template for_each_row<4>([&](std::int64_t row) {
    const Pack<kWidth> value = load<kWidth>(x + row * tiles.channels + tile.channel);
    for (int k = 0; k < kWidth; ++k) {
      const float deviation = value.v[k] - pivot.v[k];
      sums[0].v[k] += deviation;
      sums[1].v[k] = fmaf(deviation, deviation, sums[1].v[k]);
    }
  });
  sum_over_rows<kTileThreads>(sums);
  if (threadIdx.y == 0 && tile.inside) {
    float* const target = partial + 3 * blockIdx.x * tiles.channels + tile.channel;
    store(target, pivot);
    store(target + tiles.channels, sums[0]);
    store(target + 2 * tiles.channels, sums[1]);
  }
}

__device__ float inverse_deviation(float variance, float epsilon) {
  return static_cast<float>(1.0 / sqrt(static_cast<double>(variance) + epsilon));
}

__device__ void write_scale_shift(float gamma, float beta, float mean, float inv_std, float* scale,
                                  float* shift) {
  const auto factor = static_cast<float>(static_cast<double>(gamma) * inv_std);
  *scale = factor;
  // With the rounded scale, so that x = mean gives beta.
  *shift = static_cast<float>(beta - static_cast<double>(mean) * factor);
}

__device__ void move_running(float* running, float momentum, double batch) {
  const double old = *running;
  *running = static_cast<float>(old + momentum * (batch - old));
}

// running values of one channel; `unbiased` = rows / (rows - 1).
__device__ void update_running(float mean, float variance, double unbiased, float momentum,
                               float* running_mean, float* running_variance) {
  move_running(running_mean, momentum, mean);
  move_running(running_variance, momentum, variance * unbiased);
}

double unbiased_factor(std::int64_t rows) {
  return rows > 1 ? static_cast<double>(rows) / static_cast<double>(rows - 1) : 1.0;
}

__device__ void finish_channel(const BatchNormFinish& f, std::int64_t c, float mean, float variance,
                               double unbiased) {
  const float inv_std = inverse_deviation(variance, f.epsilon);
  f.mean[c] = mean;
  f.variance[c] = variance;
  f.inv_std[c] = inv_std;
  if (f.gamma != nullptr) {
    write_scale_shift(f.gamma[c], f.beta[c], mean, inv_std, f.scale + c, f.shift + c);
  }
  if (f.running_mean != nullptr) {
    update_running(mean, variance, unbiased, f.momentum, f.running_mean + c,
                   f.running_variance + c);
  }
}

// Moves the tiles' sums to the first one's pivot, exactly but for roundings in double (Chan, Golub
// & LeVeque 1983), and adds them up.
__global__ void __launch_bounds__(kMergeThreads, 1)
    finish_statistics_kernel(RowTiles tiles, const float* partial, BatchNormFinish finish,
                             double unbiased) {
  const std::int64_t c = std::int64_t{blockIdx.x} * kMergeChannels + threadIdx.x;
  const bool inside = c < tiles.channels;
  const double pivot = inside ? partial[c] : 0.0F;
  double sums[2] = {0.0, 0.0};
#pragma unroll 4
  for (std::int64_t tile = threadIdx.y; tile < (inside ? tiles.down : 0); tile += kMergeLines) {
    const float* const from = partial + 3 * tile * tiles.channels + c;
    const double move = from[0] - pivot;
    const double sum = from[tiles.channels];
    const double moved = static_cast<double>(tile_rows(tiles, tile)) * move;
    sums[0] += sum + moved;
    sums[1] += from[2 * tiles.channels] + move * (2.0 * sum + moved);
  }
  sum_over_rows<kMergeThreads>(sums);
  if (threadIdx.y != 0 || !inside) return;
  const auto rows = static_cast<double>(tiles.rows);
  const double shift = sums[0] / rows;
  const double spread = sums[1] / rows - shift * shift;
  // Rounding must not make the variance negative; NaN stays NaN.
  finish_channel(finish, c, static_cast<float>(pivot + shift),
                 static_cast<float>(spread < 0.0 ? 0.0 : spread), unbiased);
}

__global__ void __launch_bounds__(kMergeThreads, 1)
    finish_gradients_kernel(RowTiles tiles, const float* partial, const float* inv_std,
                            float* dgamma, float* dbeta) {
  const std::int64_t c = std::int64_t{blockIdx.x} * kMergeChannels + threadIdx.x;
  const bool inside = c < tiles.channels;
  double sums[2] = {0.0, 0.0};
#pragma unroll 4
  for (std::int64_t tile = threadIdx.y; tile < (inside ? tiles.down : 0); tile += kMergeLines) {
    const float* const from = partial + 2 * tile * tiles.channels + c;
    sums[0] += from[0];
    sums[1] += from[tiles.channels];
  }
  sum_over_rows<kMergeThreads>(sums);
  if (threadIdx.y != 0 || !inside) return;
  dbeta[c] = static_cast<float>(sums[0]);
  dgamma[c] = static_cast<float>(sums[1] * inv_std[c]);
}

// Kernels of one thread a channel: a few hundred threads, one block or two, of at most 32
// registers. Occupancy: at least 100 %.
constexpr int kChannelThreads = 256;

__device__ std::int64_t own_channel() {
  return std::int64_t{blockIdx.x} * kChannelThreads + threadIdx.x;
}

template <class Kernel, class... A>
void launch_channels(Kernel kernel, std::int64_t channels, Stream stream, const A&... arguments) {
  launch(kernel, blocks_for(channels, kChannelThreads), kChannelThreads, 0, stream, channels,
         arguments...);
}

__global__ void __launch_bounds__(kChannelThreads)
    inverse_deviation_kernel(std::int64_t channels, const float* variance, float epsilon,
                             float* inv_std) {
  const std::int64_t c = own_channel();
  if (c < channels) inv_std[c] = inverse_deviation(variance[c], epsilon);
}

__global__ void __launch_bounds__(kChannelThreads)
    scale_shift_kernel(std::int64_t channels, const float* gamma, const float* beta,
                       const float* mean, const float* inv_std, float* scale, float* shift) {
  const std::int64_t c = own_channel();
  if (c < channels) write_scale_shift(gamma[c], beta[c], mean[c], inv_std[c], scale + c, shift + c);
}

__global__ void __launch_bounds__(kChannelThreads)
    inference_scale_shift_kernel(std::int64_t channels, const float* gamma, const float* beta,
                                 const float* mean, const float* variance, float epsilon,
                                 float* scale, float* shift) {
  const std::int64_t c = own_channel();
  if (c >= channels) return;
  write_scale_shift(gamma[c], beta[c], mean[c], inverse_deviation(variance[c], epsilon), scale + c,
                    shift + c);
}

__global__ void __launch_bounds__(kChannelThreads)
    update_running_kernel(std::int64_t channels, const float* mean, const float* variance,
                          double unbiased, float momentum, float* running_mean,
                          float* running_variance) {
  const std::int64_t c = own_channel();
  if (c >= channels) return;
  update_running(mean[c], variance[c], unbiased, momentum, running_mean + c, running_variance + c);
}

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads)
    affine_kernel(RowTiles tiles, const float* x, const float* scale, const float* shift,
                  float* y) {
  const Tile<kWidth> tile(tiles);
  if (!tile.inside) return;
  const Pack<kWidth> factor = load_constants<kWidth>(scale + tile.channel);
  const Pack<kWidth> addend = load_constants<kWidth>(shift + tile.channel);
  tile.template for_each_row<1>([&](std::int64_t row) {
    const std::int64_t i = row * tiles.channels + tile.channel;
    store(y + i, map([](float a, float b, float c) { return fmaf(a, b, c); }, load<kWidth>(x + i),
                     factor, addend));
  });
}

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads, kTilesPerSm)
    gradient_sums_kernel(RowTiles tiles, const float* x, const float* dy, const float* mean,
                         float* partial) {
  sum_gradients<kWidth>(tiles, x, mean, partial,
                        [&](std::int64_t i) { return load<kWidth>(dy + i); });
}

template <int kWidth>
__global__ void __launch_bounds__(kTileThreads)
    data_gradient_kernel(RowTiles tiles, const float* x, const float* dy, DataGradientInputs inputs,
                         float* dx) {
  write_data_gradient<kWidth>(tiles, x, inputs, dx,
                              [&](std::int64_t i) { return load<kWidth>(dy + i); });
}

}  // namespace

void finish_parameter_gradients(const RowTiles& tiles, const float* partial, const float* inv_std,
                                float* dgamma, float* dbeta, Stream stream) {
  launch_merge(finish_gradients_kernel, tiles.channels, stream, tiles, partial, inv_std, dgamma,
               dbeta);
}

void batch_norm_statistics(const float* x, std::int64_t rows, std::int64_t channels,
                           const BatchNormFinish& finish, void* scratch, Stream stream) {
  const bool vectors = channels % 4 == 0 && aligned16(x);
  const RowTiles tiles(rows, channels, vectors ? 4 : 1, kSumRows);
  auto* const partial = static_cast<float*>(scratch);
  launch_tiles(vectors, statistics_kernel<4>, statistics_kernel<1>, tiles, stream, x, partial);
  launch_merge(finish_statistics_kernel, channels, stream, tiles, partial, finish,
               unbiased_factor(rows));
}

void batch_norm_inverse_deviation(const float* variance, float epsilon, float* inv_std,
                                  std::int64_t channels, Stream stream) {
  launch_channels(inverse_deviation_kernel, channels, stream, variance, epsilon, inv_std);
}

void batch_norm_scale_shift(const float* gamma, const float* beta, const float* mean,
                            const float* inv_std, float* scale, float* shift, std::int64_t channels,
                            Stream stream) {
  launch_channels(scale_shift_kernel, channels, stream, gamma, beta, mean, inv_std, scale, shift);
}

void batch_norm_inference_scale_shift(const float* gamma, const float* beta,
                                      const float* running_mean, const float* running_variance,
                                      float epsilon, float* scale, float* shift,
                                      std::int64_t channels, Stream stream) {
  launch_channels(inference_scale_shift_kernel, channels, stream, gamma, beta, running_mean,
                  running_variance, epsilon, scale, shift);
}

void batch_norm_update_running(const float* mean, const float* variance, std::int64_t rows,
                               float momentum, float* running_mean, float* running_variance,
                               std::int64_t channels, Stream stream) {
  launch_channels(update_running_kernel, channels, stream, mean, variance, unbiased_factor(rows),
                  momentum, running_mean, running_variance);
}

void batch_norm_affine(const float* x, const float* scale, const float* shift, float* y,
                       std::int64_t rows, std::int64_t channels, Stream stream) {
  const bool vectors = channels % 4 == 0 && aligned16(x, y);
  const RowTiles tiles(rows, channels, vectors ? 4 : 1, kMapRows);
  launch_tiles(vectors, affine_kernel<4>, affine_kernel<1>, tiles, stream, x, scale, shift, y);
}

void batch_norm_backward_reduce(const float* x, const float* dy, const float* mean,
                                const float* inv_std, std::int64_t rows, std::int64_t channels,
                                float* dgamma, float* dbeta, void* scratch, Stream stream) {
  const bool vectors = channels % 4 == 0 && aligned16(x, dy);
  const RowTiles tiles(rows, channels, vectors ? 4 : 1, kSumRows);
  auto* const partial = static_cast<float*>(scratch);
  launch_tiles(vectors, gradient_sums_kernel<4>, gradient_sums_kernel<1>, tiles, stream, x, dy,
               mean, partial);
  finish_parameter_gradients(tiles, partial, inv_std, dgamma, dbeta, stream);
}

void batch_norm_backward_data(const float* x, const float* dy, const float* gamma,
                              const float* mean, const float* inv_std, const float* dgamma,
                              const float* dbeta, float* dx, std::int64_t rows,
                              std::int64_t channels, Stream stream) {
  const bool vectors = channels % 4 == 0 && aligned16(x, dy, dx);
  const RowTiles tiles(rows, channels, vectors ? 4 : 1, kMapRows);
  const DataGradientInputs inputs{gamma,  mean,  inv_std,
                                  dgamma, dbeta, 1.0 / static_cast<double>(rows)};
  launch_tiles(vectors, data_gradient_kernel<4>, data_gradient_kernel<1>, tiles, stream, x, dy,
               inputs, dx);
}

}  // namespace protolith::cuda
