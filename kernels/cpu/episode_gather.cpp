#include "kernels/cpu/episode_gather.h"

#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/episode_gather.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

// out = pixels * scale + shift, each [count].
void normalise(const std::uint8_t* HWY_RESTRICT pixels, const float* HWY_RESTRICT scale,
               const float* HWY_RESTRICT shift, std::int64_t count, float* HWY_RESTRICT out) {
  for_vectors(0, count, [&](auto d, std::int64_t i) HWY_ATTR {
    const hn::RebindToSigned<decltype(d)> integers;
    const hn::Rebind<std::uint8_t, decltype(d)> bytes;
    const auto value = hn::ConvertTo(d, hn::PromoteTo(integers, hn::LoadU(bytes, pixels + i)));
    hn::StoreU(hn::MulAdd(value, hn::LoadU(d, scale + i), hn::LoadU(d, shift + i)), d, out + i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(normalise);

// A channel's constants repeated along a row of pixels, so that a row is one run of elements.
std::vector<float> along_row(const float* values, std::int64_t width, std::int64_t channels) {
  std::vector<float> row(static_cast<std::size_t>(width * channels));
  for (std::size_t i = 0; i < row.size(); ++i)
    row[i] = values[i % static_cast<std::size_t>(channels)];
  return row;
}

/// Where output row y of a turned image starts in the image, and how far apart its pixels lie.
struct TurnedRow {
  std::int64_t start, step;
};

TurnedRow turned_row(std::int32_t turns, std::int64_t y, std::int64_t height, std::int64_t width) {
  switch (turns) {
    case 1:
      return {width - 1 - y, width};
    case 2:
      return {(height - 1 - y) * width + width - 1, -1};
    case 3:
      return {(height - 1) * width + y, -width};
    default:
      return {y * width, 1};
  }
}

void copy_row(const std::uint8_t* image, TurnedRow row, std::int64_t width, std::int64_t channels,
              std::uint8_t* out) {
  for (std::int64_t x = 0; x < width; ++x) {
    const std::uint8_t* pixel = image + (row.start + x * row.step) * channels;
    for (std::int64_t c = 0; c < channels; ++c) *out++ = pixel[c];
  }
}
}  // namespace

void episode_gather(const std::uint8_t* images, const std::int32_t* indices,
                    const std::int32_t* turns, std::int64_t count, std::int64_t height,
                    std::int64_t width, std::int64_t channels, const float* scale,
                    const float* shift, float* out) {
  const std::vector<float> row_scale = along_row(scale, width, channels);
  const std::vector<float> row_shift = along_row(shift, width, channels);
  const std::int64_t row_size = width * channels;
  const std::int64_t minimum = rows_per_range(height * row_size);
  std::vector<std::uint8_t> scratch(
      static_cast<std::size_t>(range_count(count, minimum) * row_size));
  const auto gather = [&](std::int64_t begin, std::int64_t end, int range) {
    std::uint8_t* const turned = scratch.data() + range * row_size;
    for (std::int64_t n = begin; n < end; ++n) {
      const std::uint8_t* image = images + indices[n] * height * row_size;
      for (std::int64_t y = 0; y < height; ++y) {
        const TurnedRow row = turned_row(turns[n], y, height, width);
        const std::uint8_t* pixels = turned;
        if (row.step == 1) {
          pixels = image + row.start * channels;
        } else {
          copy_row(image, row, width, channels, turned);
        }
        HWY_DYNAMIC_DISPATCH(normalise)
        (pixels, row_scale.data(), row_shift.data(), row_size, out + (n * height + y) * row_size);
      }
    }
  };
  parallel_ranges(count, minimum, gather);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
