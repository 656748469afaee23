#include "kernels/cpu/first_block.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/first_block.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/padded_planes.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pool_window-inl.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/streamed.h"
#include "kernels/cpu/window_winograd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

using Vector = hn::Vec<ChannelTag>;

/// One image's products of rows r of channel c with kOthers rows r2, r2 + 1 ... of channel c2
/// (pointers to the first of each), for the 3x3 pairs of columns; and the sums of the former's
/// columns. A vector of the former meets all others while it is in registers.
template <int kOthers>
HWY_INLINE void row_products(const float* rows, const float* others, const PaddedPlanes& planes,
                             double (*products)[9], double* sums) {
  const ChannelTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  Vector acc[9 * kOthers];
  Vector sum[3];
  unrolled<9 * kOthers>([&](auto i) PROTOLITH_LAMBDA { acc[i] = hn::Zero(d); });
  unrolled<3>([&](auto s) PROTOLITH_LAMBDA { sum[s] = hn::Zero(d); });
  for (std::int64_t y = 0; y < planes.height; ++y) {
    const float* const row = rows + y * planes.pitch;
    const float* const other = others + y * planes.pitch;
    for (std::int64_t x = 0; x < planes.width; x += lanes) {
      const auto inside = hn::FirstN(d, static_cast<std::size_t>(planes.width - x));
      Vector a[3];
      unrolled<3>([&](auto s) PROTOLITH_LAMBDA {
        a[s] = hn::IfThenElseZero(inside, hn::LoadU(d, row + x + s));
        sum[s] = hn::Add(sum[s], a[s]);
      });
      unrolled<3 * kOthers>([&](auto n) PROTOLITH_LAMBDA {
        constexpr int kOther = decltype(n)::value / 3, kColumn = decltype(n)::value % 3;
        const Vector b = hn::LoadU(d, other + kOther * planes.pitch + x + kColumn);
        unrolled<3>([&](auto s) PROTOLITH_LAMBDA {
          Vector& product = acc[9 * kOther + 3 * s + kColumn];
          product = hn::MulAdd(a[s], b, product);
        });
      });
    }
  }
  const auto total = [&](Vector v) PROTOLITH_LAMBDA {
    return static_cast<double>(hn::GetLane(hn::SumOfLanes(d, v)));
  };
  unrolled<9 * kOthers>([&](auto i) PROTOLITH_LAMBDA { products[i / 9][i % 9] = total(acc[i]); });
  unrolled<3>([&](auto s) PROTOLITH_LAMBDA { sums[s] = total(sum[s]); });
}

/// Adds one image's patches to sum [9 C] and to the upper triangle, in the order of (channel, row),
/// of gram [9 C, 9 C].
void add_patches(const PaddedPlanes& planes, double* sum, double* gram) {
  const std::int64_t channels = planes.channels;
  const auto tap = [&](std::int64_t plane_row, std::int64_t s) {
    return (plane_row % 3 * 3 + s) * channels + plane_row / 3;
  };
  const auto rows = [&](std::int64_t plane_row) {
    return planes.plane(plane_row / 3) + plane_row % 3 * planes.pitch;
  };
  for (std::int64_t i = 0; i < 3 * channels; ++i) {
    double products[3][9];
    double sums[3];
    for (std::int64_t j = i; j < 3 * channels; j += 3 - j % 3) {
      switch (j % 3) {
        case 0:
          row_products<3>(rows(i), rows(j), planes, products, sums);
          break;
        case 1:
          row_products<2>(rows(i), rows(j), planes, products, sums);
          break;
        default:
          row_products<1>(rows(i), rows(j), planes, products, sums);
      }
      for (std::int64_t other = j; other < j + 3 - j % 3; ++other) {
        for (std::int64_t k = 0; k < 9; ++k) {
          gram[tap(i, k / 3) * 9 * channels + tap(other, k % 3)] += products[other - j][k];
        }
      }
    }
    for (std::int64_t s = 0; s < 3; ++s) sum[tap(i, s)] += sums[s];
  }
}

