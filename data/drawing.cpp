#include "data/drawing.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "engine/check.h"

namespace protolith {
namespace {

/// The least difference of ink and paper, in grey levels: a sheet of paper alone has less.
constexpr int kLeastContrast = 24;

void check_contrast(int difference, const std::string& name) {
  PROTOLITH_CHECK(
      std::abs(difference) >= kLeastContrast,
      "{}: no drawing stands out from its paper (they differ by {} of 255 grey levels); "
      "use a darker pen or more light",
      name, std::abs(difference));
}

int border_median(std::span<const std::uint8_t> grey, std::int32_t side) {
  std::vector<std::uint8_t> border;
  for (std::int32_t i = 0; i < side; ++i) {
    for (const std::int32_t at : {i, (side - 1) * side + i, i * side, i * side + side - 1}) {
      border.push_back(grey[static_cast<std::size_t>(at)]);
    }
  }
  const auto middle = border.begin() + static_cast<std::ptrdiff_t>(border.size() / 2);
  std::nth_element(border.begin(), middle, border.end());
  return *middle;
}

/// Values up to `level` are one class, those above it the other.
struct Threshold {
  int level = 0;
  int difference = 0;  ///< of the classes' means
};

Threshold otsu(std::span<const std::uint8_t> grey) {
  std::array<double, 256> counts{};
  double all_sum = 0;
  for (const std::uint8_t value : grey) {
    ++counts[value];
    all_sum += value;
  }
  const auto all = static_cast<double>(grey.size());
  Threshold best;
  double best_variance = 0;  // between the classes
  double below = 0, below_sum = 0;
  for (int level = 0; level < 255; ++level) {
    const double count = counts[static_cast<std::size_t>(level)];
    below += count;
    below_sum += count * level;
    if (below == 0 || below == all) continue;
    const double difference = (all_sum - below_sum) / (all - below) - below_sum / below;
    const double variance = below * (all - below) * difference * difference;
    if (variance > best_variance) {
      best_variance = variance;
      best = {level, static_cast<int>(difference)};
    }
  }
  return best;
}

}  // namespace

void separate_ink(std::span<std::uint8_t> grey, std::int32_t side, const std::string& name) {
  const Threshold threshold = otsu(grey);
  check_contrast(threshold.difference, name);
  const bool light_paper = border_median(grey, side) > threshold.level;
  for (std::uint8_t& value : grey) {
    value = (value > threshold.level) == light_paper ? 255 : 0;
  }
}

void stretch_ink(std::span<std::uint8_t> grey, std::int32_t side, const std::string& name) {
  const int paper = border_median(grey, side);
  const auto [least, most] = std::minmax_element(grey.begin(), grey.end());
  const int ink = paper - *least > *most - paper ? *least : *most;
  const int contrast = ink - paper;
  check_contrast(contrast, name);
  for (std::uint8_t& value : grey) {
    const int share = (510 * (value - paper) / contrast + 1) / 2;  // rounded, of 255
    value = static_cast<std::uint8_t>(std::clamp(share, 0, 255));
  }
}

}  // namespace protolith
