// Batch norm over rows x channels (Ioffe & Szegedy 2015, Algorithm 1):
//   y = (x - mean) / sqrt(variance + epsilon) * gamma + beta.
#pragma once

#include <cmath>

#include "tests/reference/array.h"

namespace protolith::reference {

/// Each [channels]; the variance is the biased one.
struct Statistics {
  Array mean, variance;
};

struct BatchNormGradients {
  Array dx, dgamma, dbeta;
};

/// Mean and biased variance of x [rows, channels].
inline Statistics batch_statistics(const Array& x, std::int64_t channels) {
  const std::int64_t rows = static_cast<std::int64_t>(x.size()) / channels;
  Statistics result{zeros(channels), zeros(channels)};
  for (std::int64_t c = 0; c < channels; ++c) {
    const auto channel = static_cast<std::size_t>(c);
    double sum = 0.0;
    for (std::int64_t i = 0; i < rows; ++i) sum += x[at(i, channels, c)];
    result.mean[channel] = sum / static_cast<double>(rows);
    double squares = 0.0;
    for (std::int64_t i = 0; i < rows; ++i) {
      const double centred = x[at(i, channels, c)] - result.mean[channel];
      squares += centred * centred;
    }
    result.variance[channel] = squares / static_cast<double>(rows);
  }
  return result;
}

/// 1 / sqrt(variance + epsilon).
inline Array inverse_deviation(const Array& variance, double epsilon) {
  Array result;
  for (const double v : variance) result.push_back(1.0 / std::sqrt(v + epsilon));
  return result;
}

/// running += momentum * (batch - running); the batch variance made unbiased (not for one row).
inline Statistics updated_running(const Statistics& running, const Statistics& batch,
                                  std::int64_t rows, double momentum) {
  const double unbias = rows > 1 ? static_cast<double>(rows) / static_cast<double>(rows - 1) : 1.0;
  Statistics result = running;
  for (std::size_t c = 0; c < running.mean.size(); ++c) {
    result.mean[c] += momentum * (batch.mean[c] - running.mean[c]);
    result.variance[c] += momentum * (batch.variance[c] * unbias - running.variance[c]);
  }
  return result;
}

/// Normalises with the given statistics: the batch's in training, the running ones in inference.
inline Array batch_norm(const Array& x, const Array& gamma, const Array& beta,
                        const Statistics& statistics, double epsilon) {
  const Array inv_std = inverse_deviation(statistics.variance, epsilon);
  Array y = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % gamma.size();
    y[i] = (x[i] - statistics.mean[c]) * inv_std[c] * gamma[c] + beta[c];
  }
  return y;
}

/// Backward of batch_norm() with x's own batch statistics, through the statistics too.
inline BatchNormGradients batch_norm_backward(const Array& x, const Array& dy, const Array& gamma,
                                              const Statistics& statistics, double epsilon) {
  const std::size_t channels = gamma.size();
  const double rows = static_cast<double>(x.size() / channels);
  const Array inv_std = inverse_deviation(statistics.variance, epsilon);
  BatchNormGradients result{x, Array(channels, 0.0), Array(channels, 0.0)};
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    result.dgamma[c] += dy[i] * (x[i] - statistics.mean[c]) * inv_std[c];
    result.dbeta[c] += dy[i];
  }
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    const double normalized = (x[i] - statistics.mean[c]) * inv_std[c];
    result.dx[i] = gamma[c] * inv_std[c] *
                   (dy[i] - result.dbeta[c] / rows - normalized * result.dgamma[c] / rows);
  }
  return result;
}

}  // namespace protolith::reference
