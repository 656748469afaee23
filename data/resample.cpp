#include "data/resample.h"

#include <algorithm>
#include <cmath>
#include <vector>

namespace protolith {
namespace {

/// The source samples that a target sample is the weighted mean of.
struct Taps {
  std::int32_t first = 0;
  std::vector<float> weights;
};

/// Target i of `side` covers [start + i * scale, start + (i + 1) * scale) of `from` source samples.
std::vector<Taps> triangle_taps(std::int32_t from, double start, double scale, std::int32_t side) {
  const double radius = std::max(scale, 1.0);
  std::vector<Taps> all(static_cast<std::size_t>(side));
  for (std::int32_t i = 0; i < side; ++i) {
    const double centre = start + (i + 0.5) * scale;
    const auto first = std::max(0, static_cast<std::int32_t>(std::floor(centre - radius)));
    const auto last = std::min(from, static_cast<std::int32_t>(std::ceil(centre + radius)));
    std::vector<double> weights;
    double sum = 0;
    for (std::int32_t j = first; j < last; ++j) {
      weights.push_back(std::max(0.0, 1.0 - std::abs(j + 0.5 - centre) / radius));
      sum += weights.back();
    }
    Taps& taps = all[static_cast<std::size_t>(i)];
    taps.first = first;
    for (const double w : weights) taps.weights.push_back(static_cast<float>(w / sum));
  }
  return all;
}

}  // namespace

void fit_square(const DecodedImage& image, std::int32_t side, std::uint8_t* pixels) {
  if (image.width == side && image.height == side) {
    std::copy(image.pixels.begin(), image.pixels.end(), pixels);
    return;
  }
  const std::int32_t shorter = std::min(image.width, image.height);
  const double scale = static_cast<double>(shorter) / side;
  const auto taps_along = [&](std::int32_t length) {
    return triangle_taps(length, (length - shorter) / 2.0, scale, side);
  };
  const auto channels = static_cast<std::size_t>(image.channels);
  const std::size_t row = static_cast<std::size_t>(side) * channels;

  // Only the rows that the square needs: a picture may be a thousand times as high as wide.
  const std::vector<Taps> across = taps_along(image.width);
  const std::vector<Taps> down = taps_along(image.height);
  const auto top = static_cast<std::size_t>(down.front().first);
  const std::size_t bottom =
      static_cast<std::size_t>(down.back().first) + down.back().weights.size();
  std::vector<float> narrow((bottom - top) * row);  // [bottom - top, side, C]
  const std::size_t source_row = static_cast<std::size_t>(image.width) * channels;
  for (std::size_t y = top; y < bottom; ++y) {
    const std::uint8_t* source = image.pixels.data() + y * source_row;
    float* target = narrow.data() + (y - top) * row;
    for (const Taps& taps : across) {
      for (std::size_t t = 0; t < taps.weights.size(); ++t) {
        const std::size_t from = (static_cast<std::size_t>(taps.first) + t) * channels;
        for (std::size_t c = 0; c < channels; ++c) target[c] += taps.weights[t] * source[from + c];
      }
      target += channels;
    }
  }

  std::vector<float> sums(row);
  for (const Taps& taps : down) {
    std::fill(sums.begin(), sums.end(), 0.0F);
    for (std::size_t t = 0; t < taps.weights.size(); ++t) {
      const float* from = narrow.data() + (static_cast<std::size_t>(taps.first) - top + t) * row;
      for (std::size_t i = 0; i < row; ++i) sums[i] += taps.weights[t] * from[i];
    }
    for (const float sum : sums) {
      *pixels++ = static_cast<std::uint8_t>(std::clamp(sum + 0.5F, 0.0F, 255.0F));
    }
  }
}

}  // namespace protolith
