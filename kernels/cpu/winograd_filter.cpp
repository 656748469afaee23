#include "kernels/cpu/winograd_filter.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd_filter.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/winograd_transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

/// Applies a transform along both axes: load(i, j) yields element (i, j) of the square that goes
/// in, store(i, j, v) takes that of the one that comes out; i and j are integral constants.
template <class Transform, class Load, class Store>
HWY_INLINE void transform_square(const Load& load, const Store& store) {
  using M = Folded<Transform>;
  const ChannelTag d;
  ChannelVector half[M::kColumns * M::kRows];
  unrolled<M::kColumns>([&](auto j) PROTOLITH_LAMBDA {
    ChannelVector in[M::kColumns];
    ChannelVector out[M::kRows];
    unrolled<M::kColumns>([&](auto i) PROTOLITH_LAMBDA { in[i] = load(i, j); });
    transform<Transform>(d, in, out);
    unrolled<M::kRows>([&](auto i) PROTOLITH_LAMBDA { half[i * M::kColumns + j] = out[i]; });
  });
  unrolled<M::kRows>([&](auto i) PROTOLITH_LAMBDA {
    ChannelVector out[M::kRows];
    transform<Transform>(d, half + i * M::kColumns, out);
    unrolled<M::kRows>([&](auto j) PROTOLITH_LAMBDA { store(i, j, out[j]); });
  });
}

/// Sends for the lines at one place of every plane, to be stored to soon: stores, which happen in
/// order, would have few of them under way at once.
HWY_INLINE void prefetch_planes(PlaneExtents planes, std::int64_t stride, const float* at) {
  for (int i = 0; i < planes.rows; ++i) {
    for (int j = 0; j < planes.columns; ++j) {
      hwy::Prefetch(at + (i * kMaxPatchSide + j) * stride);
    }
  }
}

/// One row of planes [rows, columns], whose planes are `stride` floats apart: column c from the
/// taps load(tap, c).
template <class Load>
HWY_INLINE void transform_row(const Load& load, PlaneExtents planes, std::int64_t columns,
                              std::int64_t stride, float* row) {
  const ChannelTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t c = 0; c < columns; c += lanes) {
    prefetch_planes(planes, stride, row + c + lanes);
    transform_square<FilterTransform>(
        [&](auto r, auto s) PROTOLITH_LAMBDA { return load(r * 3 + s, c); },
        [&](auto i, auto j, auto v) PROTOLITH_LAMBDA {
          if (planes.has(i, j)) hn::StoreU(v, d, row + (i * kMaxPatchSide + j) * stride + c);
        });
  }
}

/// The row of filter k: weight [K,3,3,C], scale [K].
void transform_filter(const float* weight, const float* scale, PlaneExtents planes,
                      std::int64_t filters, std::int64_t channels, std::int64_t k,
                      float* planes81) {
  const ChannelTag d;
  const float* const taps = weight + k * 9 * channels;
  const auto factor = hn::Set(d, scale == nullptr ? 1.0F : scale[k]);
  const auto load = [&](int tap, std::int64_t c) PROTOLITH_LAMBDA {
    return hn::Mul(factor, hn::LoadU(d, taps + tap * channels + c));
  };
  transform_row(load, planes, channels, winograd_filter_stride(filters, channels),
                planes81 + k * channels);
}

/// The row of channel c.
void transform_channel(const float* weight, const float* scale, PlaneExtents planes,
                       std::int64_t filters, std::int64_t channels, std::int64_t c,
                       float* planes81) {
  const ChannelTag d;
  const hn::RebindToSigned<ChannelTag> di;
  const auto offsets =
      hn::Mul(hn::Iota(di, 0), hn::Set(di, static_cast<std::int32_t>(9 * channels)));
  const auto load = [&](int tap, std::int64_t k) PROTOLITH_LAMBDA {
    const auto factor = scale == nullptr ? hn::Set(d, 1.0F) : hn::LoadU(d, scale + k);
    return hn::Mul(factor, hn::GatherIndex(d, weight + (k * 9 + tap) * channels + c, offsets));
  };
  transform_row(load, planes, filters, winograd_filter_stride(filters, channels),
                planes81 + c * filters);
}

void filter_gradient(const float* gradients, PlaneExtents planes, float* dweight,
                     std::int64_t filters, std::int64_t channels) {
  const ChannelTag d;
  const std::int64_t plane = winograd_filter_stride(filters, channels);
  for (std::int64_t k = 0; k < filters; ++k) {
    for (std::int64_t c = 0; c < channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
      const float* const square = gradients + k * channels + c;
      float* const taps = dweight + k * 9 * channels + c;
      transform_square<FilterAdjoint>(
          [&](auto i, auto j) PROTOLITH_LAMBDA {
            return planes.has(i, j) ? hn::LoadU(d, square + (i * kMaxPatchSide + j) * plane)
                                    : hn::Zero(d);
          },
          [&](auto r, auto s, auto v)
              PROTOLITH_LAMBDA { hn::StoreU(v, d, taps + (r * 3 + s) * channels); });
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
HWY_EXPORT(transform_filter);
HWY_EXPORT(transform_channel);
HWY_EXPORT(filter_gradient);
}  // namespace

void winograd_transform_filters(const float* weight, const float* scale, PlaneExtents planes,
                                float* by_filter, float* by_channel, std::int64_t filters,
                                std::int64_t channels) {
  const std::int64_t filter_rows = by_filter == nullptr ? 0 : filters;
  const std::int64_t channel_rows = by_channel == nullptr ? 0 : channels;
  const auto transform = [&](std::int64_t begin, std::int64_t end, int, int) {
    for (std::int64_t row = begin; row < std::min(end, filter_rows); ++row) {
      HWY_DYNAMIC_DISPATCH(transform_filter)
      (weight, scale, planes, filters, channels, row, by_filter);
    }
    for (std::int64_t row = std::max(begin, filter_rows); row < end; ++row) {
      HWY_DYNAMIC_DISPATCH(transform_channel)
      (weight, scale, planes, filters, channels, row - filter_rows, by_channel);
    }
  };
  const std::int64_t minimum = rows_per_range(planes.count() * channels);
  parallel_parts({filter_rows + channel_rows, minimum, minimum}, transform);
}

void winograd_filter_gradient(const float* gradients, PlaneExtents planes, float* dweight,
                              std::int64_t filters, std::int64_t channels) {
  HWY_DYNAMIC_DISPATCH(filter_gradient)(gradients, planes, dweight, filters, channels);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
