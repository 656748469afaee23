// Winograd's F(2x2,3x3) on the 2x2 windows of a pool, for images of few channels, once per
// instruction set: with the points 0, 1, -1 and infinity
//   B^T d = (d0 - d2, d1 + d2, d2 - d1, d1 - d3),  A^T m = (m0 + m1 + m2, m1 - m2 - m3).
// Inputs go into the domain a row of windows at a time, vectors along the row, once for all
// filters; filters are vectors of channels. A window and channel cost 24 multiply-adds, A^T along
// the rows being in them, and 8 additions, against 36 multiply-adds of direct sums. An infinity or
// a NaN in an input reaches all four outputs of the windows that see it.
#if defined(PROTOLITH_KERNELS_CPU_WINDOW_WINOGRAD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PROTOLITH_KERNELS_CPU_WINDOW_WINOGRAD_INL_H_
#undef PROTOLITH_KERNELS_CPU_WINDOW_WINOGRAD_INL_H_
#else
#define PROTOLITH_KERNELS_CPU_WINDOW_WINOGRAD_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/padded_planes.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/window_row.h"
#include "kernels/cpu/winograd_transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {

/// B^T d of four vectors.
HWY_INLINE void transform_window_inputs(const ChannelVector* in, ChannelVector* out) {
  out[0] = hn::Sub(in[0], in[2]);
  out[1] = hn::Add(in[1], in[2]);
  out[2] = hn::Sub(in[2], in[1]);
  out[3] = hn::Sub(in[1], in[3]);
}

/// row: B^T d B of the 4x4 patches d around the p-th row of windows.
HWY_INLINE void transform_window_row(const PaddedPlanes& planes, std::int64_t p, WindowRow& row) {
  const ChannelTag d;
  for (std::int64_t c = 0; c < planes.channels; ++c) {
    for (std::int64_t q = 0; q < row.windows(); q += static_cast<std::int64_t>(hn::Lanes(d))) {
      ChannelVector half[4][4];  // [i][column]
      unrolled<4>([&](auto i) PROTOLITH_LAMBDA {
        const float* const pixels = planes.plane(c) + (2 * p + i) * planes.pitch + 2 * q;
        hn::LoadInterleaved2(d, pixels, half[i][0], half[i][1]);
        hn::LoadInterleaved2(d, pixels + 2, half[i][2], half[i][3]);
      });
      unrolled<4>([&](auto j) PROTOLITH_LAMBDA {
        const ChannelVector in[4] = {half[0][j], half[1][j], half[2][j], half[3][j]};
        ChannelVector out[4];
        transform_window_inputs(in, out);
        unrolled<4>([&](auto i) PROTOLITH_LAMBDA { half[i][j] = out[i]; });
      });
      unrolled<4>([&](auto i) PROTOLITH_LAMBDA {
        ChannelVector out[4];
        transform_window_inputs(half[i], out);
        unrolled<4>([&](auto j)
                        PROTOLITH_LAMBDA { hn::StoreU(out[j], d, row.at(c, 4 * i + j) + q); });
      });
    }
  }
}

/// The four outputs of a window, for a vector of filters, summed over channels.
class WindowSums {
 public:
  /// start: what every output begins with.
  HWY_INLINE explicit WindowSums(ChannelVector start) {
    const auto zero = hn::Zero(ChannelTag());
    unrolled<2>([&](auto r) PROTOLITH_LAMBDA {
      sums_[r][0] = sums_[r][2] = sums_[r][3] = zero;
      sums_[r][1] = start;  // A^T has it in both outputs of a row
    });
  }
  /// inputs: a window's elements, `stride` floats apart; taps [16].
  HWY_INLINE void add(const float* inputs, std::int64_t stride, const ChannelVector* taps) {
    const ChannelTag d;
    unrolled<4>([&](auto j) PROTOLITH_LAMBDA {
      const auto input = [&](int i)
                             PROTOLITH_LAMBDA { return hn::Set(d, inputs[(4 * i + j) * stride]); };
      const ChannelVector one = input(1);
      const ChannelVector two = input(2);
      sums_[0][j] = hn::MulAdd(input(0), taps[j], sums_[0][j]);
      sums_[0][j] = hn::MulAdd(one, taps[4 + j], sums_[0][j]);
      sums_[0][j] = hn::MulAdd(two, taps[8 + j], sums_[0][j]);
      sums_[1][j] = hn::MulAdd(one, taps[4 + j], sums_[1][j]);
      sums_[1][j] = hn::NegMulAdd(two, taps[8 + j], sums_[1][j]);
      sums_[1][j] = hn::NegMulAdd(input(3), taps[12 + j], sums_[1][j]);
    });
  }
  /// In the order of the winners' places.
  HWY_INLINE void outputs(ChannelVector* out) const {
    unrolled<2>([&](auto r) PROTOLITH_LAMBDA {
      const ChannelVector* const m = sums_[r];
      out[2 * r] = hn::Add(hn::Add(m[0], m[1]), m[2]);
      out[2 * r + 1] = hn::Sub(hn::Sub(m[1], m[2]), m[3]);
    });
  }

 private:
  ChannelVector sums_[2][4];  ///< [output row][j]
};

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
