// The host side of two sums per channel over many rows: sharing among threads, adding up in a fixed
// order, and what follows from the sums. The SIMD side is channel_sums-inl.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"

namespace protolith::cpu {

/// Calls f(begin, end, sums) for parts of the rows, each with its own 2 * channels zeros to add to,
/// and returns the sums of all parts, added in the order of the parts.
template <class F>
std::vector<double> channel_sums(std::int64_t rows, std::int64_t channels, F&& f) {
  const std::int64_t minimum = rows_per_range(channels);
  const auto size = static_cast<std::size_t>(2 * channels);
  const WorkParts parts(rows, minimum, minimum);
  const auto count = static_cast<std::size_t>(parts.count());
  std::vector<double> partial(count * size, 0.0);
  parallel_parts(parts, [&](std::int64_t begin, std::int64_t end, int part, int) {
    f(begin, end, partial.data() + static_cast<std::size_t>(part) * size);
  });
  for (std::size_t part = 1; part < count; ++part) {
    for (std::size_t i = 0; i < size; ++i) partial[i] += partial[part * size + i];
  }
  partial.resize(size);
  return partial;
}

/// dbeta = sum g and dgamma = inv_std * sum g * (x - mean), from the sums of g and g * (x - mean).
inline void store_parameter_gradients(const std::vector<double>& sums, const float* inv_std,
                                      float* dgamma, float* dbeta) {
  const std::size_t channels = sums.size() / 2;
  for (std::size_t c = 0; c < channels; ++c) {
    dbeta[c] = static_cast<float>(sums[c]);
    dgamma[c] = static_cast<float>(sums[channels + c] * static_cast<double>(inv_std[c]));
  }
}

/// dx = factor * g + slope * (x - mean) + offset, per channel: the formula of
/// batch_norm_backward_data() with its constants gathered.
class DataGradientCoefficients {
 public:
  DataGradientCoefficients(const float* gamma, const float* inv_std, const float* dgamma,
                           const float* dbeta, std::int64_t rows, std::int64_t channels)
      : channels_(static_cast<std::size_t>(channels)), values_(3 * channels_) {
    for (std::size_t c = 0; c < channels_; ++c) {
      const double deviation = static_cast<double>(inv_std[c]);
      const double factor = static_cast<double>(gamma[c]) * deviation;
      const double per_row = factor / static_cast<double>(rows);
      values_[c] = static_cast<float>(factor);
      values_[channels_ + c] =
          static_cast<float>(-per_row * deviation * static_cast<double>(dgamma[c]));
      values_[2 * channels_ + c] = static_cast<float>(-per_row * static_cast<double>(dbeta[c]));
    }
  }
  const float* factor() const { return values_.data(); }
  const float* slope() const { return values_.data() + channels_; }
  const float* offset() const { return values_.data() + 2 * channels_; }

 private:
  std::size_t channels_;
  std::vector<float> values_;
};

}  // namespace protolith::cpu