/// relu and maximum of a window's four outputs.
HWY_INLINE void store_window(const Vector* outputs, float* y, std::uint8_t* winner, bool streamed) {
  const ChannelTag d;
  using Winner = WinnerBytes<ChannelTag>;
  Vector best = relu(d, outputs[0]);
  auto places = hn::Zero(Winner::Places());
  for (int place = 1; place < 4; ++place) {
    const auto lead = takes_lead(outputs[place], best);
    best = hn::IfThenElse(lead, outputs[place], best);
    places = Winner::replace(lead, place, places);
  }
  store(best, d, y, streamed);
  if (winner != nullptr) Winner::store(places, winner);
}

/// Where a row of windows goes, K channels each; winner may be null.
struct WindowTarget {
  float* y;
  std::uint8_t* winner;
  bool streamed;  ///< y

  HWY_INLINE void store(const Vector* outputs, std::int64_t at) const {
    store_window(outputs, y + at, winner == nullptr ? nullptr : winner + at, streamed);
  }
  /// The same from element k on.
  WindowTarget from(std::int64_t k) const {
    return {y + k, winner == nullptr ? nullptr : winner + k, streamed};
  }
};

/// A row of windows of one channel, for a vector of filters' taps, which stay in registers.
HWY_INLINE void one_channel_row(const WindowRow& row, std::int64_t width, const float* filters,
                                std::int64_t count, Vector start, const WindowTarget& target) {
  const ChannelTag d;
  Vector taps[16];
  unrolled<16>([&](auto t) PROTOLITH_LAMBDA { taps[t] = hn::LoadU(d, filters + t * count); });
  for (std::int64_t q = 0; q < width; ++q) {
    Vector outputs[4];
    one_channel_outputs(row.at(0, 0) + q, row.windows(), taps, start, outputs);
    target.store(outputs, q * count);
  }
}

/// The same of several channels, for all filters.
HWY_INLINE void several_channel_row(const WindowRow& row, std::int64_t width, std::int64_t channels,
                                    const float* filters, const float* shift, std::int64_t count,
                                    const WindowTarget& target) {
  const ChannelTag d;
  const auto windows = [&](std::int64_t q, auto together) PROTOLITH_LAMBDA {
    for (std::int64_t k = 0; k < count; k += static_cast<std::int64_t>(hn::Lanes(d))) {
      Vector outputs[together][4];
      several_channel_outputs<together>(row.at(0, 0) + q, row.windows(), filters + k, count,
                                        channels, hn::LoadU(d, shift + k), outputs);
      unrolled<together>([&](auto w)
                             PROTOLITH_LAMBDA { target.store(outputs[w], (q + w) * count + k); });
    }
  };
  std::int64_t q = 0;
  for (; q + kWindowsTogether <= width; q += kWindowsTogether) {
    windows(q, std::integral_constant<int, kWindowsTogether>());
  }
  for (; q < width; ++q) windows(q, std::integral_constant<int, 1>());
}

/// One image: filters [C,16,K] in Winograd's domain, with batch norm in them and in shift [K].
void forward_one(const PaddedPlanes& planes, WindowRow& row, const float* filters,
                 const float* shift, std::int64_t count, float* y, std::uint8_t* winner,
                 bool streamed) {
  const std::int64_t width = planes.width / 2;
  for (std::int64_t p = 0; p < planes.height / 2; ++p) {
    transform_window_row(planes, p, row);
    const std::int64_t first = p * width * count;
    const WindowTarget target{y + first, winner == nullptr ? nullptr : winner + first, streamed};
    if (planes.channels > 1) {
      several_channel_row(row, width, planes.channels, filters, shift, count, target);
      continue;
    }
    for (std::int64_t k = 0; k < count; k += static_cast<std::int64_t>(hn::Lanes(ChannelTag()))) {
      one_channel_row(row, width, filters + k, count, hn::LoadU(ChannelTag(), shift + k),
                      target.from(k));
    }
  }
  hwy::FlushStream();
}

