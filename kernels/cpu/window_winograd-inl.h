// Winograd's F(2x2,3x3) on the 2x2 windows of a pool, for images of few channels, once per
// instruction set: with the points 0, 1, -1 and infinity
//   B^T d = (d0 - d2, d1 + d2, d2 - d1, d1 - d3),  A^T m = (m0 + m1 + m2, m1 - m2 - m3).
// Inputs go into the domain a row of windows at a time, vectors along the row, once for all
// filters; filters are vectors of channels. A window costs, against 36 multiply-adds a channel of
// direct sums, of one channel 24 (A^T along the rows is in them) and 8 additions; of several 16 a
// channel and 24 additions. An infinity or a NaN in an input
// reaches the outputs whose 3x3 patches see it, and no others; an infinity may become a NaN.
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

/// B^T d B of the 4x4 patches d of a vector of windows, elements WindowRow::kSegment floats apart.
HWY_INLINE void transform_windows(const float* pixels, std::int64_t pitch, float* elements) {
  const ChannelTag d;
  ChannelVector half[4][4];  // [i][column]
  unrolled<4>([&](auto i) PROTOLITH_LAMBDA {
    hn::LoadInterleaved2(d, pixels + i * pitch, half[i][0], half[i][1]);
    hn::LoadInterleaved2(d, pixels + i * pitch + 2, half[i][2], half[i][3]);
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
    unrolled<4>([&](auto j) PROTOLITH_LAMBDA {
      hn::StoreU(out[j], d, elements + (4 * i + j) * WindowRow::kSegment);
    });
  });
}

/// row: B^T d B of the 4x4 patches d around the p-th row of windows.
HWY_INLINE void transform_window_row(const PaddedPlanes& planes, std::int64_t p, WindowRow& row) {
  const ChannelTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t segment = 0; segment < row.segments(); ++segment) {
    for (std::int64_t c = 0; c < planes.channels; ++c) {
      const float* const corner =
          planes.plane(c) + 2 * p * planes.pitch + 2 * segment * WindowRow::kSegment;
      for (std::int64_t q = 0; q < row.windows(segment); q += lanes) {
        transform_windows(corner + 2 * q, planes.pitch, row.at(segment, c) + q);
      }
    }
  }
}

/// A^T along the columns of [2][4]: the outputs in the order of the winners' places.
HWY_INLINE void window_outputs(const ChannelVector (*rows)[4], ChannelVector* out) {
  unrolled<2>([&](auto r) PROTOLITH_LAMBDA {
    const ChannelVector* const m = rows[r];
    out[2 * r] = hn::Add(hn::Add(m[0], m[1]), m[2]);
    out[2 * r + 1] = hn::Sub(hn::Sub(m[1], m[2]), m[3]);
  });
}

/// The four outputs of a window of one channel, for a vector of filters' taps [16]. inputs: the
/// window's elements, as WindowRow has them; start: what every output begins with.
HWY_INLINE void one_channel_outputs(const float* inputs, const ChannelVector* taps,
                                    ChannelVector start, ChannelVector* out) {
  const ChannelTag d;
  ChannelVector rows[2][4];
  unrolled<4>([&](auto j) PROTOLITH_LAMBDA {
    const auto input = [&](int i) PROTOLITH_LAMBDA {
      return hn::Set(d, inputs[(4 * i + j) * WindowRow::kSegment]);
    };
    // A^T has column 1 in both outputs of a row.
    const ChannelVector first = j == 1 ? start : hn::Zero(d);
    const ChannelVector one = input(1);
    const ChannelVector two = input(2);
    rows[0][j] = hn::MulAdd(input(0), taps[j], first);
    rows[0][j] = hn::MulAdd(one, taps[4 + j], rows[0][j]);
    rows[0][j] = hn::MulAdd(two, taps[8 + j], rows[0][j]);
    rows[1][j] = hn::MulAdd(one, taps[4 + j], first);
    rows[1][j] = hn::NegMulAdd(two, taps[8 + j], rows[1][j]);
    rows[1][j] = hn::NegMulAdd(input(3), taps[12 + j], rows[1][j]);
  });
  window_outputs(rows, out);
}

/// Windows of several channels that are computed together, so that a tap is loaded once for all of
/// them: their sums and outputs fill most of 32 registers, or of 16.
inline constexpr int kWindowsTogether = kManyRegisters ? 3 : 1;

/// Adds column j of A^T m, upper and lower, to the outputs of a window.
template <class J>
HWY_INLINE void add_column(J j, ChannelVector upper, ChannelVector lower, ChannelVector* out) {
  if constexpr (j == 0) {
    out[0] = upper;
    out[2] = lower;
  } else if constexpr (j == 1) {
    out[0] = hn::Add(out[0], upper);
    out[2] = hn::Add(out[2], lower);
    out[1] = upper;
    out[3] = lower;
  } else {
    if constexpr (j == 2) {
      out[0] = hn::Add(out[0], upper);
      out[2] = hn::Add(out[2], lower);
    }
    out[1] = hn::Sub(out[1], upper);
    out[3] = hn::Sub(out[3], lower);
  }
}

/// The same for kWindows windows of several channels, out [kWindows,4], products being summed over
/// the channels before A^T, a column of elements at a time. inputs: of the first window and channel
/// of a segment of a WindowRow; taps: of a vector of filters.
template <int kWindows, class Channels>
HWY_INLINE void several_channel_outputs(const float* inputs, const float* taps, Channels channels,
                                        ChannelVector start, ChannelVector (*out)[4]) {
  const ChannelTag d;
  constexpr std::int64_t kStride = WindowRow::kSegment;
  unrolled<4>([&](auto j) PROTOLITH_LAMBDA {
    ChannelVector sums[4][kWindows];
    const auto multiply = [&](std::int64_t c, auto first) PROTOLITH_LAMBDA {
      const float* const input = inputs + (c * 16 + j) * kStride;
      const float* const tap = taps + (c * 16 + j) * kTapPitch;
      unrolled<4>([&](auto i) PROTOLITH_LAMBDA {
        const ChannelVector factor = in_register(hn::LoadU(d, tap + i * 4 * kTapPitch));
        unrolled<kWindows>([&](auto w) PROTOLITH_LAMBDA {
          const ChannelVector element = hn::Set(d, input[i * 4 * kStride + w]);
          if constexpr (!first) {
            sums[i][w] = hn::MulAdd(element, factor, sums[i][w]);
          } else if constexpr (j == 1 && i == 0) {  // A^T has element (0, 1) in both upper outputs
            sums[i][w] = hn::MulAdd(element, factor, start);
          } else if constexpr (j == 1 && i == 3) {  // and (3, 1), negative, in both lower ones
            sums[i][w] = hn::MulSub(element, factor, start);
          } else {
            sums[i][w] = hn::Mul(element, factor);
          }
        });
      });
    };
    multiply(0, std::true_type());
    for (std::int64_t c = 1; c < channels; ++c) multiply(c, std::false_type());
    unrolled<kWindows>([&](auto w) PROTOLITH_LAMBDA {
      add_column(j, hn::Add(hn::Add(sums[0][w], sums[1][w]), sums[2][w]),
                 hn::Sub(hn::Sub(sums[1][w], sums[2][w]), sums[3][w]), out[w]);
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
