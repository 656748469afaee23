// Mean and variance per channel from sums that arrive block by block, in double.
#pragma once

#include <cstdint>
#include <vector>

namespace protolith::cpu {

/// Sums about an estimate of each channel's mean, so that a large mean costs no accuracy; those of
/// several parts are merged exactly (Chan, Golub & LeVeque 1983).
class ChannelMoments {
 public:
  explicit ChannelMoments(std::int64_t channels)
      : pivot_(static_cast<std::size_t>(channels), 0.0), sum_(pivot_), squares_(pivot_) {}

  /// Sets the estimates; call it before add().
  void start(const float* pivot) {
    for (std::size_t c = 0; c < pivot_.size(); ++c) pivot_[c] = static_cast<double>(pivot[c]);
  }
  /// Adds `count` rows' sums of (x - pivot) and (x - pivot)^2.
  void add(std::int64_t count, const float* sums, const float* squares) {
    count_ += static_cast<double>(count);
    for (std::size_t c = 0; c < pivot_.size(); ++c) {
      sum_[c] += static_cast<double>(sums[c]);
      squares_[c] += static_cast<double>(squares[c]);
    }
  }
  /// Takes in another part's sums, moved to this one's pivot.
  void merge(const ChannelMoments& other) {
    for (std::size_t c = 0; c < pivot_.size(); ++c) {
      const double move = other.pivot_[c] - pivot_[c];
      squares_[c] += other.squares_[c] + move * (2.0 * other.sum_[c] + other.count_ * move);
      sum_[c] += other.sum_[c] + other.count_ * move;
    }
    count_ += other.count_;
  }
  void store(float* mean, float* variance) const {
    for (std::size_t c = 0; c < pivot_.size(); ++c) {
      const double shift = sum_[c] / count_;
      const double spread = squares_[c] / count_ - shift * shift;
      mean[c] = static_cast<float>(pivot_[c] + shift);
      // Rounding must not make it negative; NaN stays NaN.
      variance[c] = static_cast<float>(spread < 0.0 ? 0.0 : spread);
    }
  }

 private:
  double count_ = 0.0;
  std::vector<double> pivot_, sum_, squares_;
};

}  // namespace protolith::cpu
