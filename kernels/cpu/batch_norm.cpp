#include "kernels/cpu/batch_norm.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/batch_norm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/channel_sums-inl.h"
#include "kernels/cpu/channel_sums.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

// The sums of (x - pivot) and its square.
void statistics_rows(const float* HWY_RESTRICT x, const float* HWY_RESTRICT pivot,
                     std::int64_t begin, std::int64_t end, std::int64_t channels, double* sums) {
  add_rows(
      begin, end, channels,
      [&](auto d, std::int64_t i, std::int64_t c, auto& a, auto& b) HWY_ATTR {
        const auto deviation = hn::Sub(hn::LoadU(d, x + i), hn::LoadU(d, pivot + c));
        a = hn::Add(a, deviation);
        b = hn::MulAdd(deviation, deviation, b);
      },
      sums);
}

// The sums of dy and dy * (x - mean).
void gradient_rows(const float* HWY_RESTRICT x, const float* HWY_RESTRICT dy,
                   const float* HWY_RESTRICT mean, std::int64_t begin, std::int64_t end,
                   std::int64_t channels, double* sums) {
  add_rows(
      begin, end, channels,
      [&](auto d, std::int64_t i, std::int64_t c, auto& a, auto& b) HWY_ATTR {
        const auto g = hn::LoadU(d, dy + i);
        a = hn::Add(a, g);
        b = hn::MulAdd(g, hn::Sub(hn::LoadU(d, x + i), hn::LoadU(d, mean + c)), b);
      },
      sums);
}

void affine_rows(const float* x, const float* scale, const float* shift, float* y,
                 std::int64_t begin, std::int64_t end, std::int64_t channels) {
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t offset = row * channels;
    for_vectors(0, channels, [&](auto d, std::int64_t c) HWY_ATTR {
      hn::StoreU(hn::MulAdd(hn::LoadU(d, x + offset + c), hn::LoadU(d, scale + c),
                            hn::LoadU(d, shift + c)),
                 d, y + offset + c);
    });
  }
}

void data_rows(const float* x, const float* dy, const float* mean,
               const DataGradientCoefficients& k, float* dx, std::int64_t begin, std::int64_t end,
               std::int64_t channels) {
  const DataGradient gradient{mean, k.factor(), k.slope(), k.offset()};
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t offset = row * channels;
    for_vectors(0, channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const std::int64_t i = offset + c;
      hn::StoreU(gradient(d, hn::LoadU(d, x + i), hn::LoadU(d, dy + i), c), d, dx + i);
    });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(statistics_rows);
HWY_EXPORT(gradient_rows);
HWY_EXPORT(affine_rows);
HWY_EXPORT(data_rows);

// An estimate of each channel's mean from up to 64 rows spread evenly: sums about it cancel
// nothing, whatever the mean is, and a constant channel's are exactly 0.
std::vector<float> pivots(const float* x, std::int64_t rows, std::int64_t channels) {
  const std::int64_t samples = std::min<std::int64_t>(rows, 64);
  std::vector<double> sums(static_cast<std::size_t>(channels), 0.0);
  for (std::int64_t sample = 0; sample < samples; ++sample) {
    const float* row = x + rows * sample / samples * channels;
    for (std::size_t c = 0; c < sums.size(); ++c) sums[c] += static_cast<double>(row[c]);
  }
  std::vector<float> result(sums.size());
  for (std::size_t c = 0; c < sums.size(); ++c) {
    result[c] = static_cast<float>(sums[c] / static_cast<double>(samples));
  }
  return result;
}
}  // namespace

void batch_norm_statistics(const float* x, std::int64_t rows, std::int64_t channels, float* mean,
                           float* variance) {
  const std::vector<float> pivot = pivots(x, rows, channels);
  const std::vector<double> sums =
      channel_sums(rows, channels, [&](std::int64_t begin, std::int64_t end, double* range_sums) {
        HWY_DYNAMIC_DISPATCH(statistics_rows)(x, pivot.data(), begin, end, channels, range_sums);
      });
  for (std::size_t c = 0; c < pivot.size(); ++c) {
    const double offset = sums[c] / static_cast<double>(rows);
    const double biased = sums[pivot.size() + c] / static_cast<double>(rows) - offset * offset;
    mean[c] = static_cast<float>(static_cast<double>(pivot[c]) + offset);
    variance[c] = biased < 0.0 ? 0.0F : static_cast<float>(biased);
  }
}

void batch_norm_inverse_deviation(const float* variance, float epsilon, float* inv_std,
                                  std::int64_t channels) {
  for (std::int64_t c = 0; c < channels; ++c) {
    const double total = static_cast<double>(variance[c]) + static_cast<double>(epsilon);
    inv_std[c] = static_cast<float>(1.0 / std::sqrt(total));
  }
}

void batch_norm_scale_shift(const float* gamma, const float* beta, const float* mean,
                            const float* inv_std, float* scale, float* shift,
                            std::int64_t channels) {
  for (std::int64_t c = 0; c < channels; ++c) {
    const double factor = static_cast<double>(gamma[c]) * static_cast<double>(inv_std[c]);
    scale[c] = static_cast<float>(factor);
    // With the rounded scale, so that x = mean gives beta.
    shift[c] = static_cast<float>(static_cast<double>(beta[c]) -
                                  static_cast<double>(mean[c]) * static_cast<double>(scale[c]));
  }
}

void batch_norm_update_running(const float* mean, const float* variance, std::int64_t rows,
                               float momentum, float* running_mean, float* running_variance,
                               std::int64_t channels) {
  const double unbiased =
      rows > 1 ? static_cast<double>(rows) / static_cast<double>(rows - 1) : 1.0;
  const auto move = [&](float& running, double batch) {
    const auto old = static_cast<double>(running);
    running = static_cast<float>(old + static_cast<double>(momentum) * (batch - old));
  };
  for (std::int64_t c = 0; c < channels; ++c) {
    move(running_mean[c], static_cast<double>(mean[c]));
    move(running_variance[c], static_cast<double>(variance[c]) * unbiased);
  }
}

void batch_norm_affine(const float* x, const float* scale, const float* shift, float* y,
                       std::int64_t rows, std::int64_t channels) {
  parallel_ranges(rows, rows_per_range(channels), [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(affine_rows)(x, scale, shift, y, begin, end, channels);
  });
}

void batch_norm_backward_reduce(const float* x, const float* dy, const float* mean,
                                const float* inv_std, std::int64_t rows, std::int64_t channels,
                                float* dgamma, float* dbeta) {
  const std::vector<double> sums =
      channel_sums(rows, channels, [&](std::int64_t begin, std::int64_t end, double* range_sums) {
        HWY_DYNAMIC_DISPATCH(gradient_rows)(x, dy, mean, begin, end, channels, range_sums);
      });
  store_parameter_gradients(sums, inv_std, dgamma, dbeta);
}

void batch_norm_backward_data(const float* x, const float* dy, const float* gamma,
                              const float* mean, const float* inv_std, const float* dgamma,
                              const float* dbeta, float* dx, std::int64_t rows,
                              std::int64_t channels) {
  const DataGradientCoefficients k(gamma, inv_std, dgamma, dbeta, rows, channels);
  parallel_ranges(rows, rows_per_range(channels), [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(data_rows)(x, dy, mean, k, dx, begin, end, channels);
  });
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
