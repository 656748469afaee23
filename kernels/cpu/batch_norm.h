// Batch norm over rows x channels (an NHWC activation has images * height * width rows).
//   y = (x - mean) * inv_std * gamma + beta,  inv_std = 1 / sqrt(variance + epsilon)
// (Ioffe & Szegedy 2015, Algorithm 1.) The statistics are sums about an estimate of each channel's
// mean (from up to 64 rows), accumulated in f32 over short blocks and in double across them,
// threads in a fixed order, so that a large mean costs no accuracy. Memory traffic: statistics
// read x; affine reads x, writes y; backward_reduce reads x and dy; backward_data reads x and dy,
// writes dx.
#pragma once

#include <cstdint>

#include "kernels/traffic.h"

namespace protolith::cpu {

/// mean[c] and the biased variance[c] of x [rows, channels].
void batch_norm_statistics(const float* x, std::int64_t rows, std::int64_t channels, float* mean,
                           float* variance);
/// inv_std[c] = 1 / sqrt(variance[c] + epsilon), computed in double.
void batch_norm_inverse_deviation(const float* variance, float epsilon, float* inv_std,
                                  std::int64_t channels);
/// scale[c] = gamma[c] * inv_std[c]; shift[c] = beta[c] - mean[c] * scale[c].
void batch_norm_scale_shift(const float* gamma, const float* beta, const float* mean,
                            const float* inv_std, float* scale, float* shift,
                            std::int64_t channels);
/// running += momentum * (batch - running) for the mean and the unbiased variance,
/// variance * rows / (rows - 1) (with one row: the biased one).
void batch_norm_update_running(const float* mean, const float* variance, std::int64_t rows,
                               float momentum, float* running_mean, float* running_variance,
                               std::int64_t channels);
/// y = x * scale[c] + shift[c]; `y` may be `x`.
void batch_norm_affine(const float* x, const float* scale, const float* shift, float* y,
                       std::int64_t rows, std::int64_t channels);
/// dgamma[c] = sum dy * (x - mean) * inv_std, dbeta[c] = sum dy.
void batch_norm_backward_reduce(const float* x, const float* dy, const float* mean,
                                const float* inv_std, std::int64_t rows, std::int64_t channels,
                                float* dgamma, float* dbeta);
/// dx = gamma * inv_std * (dy - dbeta / rows - (x - mean) * inv_std * dgamma / rows);
/// `dx` may be `x` or `dy`.
void batch_norm_backward_data(const float* x, const float* dy, const float* gamma,
                              const float* mean, const float* inv_std, const float* dgamma,
                              const float* dbeta, float* dx, std::int64_t rows,
                              std::int64_t channels);

inline Traffic batch_norm_statistics_traffic(std::int64_t rows, std::int64_t channels) {
  const std::int64_t count = rows * channels;
  return {4 * count, 8 * channels, 4 * count, 1};
}
/// The sums of g and g * (x - mean) from `operands` arrays of rows x channels.
inline Traffic batch_norm_gradient_sums_traffic(std::int64_t rows, std::int64_t channels,
                                                std::int64_t operands) {
  const std::int64_t count = rows * channels;
  return {4 * operands * count + 8 * channels, 8 * channels, 4 * count, 1};
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

}  // namespace protolith::cpu
