#include "tests/gpu_emulation/cudnn/compute.h"

#include <cmath>
#include <cstring>

// The same bits with and without instructions for fused products; without them it takes minutes.
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define PROTOLITH_FMA __attribute__((target_clones("fma", "default"), optimize("O3")))
#else
#define PROTOLITH_FMA
#endif

namespace protolith::emulated::dnn {
namespace {

/// sums[i] += factor * values[i].
PROTOLITH_FMA void accumulate(float factor, const float* values, float* sums, std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    sums[i] = __builtin_fmaf(factor, values[i], sums[i]);
  }
}

/// weight [k,r,s,c] with its filters and channels exchanged: [c,r,s,k].
Floats exchanged(const Convolution& g, const Floats& weight) {
  Floats result(weight.size());
  const std::int64_t taps = g.r * g.s;
  for (std::int64_t k = 0; k < g.k; ++k) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t c = 0; c < g.c; ++c) {
        result[static_cast<std::size_t>((tap * g.c + c) * g.k + k)] =
            weight[static_cast<std::size_t>((k * taps + tap) * g.c + c)];
      }
    }
  }
  return result;
}

/// Calls f(input pixel, output pixel, tap) for every pair that a filter's tap connects.
template <class F>
void for_each_tap(const Convolution& g, std::int64_t image, F f) {
  for (std::int64_t p = 0; p < g.p; ++p) {
    for (std::int64_t q = 0; q < g.q; ++q) {
      for (std::int64_t r = 0; r < g.r; ++r) {
        const std::int64_t row = p * g.stride_h + r * g.dilation_h - g.padding_h;
        if (row < 0 || row >= g.h) continue;
        for (std::int64_t s = 0; s < g.s; ++s) {
          const std::int64_t column = q * g.stride_w + s * g.dilation_w - g.padding_w;
          if (column < 0 || column >= g.w) continue;
          f((image * g.h + row) * g.w + column, (image * g.p + p) * g.q + q, r * g.s + s);
        }
      }
    }
  }
}

}  // namespace

float round_mantissa(float value, int bits) {
  if (!std::isfinite(value)) return value;
  const std::uint32_t unit = 1U << static_cast<unsigned>(23 - bits);
  std::uint32_t word = 0;
  std::memcpy(&word, &value, sizeof word);
  word = (word + unit / 2) & ~(unit - 1);
  std::memcpy(&value, &word, sizeof word);
  return value;
}

void convolution_forward(const Convolution& g, const Floats& x, const Floats& weight, Floats& y) {
  const Floats by_channel = exchanged(g, weight);
  std::fill(y.begin(), y.end(), 0.0F);
  for (std::int64_t n = 0; n < g.n; ++n) {
    for_each_tap(g, n, [&](std::int64_t input, std::int64_t output, std::int64_t tap) {
      for (std::int64_t c = 0; c < g.c; ++c) {
        accumulate(x[static_cast<std::size_t>(input * g.c + c)],
                   &by_channel[static_cast<std::size_t>((tap * g.c + c) * g.k)],
                   &y[static_cast<std::size_t>(output * g.k)], g.k);
      }
    });
  }
}

void convolution_backward_data(const Convolution& g, const Floats& dy, const Floats& weight,
                               Floats& dx) {
  std::fill(dx.begin(), dx.end(), 0.0F);
  for (std::int64_t n = 0; n < g.n; ++n) {
    for_each_tap(g, n, [&](std::int64_t input, std::int64_t output, std::int64_t tap) {
      for (std::int64_t k = 0; k < g.k; ++k) {
        accumulate(dy[static_cast<std::size_t>(output * g.k + k)],
                   &weight[static_cast<std::size_t>((k * g.r * g.s + tap) * g.c)],
                   &dx[static_cast<std::size_t>(input * g.c)], g.c);
      }
    });
  }
}

void convolution_backward_weight(const Convolution& g, const Floats& x, const Floats& dy,
                                 bool backwards, Floats& dweight) {
  std::fill(dweight.begin(), dweight.end(), 0.0F);
  for (std::int64_t i = 0; i < g.n; ++i) {
    const std::int64_t n = backwards ? g.n - 1 - i : i;
    for_each_tap(g, n, [&](std::int64_t input, std::int64_t output, std::int64_t tap) {
      for (std::int64_t k = 0; k < g.k; ++k) {
        accumulate(dy[static_cast<std::size_t>(output * g.k + k)],
                   &x[static_cast<std::size_t>(input * g.c)],
                   &dweight[static_cast<std::size_t>((k * g.r * g.s + tap) * g.c)], g.c);
      }
    });
  }
}

BatchNormForward batch_norm_training(const Floats& x, const Floats& scale, const Floats& bias,
                                     float epsilon, float factor, const Floats& running_mean,
                                     const Floats& running_variance) {
  const std::size_t channels = scale.size(), rows = x.size() / channels;
  const auto count = static_cast<double>(rows);
  BatchNormForward result{x, scale, scale, running_mean, running_variance};
  for (std::size_t c = 0; c < channels; ++c) {
    double sum = 0.0, squares = 0.0;
    for (std::size_t i = 0; i < rows; ++i) sum += x[i * channels + c];
    const double mean = sum / count;
    for (std::size_t i = 0; i < rows; ++i) {
      squares += (x[i * channels + c] - mean) * (x[i * channels + c] - mean);
    }
    const double inv_std = 1.0 / std::sqrt(squares / count + static_cast<double>(epsilon));
    result.mean[c] = static_cast<float>(mean);
    result.inv_std[c] = static_cast<float>(inv_std);
    for (std::size_t i = 0; i < rows; ++i) {
      result.y[i * channels + c] = static_cast<float>((x[i * channels + c] - mean) * inv_std *
                                                          static_cast<double>(scale[c]) +
                                                      static_cast<double>(bias[c]));
    }
    if (running_mean.empty()) continue;
    const auto blend = [&](float old, double batch) {
      return static_cast<float>((1.0 - static_cast<double>(factor)) * static_cast<double>(old) +
                                static_cast<double>(factor) * batch);
    };
    result.next_mean[c] = blend(running_mean[c], mean);
    result.next_variance[c] = blend(running_variance[c], squares / (count - 1.0));
  }
  return result;
}

BatchNormBackward batch_norm_backward(const Floats& x, const Floats& dy, const Floats& scale,
                                      const Floats& mean, const Floats& inv_std) {
  const std::size_t channels = scale.size(), rows = x.size() / channels;
  BatchNormBackward result{x, scale, scale};
  for (std::size_t c = 0; c < channels; ++c) {
    const auto normalized = [&](std::size_t i) {
      return (static_cast<double>(x[i * channels + c]) - static_cast<double>(mean[c])) *
             static_cast<double>(inv_std[c]);
    };
    double dscale = 0.0, dbias = 0.0;
    for (std::size_t i = 0; i < rows; ++i) {
      dscale += static_cast<double>(dy[i * channels + c]) * normalized(i);
      dbias += static_cast<double>(dy[i * channels + c]);
    }
    result.dscale[c] = static_cast<float>(dscale);
    result.dbias[c] = static_cast<float>(dbias);
    const auto count = static_cast<double>(rows);
    for (std::size_t i = 0; i < rows; ++i) {
      result.dx[i * channels + c] =
          static_cast<float>(static_cast<double>(scale[c]) * static_cast<double>(inv_std[c]) *
                             (static_cast<double>(dy[i * channels + c]) - dbias / count -
                              normalized(i) * dscale / count));
    }
  }
  return result;
}

}  // namespace protolith::emulated::dnn
