#include "kernels/cpu/first_block.h"

#include <algorithm>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/first_block.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/padded_planes.h"
#include "kernels/cpu/pool_window-inl.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/streamed.h"
#include "kernels/cpu/window_winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

using Vector = hn::Vec<ChannelTag>;

/// Where a row of windows goes, K channels each; winner is null unless kKeepWinner.
template <bool kKeepWinner>
struct WindowTarget {
  float* y;
  std::uint8_t* winner;
  bool streamed;  ///< y

  /// relu and maximum of a window's four outputs, to element `at`.
  HWY_INLINE void store_window(const Vector* outputs, std::int64_t at) const {
    const ChannelTag d;
    using Winner = WinnerBytes<ChannelTag>;
    Vector best = outputs[0];
    auto places = hn::Zero(typename Winner::Places());
    const auto consider = [&](std::uint8_t place) PROTOLITH_LAMBDA {
      const auto lead = takes_lead(outputs[place], best);
      best = hn::IfThenElse(lead, outputs[place], best);
      places = Winner::replace(lead, place, places);
    };
    consider(1);
    consider(2);
    consider(3);
    const auto inactive = hn::Le(best, hn::Zero(d));
    store(hn::IfThenZeroElse(inactive, best), d, y + at, streamed);
    if constexpr (kKeepWinner) {
      Winner::store(Winner::replace(inactive, kNoWinner, places), winner + at);
    }
  }
  /// The same from element k on.
  WindowTarget from(std::int64_t k) const {
    return {y + k, kKeepWinner ? winner + k : nullptr, streamed};
  }
};

/// Windows of one channel, for a vector of filters' taps, which stay in registers.
template <class Target>
HWY_INLINE void one_channel_windows(const float* inputs, std::int64_t windows, const float* filters,
                                    std::int64_t count, Vector start, const Target& target) {
  const ChannelTag d;
  Vector taps[16];
  unrolled<16>([&](auto t) PROTOLITH_LAMBDA { taps[t] = hn::LoadU(d, filters + t * kTapPitch); });
  for (std::int64_t q = 0; q < windows; ++q) {
    Vector outputs[4];
    one_channel_outputs(inputs + q, taps, start, outputs);
    target.store_window(outputs, q * count);
  }
}

/// The same of several channels, for all filters.
template <class Channels, class Target>
HWY_INLINE void several_channel_windows(const float* inputs, std::int64_t windows,
                                        Channels channels, const float* filters, const float* shift,
                                        std::int64_t count, const Target& target) {
  const ChannelTag d;
  const auto some = [&](std::int64_t q, auto together) PROTOLITH_LAMBDA {
    for (std::int64_t k = 0; k < count; k += static_cast<std::int64_t>(hn::Lanes(d))) {
      Vector outputs[together][4];
      several_channel_outputs<together>(inputs + q, filters + tap_offset(k, channels), channels,
                                        hn::LoadU(d, shift + k), outputs);
      unrolled<together>(
          [&](auto w) PROTOLITH_LAMBDA { target.store_window(outputs[w], (q + w) * count + k); });
    }
  };
  std::int64_t q = 0;
  for (; q + kWindowsTogether <= windows; q += kWindowsTogether) {
    some(q, std::integral_constant<int, kWindowsTogether>());
  }
  for (; q < windows; ++q) some(q, std::integral_constant<int, 1>());
}

/// One image: filters in Winograd's domain (window_filters), with batch norm in them and in
/// shift [K].
template <class Target>
HWY_INLINE void forward_image(const PaddedPlanes& planes, WindowRow& row, const float* filters,
                              const float* shift, std::int64_t count, const Target& image) {
  const ChannelTag d;
  std::int64_t at = 0;
  for (std::int64_t p = 0; p < planes.height / 2; ++p) {
    transform_window_row(planes, p, row);
    for (std::int64_t segment = 0; segment < row.segments(); ++segment) {
      const float* const inputs = row.at(segment, 0);
      const std::int64_t windows = row.windows(segment);
      const Target target = image.from(at);
      at += windows * count;
      if (planes.channels == 1) {
        for (std::int64_t k = 0; k < count; k += static_cast<std::int64_t>(hn::Lanes(d))) {
          one_channel_windows(inputs, windows, filters + tap_offset(k, 1), count,
                              hn::LoadU(d, shift + k), target.from(k));
        }
      } else if (planes.channels == 3) {  // a constant, so that the loop over channels unrolls
        several_channel_windows(inputs, windows, std::integral_constant<std::int64_t, 3>(), filters,
                                shift, count, target);
      } else {
        several_channel_windows(inputs, windows, planes.channels, filters, shift, count, target);
      }
    }
  }
  hwy::FlushStream();
}

/// The same with or, if `winner` is null, without winners.
void forward_one(const PaddedPlanes& planes, WindowRow& row, const float* filters,
                 const float* shift, std::int64_t count, float* y, std::uint8_t* winner,
                 bool streamed) {
  if (winner != nullptr) {
    forward_image(planes, row, filters, shift, count, WindowTarget<true>{y, winner, streamed});
  } else {
    forward_image(planes, row, filters, shift, count, WindowTarget<false>{y, nullptr, streamed});
  }
}

