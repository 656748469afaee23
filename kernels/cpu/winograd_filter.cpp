#include "kernels/cpu/winograd_filter.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd_filter.cpp"
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

void transform_filter(const float* weight, float scale, std::int64_t filters, std::int64_t channels,
                      float* by_filter) {
  const ChannelTag d;
  const std::int64_t plane = filters * channels;
  const auto factor = hn::Set(d, scale);
  for (std::int64_t c = 0; c < channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
    transform_square<FilterTransform>(
        [&](auto r, auto s) PROTOLITH_LAMBDA {
          return hn::Mul(factor, hn::LoadU(d, weight + (r * 3 + s) * channels + c));
        },
        [&](auto i, auto j, auto v) PROTOLITH_LAMBDA {
          hn::StoreU(v, d, by_filter + (i * kMaxPatchSide + j) * plane + c);
        });
  }
}

void gradient_of_filter(const float* gradients, std::int64_t parts, std::int64_t filters,
                        std::int64_t channels, float* dweight) {
  const ChannelTag d;
  const std::int64_t plane = filters * channels;
  for (std::int64_t c = 0; c < channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
    transform_square<FilterAdjoint>(
        [&](auto i, auto j) PROTOLITH_LAMBDA {
          const float* part = gradients + (i * kMaxPatchSide + j) * plane + c;
          auto sum = hn::LoadU(d, part);
          for (std::int64_t p = 1; p < parts; ++p) {
            sum = hn::Add(sum, hn::LoadU(d, part + p * kPlanes * plane));
          }
          return sum;
        },
        [&](auto r, auto s, auto v)
            PROTOLITH_LAMBDA { hn::StoreU(v, d, dweight + (r * 3 + s) * channels + c); });
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
HWY_EXPORT(gradient_of_filter);
}  // namespace

void winograd_transform_filters(const float* weight, const float* scale, float* by_filter,
                                float* by_channel, std::int64_t filters, std::int64_t channels) {
  const auto transform = [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t k = begin; k < end; ++k) {
      HWY_DYNAMIC_DISPATCH(transform_filter)
      (weight + k * 9 * channels, scale == nullptr ? 1.0F : scale[k], filters, channels,
       by_filter + k * channels);
    }
  };
  parallel_ranges(filters, rows_per_range(kPlanes * channels), transform);
  const auto transpose = [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t plane = begin; plane < end; ++plane) {
      const float* const from = by_filter + plane * filters * channels;
      float* const to = by_channel + plane * filters * channels;
      for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t k = 0; k < filters; ++k) to[c * filters + k] = from[k * channels + c];
      }
    }
  };
  parallel_ranges(kPlanes, rows_per_range(filters * channels), transpose);
}

void winograd_filter_gradient(const float* gradients, std::int64_t parts, float* dweight,
                              std::int64_t filters, std::int64_t channels) {
  const auto transform = [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t k = begin; k < end; ++k) {
      HWY_DYNAMIC_DISPATCH(gradient_of_filter)
      (gradients + k * channels, parts, filters, channels, dweight + k * 9 * channels);
    }
  };
  parallel_ranges(filters, rows_per_range(kPlanes * channels * parts), transform);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
