// Batch norm over rows x channels (an NHWC activation has images * height * width rows).
//   y = (x - mean) * inv_std * gamma + beta,  inv_std = 1 / sqrt(variance + epsilon)
// (Ioffe & Szegedy 2015, Algorithm 1.) Sums over rows take two launches: tiles of rows in f32, at
// most 64 rows a thread, then the tiles in double in a fixed order. A tile's statistics are sums
// about an estimate of its own mean, so that neither a large mean nor an odd row costs accuracy;
// its second launch also finishes what depends on them: inv_std, scale and shift, running values.
// Memory traffic with n = 4 * rows * channels bytes: statistics read n; affine reads and writes n;
// backward_reduce reads 2 n; backward_data reads 2 n, writes n; besides, a few numbers per channel,
// and three f32 per channel and tile, written and read (a tile has 64 rows or more at 64 channels,
// some 550 when a batch is large: n / 180).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/cuda/row_tiles.h"
#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

/// What batch_norm_statistics() computes besides mean and variance; all f32[channels].
struct BatchNormFinish {
  float epsilon;
  float* mean;
  float* variance;  ///< the biased one
  float* inv_std;
  const float* gamma = nullptr;  ///< null: no scale and shift
  const float* beta = nullptr;
  float* scale = nullptr;
  float* shift = nullptr;
  float momentum = 0.0F;
  float* running_mean = nullptr;  ///< null: no running values
  float* running_variance = nullptr;
};

/// Bytes of 16-byte aligned scratch that a reduction of this family or of batch_norm_relu_pool.h
/// over at most `rows` rows needs: three f32 for each tile of rows and channel.
inline std::size_t batch_norm_scratch_bytes(std::int64_t rows, std::int64_t channels) {
  // Packs of one channel cut the smallest tiles; fewer rows may be cut into as many tiles as
  // kSumRows and kTargetTiles allow.
  const std::int64_t down = RowTiles(rows, channels, 1, kSumRows).threads_down;
  const auto tiles = [&](std::int64_t per_thread) {
    return (rows + per_thread * down - 1) / (per_thread * down);
  };
  const std::int64_t most =
      std::min(tiles(kSumRows.least), std::max(kTargetTiles, tiles(kSumRows.most)));
  return static_cast<std::size_t>(12 * most * channels);
}

/// mean[c] and the biased variance[c] of x [rows, channels], and the rest of `finish`, each as the
/// function below of that name computes it from the rounded mean and variance.
void batch_norm_statistics(const float* x, std::int64_t rows, std::int64_t channels,
                           const BatchNormFinish& finish, void* scratch, Stream stream);
/// inv_std[c] = 1 / sqrt(variance[c] + epsilon), computed in double.
void batch_norm_inverse_deviation(const float* variance, float epsilon, float* inv_std,
                                  std::int64_t channels, Stream stream);
/// scale[c] = gamma[c] * inv_std[c]; shift[c] = beta[c] - mean[c] * scale[c].
void batch_norm_scale_shift(const float* gamma, const float* beta, const float* mean,
                            const float* inv_std, float* scale, float* shift, std::int64_t channels,
                            Stream stream);
/// The same from the running statistics: batch_norm_inverse_deviation() and
/// batch_norm_scale_shift() in one.
void batch_norm_inference_scale_shift(const float* gamma, const float* beta,
                                      const float* running_mean, const float* running_variance,
                                      float epsilon, float* scale, float* shift,
                                      std::int64_t channels, Stream stream);
/// running += momentum * (batch - running) for the mean and the unbiased variance,
/// variance * rows / (rows - 1) (with one row: the biased one).
void batch_norm_update_running(const float* mean, const float* variance, std::int64_t rows,
                               float momentum, float* running_mean, float* running_variance,
                               std::int64_t channels, Stream stream);
/// y = x * scale[c] + shift[c]; `y` may be `x`.
void batch_norm_affine(const float* x, const float* scale, const float* shift, float* y,
                       std::int64_t rows, std::int64_t channels, Stream stream);
/// dgamma[c] = sum dy * (x - mean) * inv_std, dbeta[c] = sum dy.
void batch_norm_backward_reduce(const float* x, const float* dy, const float* mean,
                                const float* inv_std, std::int64_t rows, std::int64_t channels,
                                float* dgamma, float* dbeta, void* scratch, Stream stream);
/// dx = gamma * inv_std * (dy - dbeta / rows - (x - mean) * inv_std * dgamma / rows);
/// `dx` may be `x` or `dy`.
void batch_norm_backward_data(const float* x, const float* dy, const float* gamma,
                              const float* mean, const float* inv_std, const float* dgamma,
                              const float* dbeta, float* dx, std::int64_t rows,
                              std::int64_t channels, Stream stream);

/// The first launch writes and the second reads `sums` f32 values for each tile and channel.
inline Traffic batch_norm_sums_traffic(std::int64_t rows, std::int64_t channels, std::int64_t sums,
                                       std::int64_t operands, std::int64_t flops) {
  const RowTiles tiles(rows, channels, channels % 4 == 0 ? 4 : 1, kSumRows);
  const std::int64_t partial = 4 * tiles.down * sums * channels;
  const std::int64_t count = rows * channels;
  return {4 * operands * count + partial, partial, flops * count, 2};
}
inline Traffic batch_norm_statistics_traffic(std::int64_t rows, std::int64_t channels) {
  Traffic traffic = batch_norm_sums_traffic(rows, channels, 3, 1, 4);
  traffic.read += 16 * channels;
  traffic.written += 28 * channels;
  return traffic;
}
/// The sums of g and g * (x - mean) from `operands` arrays of rows x channels.
inline Traffic batch_norm_gradient_sums_traffic(std::int64_t rows, std::int64_t channels,
                                                std::int64_t operands) {
  Traffic traffic = batch_norm_sums_traffic(rows, channels, 2, operands, 4);
  traffic.read += 8 * channels;
  traffic.written += 8 * channels;
  return traffic;
}
inline Traffic batch_norm_backward_reduce_traffic(std::int64_t rows, std::int64_t channels) {
  return batch_norm_gradient_sums_traffic(rows, channels, 2);
}
inline Traffic batch_norm_affine_traffic(std::int64_t rows, std::int64_t channels) {
  const std::int64_t count = rows * channels;
  return {4 * count + 8 * channels, 4 * count, 2 * count, 1};
}
inline Traffic batch_norm_backward_data_traffic(std::int64_t rows, std::int64_t channels) {
  const std::int64_t count = rows * channels;
  return {8 * count + 20 * channels, 4 * count, 5 * count, 1};
}

}  // namespace protolith::cuda