/// Chooses among a tap's inputs at the four places of a window (PixelSquares) those at the places
/// of a vector of winners.
class ChosenInputs {
 public:
#if HWY_TARGET == HWY_SCALAR
  HWY_INLINE explicit ChosenInputs(const std::uint8_t* winner) : place_(*winner) {}
  HWY_INLINE Vector operator()(const float* square) const {
    return hn::Set(ChannelTag(), square[place_]);
  }

 private:
  std::uint8_t place_;
#else
  HWY_INLINE explicit ChosenInputs(const std::uint8_t* winner) {
    const hn::Rebind<std::int32_t, ChannelTag> d;
    const auto places = WinnerBytes<ChannelTag>::load(winner);
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

/// A row of windows of one image: the gradients that reach its pool's winners, K channels each.
struct WindowGradients {
  const float* y;
  const float* dy;
  const std::uint8_t* winner;
  std::int64_t width, filters;

  HWY_INLINE Vector at(std::int64_t element) const {
    const ChannelTag d;
    return relu_gradient(d, hn::LoadU(d, y + element), hn::LoadU(d, dy + element));
  }
  /// Sends for the row below: the passes over this row share that out, memory being slower than
  /// the first of them.
  HWY_INLINE void prefetch_next(std::int64_t element, std::int64_t part, std::int64_t parts) const {
    const std::int64_t next = element + width * filters;
    if (part == 0) hwy::Prefetch(y + next);
    if (part == 1 % parts) hwy::Prefetch(dy + next);
    if (part == 2 % parts) hwy::Prefetch(winner + next);
  }
};

/// Adds the part of G that a row of windows has of channel c of `channels`, for the vector of
/// filters at k, to sums [9, K], and of the first channel that of dbeta to `all` [K]. A window's
/// gradient meets one input for each tap, the one at the winner's place: that is looked up among
/// the tap's inputs at all four places. corner: of the row's first window in the squares.
HWY_INLINE void add_window_row(const WindowGradients& row, const PixelSquares& squares,
                               const float* corner, std::int64_t c, std::int64_t channels,
                               std::int64_t k, float* sums, float* all) {
  const ChannelTag d;
  Vector acc[9];
  unrolled<9>([&](auto t) PROTOLITH_LAMBDA { acc[t] = hn::LoadU(d, sums + t * row.filters + k); });
  Vector total = hn::LoadU(d, all + k);
  for (std::int64_t q = 0; q < row.width; ++q, corner += squares.offset(0, 2)) {
    const std::int64_t at = q * row.filters + k;
    row.prefetch_next(at, c, channels);
    const Vector g = row.at(at);
    const ChosenInputs choose(row.winner + at);
    total = hn::Add(total, g);
    unrolled<9>([&](auto t) PROTOLITH_LAMBDA {
      acc[t] = hn::MulAdd(choose(corner + squares.offset(t / 3, t % 3)), g, acc[t]);
    });
  }
  unrolled<9>([&](auto t) PROTOLITH_LAMBDA { hn::StoreU(acc[t], d, sums + t * row.filters + k); });
  if (c == 0) hn::StoreU(total, d, all + k);
}

/// One image's G to sums [C, 9, K], and its dbeta [K] after them. Its gradients are read once, for
/// all channels' squares.
void backward_one(const std::vector<PixelSquares>& squares, const FirstBlockBackward& in,
                  const ConvolutionExtents& e, std::int64_t image, float* sums) {
  float* const all = sums + e.channels * 9 * e.filters;
  std::fill(sums, all + e.filters, 0.0F);
  const std::int64_t width = e.width / 2;
  for (std::int64_t p = 0; p < e.height / 2; ++p) {
    const std::int64_t first = (image * (e.height / 2) + p) * width * e.filters;
    const WindowGradients row{in.y + first, in.dy + first, in.winner + first, width, e.filters};
    for (std::int64_t c = 0; c < e.channels; ++c) {
      const PixelSquares& own = squares[static_cast<std::size_t>(c)];
      float* const taps = sums + c * 9 * e.filters;
      for (std::int64_t k = 0; k < e.filters;
           k += static_cast<std::int64_t>(hn::Lanes(ChannelTag()))) {
        add_window_row(row, own, own.at(2 * p, 0), c, e.channels, k, taps, all);
      }
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(add_patches);
HWY_EXPORT(forward_one);
HWY_EXPORT(backward_one);

/// Calls f(range, image, planes) for all images, each range's in order.
template <class F>
void for_padded_images(const float* x, const ConvolutionExtents& e, const F& f) {
  parallel_ranges(e.images, 1, [&](std::int64_t begin, std::int64_t end, int range) {
    PaddedPlanes planes(e);
    for (std::int64_t image = begin; image < end; ++image) {
      planes.fill(x + image * e.height * e.width * e.channels);
      f(range, image, planes);
    }
  });
}

/// Arrays of `size` doubles for every range, to be added in their order.
class RangeSums {
 public:
  RangeSums(std::int64_t images, std::int64_t size)
      : size_(static_cast<std::size_t>(size)),
        values_(static_cast<std::size_t>(range_count(images, 1)) * size_, 0.0) {}

  double* range(int index) { return values_.data() + static_cast<std::size_t>(index) * size_; }
  std::vector<double> total() const {
    std::vector<double> sums(size_, 0.0);
    for (std::size_t i = 0; i < values_.size(); ++i) sums[i % size_] += values_[i];
    return sums;
  }

 private:
  std::size_t size_;
  std::vector<double> values_;
};

/// weight [K,3,3,C] -> filters [C,16,K] in Winograd's domain, times scale[k].
std::vector<float> window_filters(const float* weight, const float* scale,
                                  const ConvolutionExtents& e) {
  std::vector<float> filters(static_cast<std::size_t>(16 * e.channels * e.filters));
  for (std::int64_t k = 0; k < e.filters; ++k) {
    for (std::int64_t c = 0; c < e.channels; ++c) {
      const auto taps = window_filter(weight + k * 9 * e.channels + c, e.channels, scale[k]);
      for (std::size_t t = 0; t < taps.size(); ++t) {
        filters[(static_cast<std::size_t>(c) * 16 + t) * static_cast<std::size_t>(e.filters) +
                static_cast<std::size_t>(k)] = taps[t];
      }
    }
  }
  return filters;
}

/// One filter and the matrix of the patches.
class FilteredPatches {
 public:
  FilteredPatches(const PatchStatistics& patches, const float* filter)
      : patches_(patches), filter_(filter, filter + patches.sum.size()) {}

  double dot(const std::vector<double>& values) const {
    double sum = 0.0;
    for (std::size_t i = 0; i < filter_.size(); ++i) sum += filter_[i] * values[i];
    return sum;
  }
  /// Q w.
  std::vector<double> gram_product() const {
    const std::size_t taps = filter_.size();
    std::vector<double> product(taps, 0.0);
    for (std::size_t i = 0; i < taps; ++i) {
      for (std::size_t j = 0; j < taps; ++j) {
        product[i] += patches_.gram[i * taps + j] * filter_[j];
      }
    }
    return product;
  }

 private:
  const PatchStatistics& patches_;
  std::vector<double> filter_;
};
}  // namespace

PatchStatistics patch_statistics(const float* x, const ConvolutionExtents& e) {
  const std::int64_t taps = 9 * e.channels;
  RangeSums sums(e.images, taps + taps * taps);
  for_padded_images(x, e, [&](int range, std::int64_t, const PaddedPlanes& planes) {
    HWY_DYNAMIC_DISPATCH(add_patches)(planes, sums.range(range), sums.range(range) + taps);
  });
  const std::vector<double> total = sums.total();
  PatchStatistics patches;
  patches.count = static_cast<double>(e.pixels());
  patches.sum.assign(total.begin(), total.begin() + taps);
  patches.gram.assign(total.begin() + taps, total.end());
  const auto plane_row = [&](std::int64_t tap) {
    return tap % e.channels * 3 + tap / e.channels / 3;
  };
  for (std::int64_t i = 0; i < taps; ++i) {
    for (std::int64_t j = 0; j < taps; ++j) {
      if (plane_row(i) > plane_row(j)) {
        patches.gram[static_cast<std::size_t>(i * taps + j)] =
            patches.gram[static_cast<std::size_t>(j * taps + i)];
      }
    }
  }
  return patches;
}

void patch_moments(const PatchStatistics& patches, const float* weight, std::int64_t filters,
                   float* mean, float* variance) {
  const std::size_t taps = patches.sum.size();
  for (std::int64_t k = 0; k < filters; ++k) {
    const FilteredPatches filtered(patches, weight + k * static_cast<std::int64_t>(taps));
    const double average = filtered.dot(patches.sum) / patches.count;
    const double spread = filtered.dot(filtered.gram_product()) / patches.count - average * average;
    mean[k] = static_cast<float>(average);
    variance[k] = static_cast<float>(spread < 0.0 ? 0.0 : spread);  // NaN stays NaN
    // Outputs that overflow must not pass for a constant, which 1 / infinity would make of them.
    if (std::isinf(variance[k])) variance[k] = std::numeric_limits<float>::quiet_NaN();
  }
}

void first_block_forward(const float* x, const float* weight, const float* scale,
                         const float* shift, float* y, std::uint8_t* winner,
                         const ConvolutionExtents& e) {
  const std::vector<float> filters = window_filters(weight, scale, e);
  std::vector<WindowRow> rows(static_cast<std::size_t>(range_count(e.images, 1)), WindowRow(e));
  const std::int64_t outputs = (e.height / 2) * (e.width / 2) * e.filters;
  const bool streamed = is_streamed(y, e.images * outputs);
  for_padded_images(x, e, [&](int range, std::int64_t image, const PaddedPlanes& planes) {
    HWY_DYNAMIC_DISPATCH(forward_one)
    (planes, rows[static_cast<std::size_t>(range)], filters.data(), shift, e.filters,
     y + image * outputs, winner == nullptr ? nullptr : winner + image * outputs, streamed);
  });
}

void first_block_backward(const FirstBlockBackward& inputs, const PatchStatistics& patches,
                          float* dweight, float* dgamma, float* dbeta,
                          const ConvolutionExtents& e) {
  const std::int64_t taps = 9 * e.channels;
  const std::int64_t size = (taps + 1) * e.filters;
  RangeSums sums(e.images, size);
  const std::vector<PixelSquares> image_squares(static_cast<std::size_t>(e.channels),
                                                PixelSquares(e));
  const auto ranges = static_cast<std::size_t>(range_count(e.images, 1));
  std::vector<std::vector<PixelSquares>> squares(ranges, image_squares);
  std::vector<float> image_sums(ranges * static_cast<std::size_t>(size));
  for_padded_images(inputs.x, e, [&](int range, std::int64_t image, const PaddedPlanes& planes) {
    std::vector<PixelSquares>& own = squares[static_cast<std::size_t>(range)];
    for (std::int64_t c = 0; c < e.channels; ++c) {
      own[static_cast<std::size_t>(c)].fill(planes, c);
    }
    float* const own_sums = image_sums.data() + range * size;
    HWY_DYNAMIC_DISPATCH(backward_one)(own, inputs, e, image, own_sums);
    double* const range_sums = sums.range(range);
    for (std::int64_t i = 0; i < size; ++i) range_sums[i] += static_cast<double>(own_sums[i]);
  });
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