using WinnerTag = hn::RebindToSigned<ChannelTag>;

/// Chooses among a tap's inputs at the four places of a window (PixelSquares) those at the places
/// of a vector of winners; for kNoWinner one of them or 0.
class ChosenInputs {
 public:
#if HWY_TARGET == HWY_SCALAR
  HWY_INLINE explicit ChosenInputs(hn::Vec<WinnerTag> places) : place_(hn::GetLane(places) & 3) {}
  HWY_INLINE Vector operator()(const float* square) const {
    return hn::Set(ChannelTag(), square[place_]);
  }

 private:
  std::int32_t place_;
#else
  HWY_INLINE explicit ChosenInputs(hn::Vec<WinnerTag> places) {
    const WinnerTag d;
    bytes_ = hn::BitCast(Bytes(),
                         hn::Add(hn::Mul(places, hn::Set(d, 0x04040404)), hn::Set(d, 0x03020100)));
  }
  HWY_INLINE Vector operator()(const float* square) const {
    const auto inputs = hn::BitCast(Bytes(), hn::LoadDup128(ChannelTag(), square));
    return hn::BitCast(ChannelTag(), hn::TableLookupBytes(inputs, bytes_));
  }

 private:
  using Bytes = hn::Repartition<std::uint8_t, ChannelTag>;
  hn::Vec<Bytes> bytes_;  ///< the places in a block of 4 floats, in bytes
#endif
};

/// A row of windows of one image: the gradients that reach the pool, and its winners, K channels
/// each.
struct WindowGradients {
  const float* dy;
  const std::uint8_t* winner;
  std::int64_t width, filters;

  HWY_INLINE hn::Vec<WinnerTag> places(std::int64_t element) const {
    return WinnerBytes<ChannelTag>::load_integers(winner + element);
  }
  /// 0 where there is no winner.
  HWY_INLINE Vector at(std::int64_t element, hn::Vec<WinnerTag> places) const {
    const ChannelTag d;
    const auto active = hn::Lt(places, hn::Set(WinnerTag(), kNoWinner));
    return hn::IfThenElseZero(hn::RebindMask(d, active), hn::LoadU(d, dy + element));
  }
  /// Sends for the row below.
  HWY_INLINE void prefetch_next(std::int64_t element) const {
    const std::int64_t next = element + width * filters;
    hwy::Prefetch(dy + next);
    hwy::Prefetch(winner + next);
  }
};

/// Channels whose sums, 9 vectors each, are in registers together.
inline constexpr int kChannelsTogether = kManyRegisters ? 3 : 1;

/// Adds the part of G that a row of windows has of kChannels channels, for the vector of filters at
/// k, to their sums [kChannels, 9, K]; and that of dbeta to `all` [K] unless it is null. A window's
/// gradient meets one input for each tap, the one at the winner's place: that is looked up among
/// the tap's inputs at all four places. corner: of the row's first window in the squares.
template <int kChannels>
HWY_INLINE void add_window_row(const WindowGradients& row, const PixelSquares& squares,
                               const float* corner, std::int64_t k, float* sums, float* all) {
  const ChannelTag d;
  Vector acc[9 * kChannels];
  unrolled<9 * kChannels>(
      [&](auto t) PROTOLITH_LAMBDA { acc[t] = hn::LoadU(d, sums + t * row.filters + k); });
  Vector total = hn::Zero(d);
  for (std::int64_t q = 0; q < row.width; ++q, corner += 2 * 4) {
    const std::int64_t at = q * row.filters + k;
    if (all != nullptr) row.prefetch_next(at);
    const auto places = row.places(at);
    const Vector g = row.at(at, places);
    const ChosenInputs choose(places);
    total = hn::Add(total, g);
    unrolled<9>([&](auto t) PROTOLITH_LAMBDA {
      const float* const tap = corner + t / 3 * squares.row_stride() + t % 3 * 4;
      unrolled<kChannels>([&](auto c) PROTOLITH_LAMBDA {
        const Vector input = choose(tap + c * squares.channel_stride());
        acc[9 * c + t] = hn::MulAdd(input, g, acc[9 * c + t]);
      });
    });
  }
  unrolled<9 * kChannels>(
      [&](auto t) PROTOLITH_LAMBDA { hn::StoreU(acc[t], d, sums + t * row.filters + k); });
  if (all != nullptr) hn::StoreU(hn::Add(hn::LoadU(d, all + k), total), d, all + k);
}

