#include "kernels/cpu/max_pool.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/max_pool.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pool_window-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

// One row of outputs from the two rows of inputs at x; `stride` elements between those.
void pool_row(const float* HWY_RESTRICT x, std::int64_t stride, std::int64_t outputs,
              std::int64_t channels, float* HWY_RESTRICT y, std::uint8_t* HWY_RESTRICT winner) {
  for (std::int64_t out = 0; out < outputs; ++out) {
    const float* window = x + 2 * out * channels;
    const std::int64_t offset = out * channels;
    for_vectors(0, channels, [&](auto d, std::int64_t c) HWY_ATTR {
      using Winner = WinnerBytes<decltype(d)>;
      auto best = hn::LoadU(d, window + c);
      auto places = hn::Zero(typename Winner::Places());
      const auto consider = [&](std::int64_t position, std::uint8_t place) HWY_ATTR {
        const auto value = hn::LoadU(d, window + position + c);
        const auto lead = takes_lead(value, best);
        best = hn::IfThenElse(lead, value, best);
        places = Winner::replace(lead, place, places);
      };
      consider(channels, 1);
      consider(stride, 2);
      consider(stride + channels, 3);
      hn::StoreU(best, d, y + offset + c);
      Winner::store(places, winner + offset + c);
    });
  }
}

// The two rows of gradients at dx from one row of outputs' gradients.
void unpool_row(const float* HWY_RESTRICT dy, const std::uint8_t* HWY_RESTRICT winner,
                std::int64_t stride, std::int64_t outputs, std::int64_t channels,
                float* HWY_RESTRICT dx) {
  for (std::int64_t out = 0; out < outputs; ++out) {
    float* window = dx + 2 * out * channels;
    const std::int64_t offset = out * channels;
    for_vectors(0, channels, [&](auto d, std::int64_t c) HWY_ATTR {
      using Winner = WinnerBytes<decltype(d)>;
      const auto g = hn::LoadU(d, dy + offset + c);
      const auto places = Winner::load(winner + offset + c);
      hn::StoreU(Winner::gradient_at(0, places, g), d, window + c);
      hn::StoreU(Winner::gradient_at(1, places, g), d, window + channels + c);
      hn::StoreU(Winner::gradient_at(2, places, g), d, window + stride + c);
      hn::StoreU(Winner::gradient_at(3, places, g), d, window + stride + channels + c);
    });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(pool_row);
HWY_EXPORT(unpool_row);
}  // namespace

void max_pool_forward(const float* x, float* y, std::uint8_t* winner, ImageExtents x_extents) {
  const ImageExtents& e = x_extents;
  const std::int64_t stride = e.width * e.channels;
  const std::int64_t out_height = e.height / 2;
  const std::int64_t out_stride = e.width / 2 * e.channels;
  const auto pool_rows = [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row) {
      const std::int64_t in_row = row / out_height * e.height + row % out_height * 2;
      HWY_DYNAMIC_DISPATCH(pool_row)
      (x + in_row * stride, stride, e.width / 2, e.channels, y + row * out_stride,
       winner + row * out_stride);
    }
  };
  parallel_ranges(e.images * out_height, rows_per_range(2 * stride), pool_rows);
}

void max_pool_backward(const float* dy, const std::uint8_t* winner, float* dx,
                       ImageExtents x_extents) {
  const ImageExtents& e = x_extents;
  const std::int64_t stride = e.width * e.channels;
  const std::int64_t out_stride = e.width / 2 * e.channels;
  const auto unpool_image = [&](std::int64_t image) {
    float* const first = dx + image * e.height * stride;
    for (std::int64_t pair = 0; pair < e.height / 2; ++pair) {
      const std::int64_t out = (image * (e.height / 2) + pair) * out_stride;
      float* const rows = first + 2 * pair * stride;
      HWY_DYNAMIC_DISPATCH(unpool_row)
      (dy + out, winner + out, stride, e.width / 2, e.channels, rows);
      std::fill(rows + 2 * out_stride, rows + stride, 0.0F);
      std::fill(rows + stride + 2 * out_stride, rows + 2 * stride, 0.0F);
    }
    std::fill(first + e.height / 2 * 2 * stride, first + e.height * stride, 0.0F);
  };
  const auto unpool_images = [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t image = begin; image < end; ++image) unpool_image(image);
  };
  parallel_ranges(e.images, rows_per_range(e.height * stride), unpool_images);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
