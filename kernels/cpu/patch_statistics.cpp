#include "kernels/cpu/patch_statistics.h"

#include <cmath>
#include <limits>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/patch_statistics.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/padded_planes.h"
#include "kernels/cpu/patch_sums.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

using Tag = hn::ScalableTag<float>;
using Vector = hn::Vec<Tag>;
inline constexpr int kLags = PatchSums::kLags;

HWY_INLINE double lane_sum(Vector v) {
  return static_cast<double>(hn::GetLane(hn::SumOfLanes(Tag(), v)));
}

/// Rows of one channel, and those of another one, as they are and with zeros at their ends. Before
/// a row are two zeros, after it zeros for a vector and two more.
struct RowPairs {
  const float *row, *other, *inner_other;
  std::int64_t count, width, pitch;
};

/// Adds to sums[kRows][kLags] the products of rows with the other channel's at kLags distances, and
/// those of the kRows - 1 rows above the former.
template <int kRows>
HWY_INLINE void add_products(const RowPairs& pairs, double* sums) {
  const Tag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  Vector acc[kRows * kLags];
  unrolled<kRows * kLags>([&](auto i) PROTOLITH_LAMBDA { acc[i] = hn::Zero(d); });
  for (std::int64_t y = 0; y < pairs.count; ++y) {
    const float* const row = pairs.row + y * pairs.pitch;
    const float* const other = pairs.other + y * pairs.pitch;
    const float* const inner = pairs.inner_other + y * pairs.pitch;
    for (std::int64_t x = 0; x < pairs.width; x += lanes) {
      Vector own[kRows];
      unrolled<kRows>([&](auto r)
                          PROTOLITH_LAMBDA { own[r] = hn::LoadU(d, row + x - r * pairs.pitch); });
      unrolled<kLags>([&](auto l) PROTOLITH_LAMBDA {
        const float* const from = l == 2 ? inner + x : other + x + l - 2;
        const Vector neighbour = in_register(hn::LoadU(d, from));
        unrolled<kRows>([&](auto r) PROTOLITH_LAMBDA {
          acc[r * kLags + l] = hn::MulAdd(own[r], neighbour, acc[r * kLags + l]);
        });
      });
    }
  }
  unrolled<kRows * kLags>([&](auto i) PROTOLITH_LAMBDA { sums[i] += lane_sum(acc[i]); });
}

HWY_INLINE double row_sum(const float* row, std::int64_t pitch, std::int64_t count,
                          std::int64_t width) {
  const Tag d;
  Vector acc = hn::Zero(d);
  for (std::int64_t y = 0; y < count; ++y, row += pitch) {
    for (std::int64_t x = 0; x < width; x += static_cast<std::int64_t>(hn::Lanes(d))) {
      acc = hn::Add(acc, hn::LoadU(d, row + x));
    }
  }
  return lane_sum(acc);
}

/// Adds the products of two channels of an image.
HWY_INLINE void add_channels(const PaddedPlanes& image, const PatchPlanes& parts, std::int64_t c,
                             std::int64_t other, double* sums) {
  const PatchSums at(image.channels);
  const auto rows = [&](std::int64_t y, std::int64_t count) PROTOLITH_LAMBDA {
    return RowPairs{image.row(c, y), image.row(other, y), parts.inner_columns().row(other, y),
                    count,           image.width,         image.pitch};
  };
  const std::int64_t last = image.height - 1;
  add_products<1>(rows(0, 1), sums + at.row_products(0, c, other));
  add_products<3>(rows(1, image.height - 2), sums + at.products(c, other));
  double last_row[3 * kLags] = {};
  add_products<3>(rows(last, 1), last_row);
  for (int i = 0; i < 3 * kLags; ++i) {
    sums[i < kLags ? at.row_products(1, c, other) + i : at.products(c, other) + i] += last_row[i];
  }
  for (int end = 0; end < 2; ++end) {
    add_products<1>({parts.column(end, c), parts.column(end, other), parts.inner_column(end, other),
                     1, image.height, 0},
                    sums + at.column_products(end, c, other));
  }
}

