#include "kernels/cpu/episode_gather.h"

#include <algorithm>
#include <numeric>
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

/// A channel's constants repeated along rows of pixels, so that these are one run of elements:
/// along as many rows as fill vectors of 16.
std::vector<float> along_rows(const float* values, std::int64_t row_size, std::int64_t channels) {
  std::vector<float> rows(static_cast<std::size_t>(std::lcm(row_size, std::int64_t{16})));
  for (std::size_t i = 0; i < rows.size(); ++i) {
    rows[i] = values[i % static_cast<std::size_t>(channels)];
  }
  return rows;
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

/// kChannels: those of a pixel, or 0 for any number.
template <int kChannels>
void turn(const std::uint8_t* image, std::int32_t turns, std::int64_t height, std::int64_t width,
          std::int64_t any_channels, std::uint8_t* out) {
  const std::int64_t channels = kChannels > 0 ? kChannels : any_channels;
  for (std::int64_t y = 0; y < height; ++y) {
    const TurnedRow row = turned_row(turns, y, height, width);
    for (std::int64_t x = 0; x < width; ++x, out += channels) {
      const std::uint8_t* pixel = image + (row.start + x * row.step) * channels;
      for (std::int64_t c = 0; c < channels; ++c) out[c] = pixel[c];
    }
  }
}
}  // namespace

void episode_gather(const std::uint8_t* images, const std::int32_t* indices,
                    const std::int32_t* turns, std::int64_t count, std::int64_t height,
                    std::int64_t width, std::int64_t channels, const float* scale,
                    const float* shift, float* out) {
  const std::int64_t size = height * width * channels;
  const std::vector<float> scales = along_rows(scale, width * channels, channels);
  const std::vector<float> shifts = along_rows(shift, width * channels, channels);
  const auto run = static_cast<std::int64_t>(scales.size());
  const auto turn_image = channels == 1 ? turn<1> : channels == 3 ? turn<3> : turn<0>;
  const std::int64_t minimum = rows_per_range(size);
  std::vector<std::uint8_t> scratch(static_cast<std::size_t>(range_count(count, minimum) * size));
  const auto gather = [&](std::int64_t begin, std::int64_t end, int range) {
    std::uint8_t* const turned = scratch.data() + range * size;
    for (std::int64_t n = begin; n < end; ++n) {
      const std::uint8_t* pixels = images + indices[n] * size;
      if (turns[n] != 0) {
        turn_image(pixels, turns[n], height, width, channels, turned);
        pixels = turned;
      }
      for (std::int64_t i = 0; i < size; i += run) {
        HWY_DYNAMIC_DISPATCH(normalise)
        (pixels + i, scales.data(), shifts.data(), std::min(run, size - i), out + n * size + i);
      }
    }
  };
  parallel_ranges(count, minimum, gather);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