/// One image's G to sums [C, 9, K], and its dbeta [K] after them.
void backward_one(const PixelSquares& squares, const FirstBlockBackward& in,
                  const ConvolutionExtents& e, std::int64_t image, float* sums) {
  float* const all = sums + e.channels * 9 * e.filters;
  std::fill(sums, all + e.filters, 0.0F);
  const std::int64_t width = e.width / 2;
  for (std::int64_t p = 0; p < e.height / 2; ++p) {
    const std::int64_t first = (image * (e.height / 2) + p) * width * e.filters;
    const WindowGradients row{in.dy + first, in.winner + first, width, e.filters};
    const auto add = [&](std::int64_t c, auto channels) {
      for (std::int64_t k = 0; k < e.filters;
           k += static_cast<std::int64_t>(hn::Lanes(ChannelTag()))) {
        add_window_row<channels>(row, squares, squares.row(2 * p, c), k, sums + c * 9 * e.filters,
                                 c == 0 ? all : nullptr);
      }
    };
    std::int64_t c = 0;
    for (; c + kChannelsTogether <= e.channels; c += kChannelsTogether) {
      add(c, std::integral_constant<int, kChannelsTogether>());
    }
    for (; c < e.channels; ++c) add(c, std::integral_constant<int, 1>());
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(forward_one);
HWY_EXPORT(backward_one);

/// weight [K,3,3,C] -> filters [K / 16,C,16 elements,16] in Winograd's domain, times scale[k].
std::vector<float> window_filters(const float* weight, const float* scale,
                                  const ConvolutionExtents& e) {
  std::vector<float> filters(static_cast<std::size_t>(16 * e.channels * e.filters));
  for (std::int64_t k = 0; k < e.filters; ++k) {
    for (std::int64_t c = 0; c < e.channels; ++c) {
      const auto taps = window_filter(weight + k * 9 * e.channels + c, e.channels, scale[k]);
      float* const target = filters.data() + tap_offset(k, e.channels) + c * 16 * kTapPitch;
      for (std::size_t t = 0; t < taps.size(); ++t) {
        target[static_cast<std::int64_t>(t) * kTapPitch] = taps[t];
      }
    }
  }
  return filters;
}
}  // namespace

void first_block_forward(const float* x, const float* weight, const float* scale,
                         const float* shift, float* y, std::uint8_t* winner,
                         const ConvolutionExtents& e) {
  const std::vector<float> filters = window_filters(weight, scale, e);
  auto rows = one_per_worker<WindowRow>(e);
  const std::int64_t outputs = (e.height / 2) * (e.width / 2) * e.filters;
  const bool streamed = is_streamed(y, e.images * outputs);
  for_padded_images(x, e, [&](std::int64_t image, const PaddedPlanes& planes, int, int worker) {
    HWY_DYNAMIC_DISPATCH(forward_one)
    (planes, rows[static_cast<std::size_t>(worker)], filters.data(), shift, e.filters,
     y + image * outputs, winner == nullptr ? nullptr : winner + image * outputs, streamed);
  });
}

void first_block_backward(const FirstBlockBackward& inputs, const PatchStatistics& patches,
                          float* dweight, float* dgamma, float* dbeta,
                          const ConvolutionExtents& e) {
  const std::int64_t taps = 9 * e.channels;
  const std::int64_t size = (taps + 1) * e.filters;
  PartSums sums(e, size);
  auto squares = one_per_worker<PixelSquares>(e);
  std::vector<float> image_sums(squares.size() * static_cast<std::size_t>(size));
  const auto add_image = [&](std::int64_t image, const PaddedPlanes& planes, int part, int worker) {
    PixelSquares& own = squares[static_cast<std::size_t>(worker)];
    own.fill(planes);
    float* const own_sums = image_sums.data() + worker * size;
    HWY_DYNAMIC_DISPATCH(backward_one)(own, inputs, e, image, own_sums);
    double* const part_sums = sums.part(part);
    for (std::int64_t i = 0; i < size; ++i) part_sums[i] += static_cast<double>(own_sums[i]);
  };
  for_padded_images(inputs.x, e, add_image);
  const std::vector<double> total = sums.total();
  for (std::int64_t k = 0; k < e.filters; ++k) {
    std::vector<double> g;  // in the filter's order, [3,3,C]
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      const std::int64_t row = tap % e.channels * 9 + tap / e.channels;
      g.push_back(total[static_cast<std::size_t>(row * e.filters + k)]);
    }
    const double sum = total[static_cast<std::size_t>(taps * e.filters + k)];
    const double mean = static_cast<double>(inputs.mean[k]);
    const double inv_std = static_cast<double>(inputs.inv_std[k]);
    const FilteredPatches filtered(patches, inputs.weight + k * taps);
    const double weighted = inv_std * (filtered.dot(g) - mean * sum);
    dgamma[k] = static_cast<float>(weighted);
    dbeta[k] = static_cast<float>(sum);
    const std::vector<double> product = filtered.gram_product();
    for (std::size_t tap = 0; tap < g.size(); ++tap) {
      const double normalized = inv_std * (product[tap] - mean * patches.sum[tap]);
      const double through =
          g[tap] - (sum * patches.sum[tap] + weighted * normalized) / patches.count;
      dweight[k * taps + static_cast<std::int64_t>(tap)] =
          static_cast<float>(static_cast<double>(inputs.gamma[k]) * inv_std * through);
    }
  }
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