/// Adds the sums of one image.
void add_image(const PaddedPlanes& image, const PatchPlanes& parts, double* sums) {
  const PatchSums at(image.channels);
  const PaddedPlanes& inner = parts.inner_columns();
  const std::int64_t last_row = image.height - 1, last_column = image.width - 1;
  const auto corner = [&](std::int64_t c, int row, int column) {
    return static_cast<double>(image.row(c, row * last_row)[column * last_column]);
  };
  for (std::int64_t c = 0; c < image.channels; ++c) {
    sums[at.sum(c)] += row_sum(inner.row(c, 1), image.pitch, image.height - 2, image.width);
    for (int end = 0; end < 2; ++end) {
      sums[at.row_sum(end, c)] += row_sum(inner.row(c, end * last_row), 0, 1, image.width);
      sums[at.column_sum(end, c)] += row_sum(parts.inner_column(end, c), 0, 1, image.height);
    }
    for (std::int64_t other = 0; other < image.channels; ++other) {
      add_channels(image, parts, c, other, sums);
    }
    for (int i = 0; i < 4; ++i) {
      sums[at.corner(i / 2, i % 2, c)] += corner(c, i / 2, i % 2);
      for (std::int64_t other = 0; other < image.channels; ++other) {
        sums[at.corner_product(i / 2, i % 2, c, other)] +=
            corner(c, i / 2, i % 2) * corner(other, i / 2, i % 2);
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
HWY_EXPORT(add_image);

/// A tap of a filter. One in the middle row meets all rows of an image, one above it not the last,
/// one below it not the first; so for columns.
struct Tap {
  std::int64_t channel, row, column;

  bool meets_row(int end) const { return row != (end == 0 ? 2 : 0); }
  bool meets_column(int end) const { return column != (end == 0 ? 2 : 0); }
};

Tap tap_of(std::int64_t index, std::int64_t channels) {
  return {index % channels, index / channels / 3, index / channels % 3};
}

/// Puts sums over patches together.
class PatchTotal {
 public:
  PatchTotal(std::vector<double> sums, std::int64_t channels)
      : sums_(std::move(sums)), at_(channels) {}

  double sum(const Tap& tap) const {
    double sum = value(at_.sum(tap.channel));
    for (int end = 0; end < 2; ++end) {
      if (tap.meets_row(end)) sum += value(at_.row_sum(end, tap.channel));
      if (tap.meets_column(end)) sum += value(at_.column_sum(end, tap.channel));
    }
    for_corners(tap,
                [&](int row, int column) { sum += value(at_.corner(row, column, tap.channel)); });
    return sum;
  }
  /// The sum of the products of what two taps meet, a's row not below b's.
  double product(const Tap& a, const Tap& b) const {
    const std::int64_t rows = b.row - a.row, lag = b.column - a.column + 2;
    const std::int64_t c = a.channel, d = b.channel;
    double sum = value(at_.products(c, d) + rows * PatchSums::kLags + lag);
    for (int end = 0; end < 2; ++end) {
      if (rows == 0 && a.meets_row(end)) sum += value(at_.row_products(end, c, d) + lag);
      if (lag == 2 && a.meets_column(end)) {
        sum += value(at_.column_products(end, c, d) + rows + 2);
      }
    }
    if (rows == 0 && lag == 2) {
      for_corners(
          a, [&](int row, int column) { sum += value(at_.corner_product(row, column, c, d)); });
    }
    return sum;
  }

 private:
  double value(std::int64_t index) const { return sums_[static_cast<std::size_t>(index)]; }
  /// Calls f(row, column) for the ends of the corners that a tap meets.
  template <class F>
  static void for_corners(const Tap& tap, const F& f) {
    for (int i = 0; i < 4; ++i) {
      if (tap.meets_row(i / 2) && tap.meets_column(i % 2)) f(i / 2, i % 2);
    }
  }

  std::vector<double> sums_;
  PatchSums at_;
};
}  // namespace

PatchStatistics patch_statistics(const float* x, const ConvolutionExtents& e) {
  PartSums sums(e, PatchSums(e.channels).size());
  auto planes = one_per_worker<PatchPlanes>(e);
  for_padded_images(x, e, [&](std::int64_t, const PaddedPlanes& image, int part, int worker) {
    PatchPlanes& own = planes[static_cast<std::size_t>(worker)];
    own.fill(image);
    HWY_DYNAMIC_DISPATCH(add_image)(image, own, sums.part(part));
  });
  const PatchTotal total(sums.total(), e.channels);
  PatchStatistics patches;
  patches.count = static_cast<double>(e.pixels());
  for (std::int64_t i = 0; i < 9 * e.channels; ++i) {
    const Tap tap = tap_of(i, e.channels);
    patches.sum.push_back(total.sum(tap));
    for (std::int64_t j = 0; j < 9 * e.channels; ++j) {
      const Tap other = tap_of(j, e.channels);
      const bool in_order = tap.row <= other.row;
      patches.gram.push_back(in_order ? total.product(tap, other) : total.product(other, tap));
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

double FilteredPatches::dot(const std::vector<double>& values) const {
  double sum = 0.0;
  for (std::size_t i = 0; i < filter_.size(); ++i) sum += filter_[i] * values[i];
  return sum;
}

std::vector<double> FilteredPatches::gram_product() const {
  const std::size_t taps = filter_.size();
  std::vector<double> product(taps, 0.0);
  for (std::size_t i = 0; i < taps; ++i) {
    for (std::size_t j = 0; j < taps; ++j) {
      product[i] += patches_.gram[i * taps + j] * filter_[j];
    }
  }
  return product;
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
