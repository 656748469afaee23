// Two sums per channel over rows x channels, and the data gradient of batch norm, once per
// instruction set. The sums run in f32 over blocks of kRowsPerBlock rows and in double across them.
#if defined(PROTOLITH_KERNELS_CPU_CHANNEL_SUMS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PROTOLITH_KERNELS_CPU_CHANNEL_SUMS_INL_H_
#undef PROTOLITH_KERNELS_CPU_CHANNEL_SUMS_INL_H_
#else
#define PROTOLITH_KERNELS_CPU_CHANNEL_SUMS_INL_H_
#endif

#include <algorithm>
#include <cstdint>

#include "hwy/highway.h"
#include "kernels/cpu/channel_sums.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {

inline constexpr std::int64_t kRowsPerBlock = 64;

/// Adds a block's sums of kVectors vectors of channels from channel c on to `sums`.
/// term(d, i, c, a, b) adds the element i = row * channels + c to the sums a and b.
template <int kVectors, class D, class Term>
HWY_INLINE void add_block(D d, std::int64_t begin, std::int64_t end, std::int64_t channels,
                          std::int64_t c, const Term& term, double* HWY_RESTRICT sums) {
  using V = hn::Vec<D>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V a[kVectors];
  V b[kVectors];
  for (int k = 0; k < kVectors; ++k) a[k] = b[k] = hn::Zero(d);
  for (std::int64_t row = begin; row < end; ++row) {
    for (int k = 0; k < kVectors; ++k) {
      const std::int64_t channel = c + k * lanes;
      term(d, row * channels + channel, channel, a[k], b[k]);
    }
  }
  HWY_ALIGN float lane_sums[2][kVectors * HWY_LANES(float)];
  for (int k = 0; k < kVectors; ++k) {
    hn::StoreU(a[k], d, lane_sums[0] + k * lanes);
    hn::StoreU(b[k], d, lane_sums[1] + k * lanes);
  }
  for (std::int64_t i = 0; i < kVectors * lanes; ++i) {
    sums[c + i] += static_cast<double>(lane_sums[0][i]);
    sums[channels + c + i] += static_cast<double>(lane_sums[1][i]);
  }
}

/// Adds rows [begin, end) to sums [2, channels]. Four vectors of channels at a time hide the
/// latency of the additions and read whole cache lines in order.
template <class Term>
HWY_INLINE void add_rows(std::int64_t begin, std::int64_t end, std::int64_t channels,
                         const Term& term, double* HWY_RESTRICT sums) {
  const hn::ScalableTag<float> d;
  const hn::CappedTag<float, 1> one;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t block = begin; block < end; block += kRowsPerBlock) {
    const std::int64_t block_end = std::min(block + kRowsPerBlock, end);
    std::int64_t c = 0;
    for (; c + 4 * lanes <= channels; c += 4 * lanes) {
      add_block<4>(d, block, block_end, channels, c, term, sums);
    }
    for (; c + lanes <= channels; c += lanes) {
      add_block<1>(d, block, block_end, channels, c, term, sums);
    }
    for (; c < channels; ++c) add_block<1>(one, block, block_end, channels, c, term, sums);
  }
}

/// Constants of a data gradient, each [channels].
struct DataGradient {
  const float* mean;
  const float* factor;
  const float* slope;
  const float* offset;

  /// slope * (x - mean) + offset: the gradient where none enters.
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V base(D d, V x, std::int64_t c) const {
    return hn::MulAdd(hn::Sub(x, hn::LoadU(d, mean + c)), hn::LoadU(d, slope + c),
                      hn::LoadU(d, offset + c));
  }
  /// base + factor * g.
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V operator()(D d, V x, V g, std::int64_t c) const {
    return hn::MulAdd(g, hn::LoadU(d, factor + c), base(d, x, c));
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
