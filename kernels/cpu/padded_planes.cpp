#include "kernels/cpu/padded_planes.h"

#include <algorithm>
#include <new>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/padded_planes.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

/// A row of pixels of three channels to rows of their own, `stride` floats apart.
void split_three_channels(const float* HWY_RESTRICT pixels, std::int64_t width, std::int64_t stride,
                          float* HWY_RESTRICT rows) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t x = 0;
  for (; x + lanes <= width; x += lanes) {
    auto first = hn::Undefined(d), second = hn::Undefined(d), third = hn::Undefined(d);
    hn::LoadInterleaved3(d, pixels + 3 * x, first, second, third);
    hn::StoreU(first, d, rows + x);
    hn::StoreU(second, d, rows + stride + x);
    hn::StoreU(third, d, rows + 2 * stride + x);
  }
  for (; x < width; ++x) {
    for (std::int64_t c = 0; c < 3; ++c) rows[c * stride + x] = pixels[3 * x + c];
  }
}

/// The squares of a row, and of what follows it, up to a vector.
void fill_squares(const float* HWY_RESTRICT row, std::int64_t pitch, std::int64_t width,
                  float* HWY_RESTRICT squares) {
  const hn::ScalableTag<float> d;
  for (std::int64_t x = 0; x < width; x += static_cast<std::int64_t>(hn::Lanes(d))) {
    const float* const pixels = row + x;
    hn::StoreInterleaved4(hn::LoadU(d, pixels), hn::LoadU(d, pixels + 1),
                          hn::LoadU(d, pixels + pitch), hn::LoadU(d, pixels + pitch + 1), d,
                          squares + 4 * x);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(split_three_channels);
HWY_EXPORT(fill_squares);

std::int64_t round_up(std::int64_t count, std::int64_t step) {
  return (count + step - 1) / step * step;
}
}  // namespace

PaddedPlanes::PaddedPlanes(const ConvolutionExtents& e)
    : height(e.height),
      width(e.width),
      channels(e.channels),
      pitch(round_up(kLine + e.width + 1 + kSlack, kLine)) {
  const auto floats = static_cast<std::size_t>(channels * (height + 2) * pitch);
  values_ = hwy::AllocateAligned<float>(floats);
  if (values_ == nullptr) throw std::bad_alloc();
  std::fill_n(values_.get(), floats, 0.0F);
}

void PaddedPlanes::fill(const float* pixels) {
  const std::int64_t stride = (height + 2) * pitch;
  for (std::int64_t y = 0; y < height; ++y, pixels += width * channels) {
    float* const rows = row(0, y);
    if (channels == 1) {
      std::copy(pixels, pixels + width, rows);
    } else if (channels == 3) {
      HWY_DYNAMIC_DISPATCH(split_three_channels)(pixels, width, stride, rows);
    } else {
      for (std::int64_t c = 0; c < channels; ++c) {
        for (std::int64_t x = 0; x < width; ++x) rows[c * stride + x] = pixels[x * channels + c];
      }
    }
  }
}

void PixelSquares::fill(const PaddedPlanes& planes) {
  float* squares = values_.data();
  for (std::int64_t y = 0; y < height_; ++y) {
    for (std::int64_t c = 0; c < channels_; ++c, squares += channel_stride()) {
      HWY_DYNAMIC_DISPATCH(fill_squares)
      (planes.plane(c) + y * planes.pitch, planes.pitch, width_, squares);
    }
  }
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
