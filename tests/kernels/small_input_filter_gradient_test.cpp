#include "kernels/cpu/small_input_filter_gradient.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace protolith::cpu {
namespace {

std::vector<float> numbers(std::int64_t count, float start) {
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& v : values) v = (start = 3.9F * start * (1 - start)) - 0.5F;
  return values;
}

}  // namespace

TEST_CASE("filter gradient of few channels: against the definition in double, whole and in parts") {
  struct Case {
    std::int64_t images, height, width, channels, filters;
  };
  for (const Case c : {Case{1, 1, 1, 1, 1}, Case{3, 5, 4, 1, 64}, Case{5, 7, 7, 3, 5},
                       Case{2, 28, 28, 1, 17}, Case{4, 2, 9, 4, 33}}) {
    CAPTURE(c.images);
    CAPTURE(c.filters);
    const auto x = numbers(c.images * c.height * c.width * c.channels, 0.3F);
    const auto g = numbers(c.images * c.height * c.width * c.filters, 0.7F);
    SmallInputFilterGradient gradient(c.height, c.width, c.channels, c.filters);
    const std::int64_t first = c.images / 2;
    gradient.add(x.data(), g.data(), first);
    gradient.add(x.data() + first * c.height * c.width * c.channels,
                 g.data() + first * c.height * c.width * c.filters, c.images - first);
    std::vector<float> dw(static_cast<std::size_t>(c.filters * 9 * c.channels));
    gradient.store(dw.data());
    for (std::int64_t k = 0; k < c.filters; ++k) {
      for (std::int64_t tap = 0; tap < 9; ++tap) {
        for (std::int64_t channel = 0; channel < c.channels; ++channel) {
          double want = 0;
          double magnitude = 0;
          for (std::int64_t n = 0; n < c.images; ++n) {
            for (std::int64_t p = 0; p < c.height; ++p) {
              for (std::int64_t q = 0; q < c.width; ++q) {
                const std::int64_t y = p + tap / 3 - 1;
                const std::int64_t z = q + tap % 3 - 1;
                if (y < 0 || y >= c.height || z < 0 || z >= c.width) continue;
                const auto from = ((n * c.height + y) * c.width + z) * c.channels + channel;
                const auto to = ((n * c.height + p) * c.width + q) * c.filters + k;
                const double term = static_cast<double>(x[static_cast<std::size_t>(from)]) *
                                    g[static_cast<std::size_t>(to)];
                want += term;
                magnitude += std::abs(term);
              }
            }
          }
          // f32 sums within an image: at most a rounding per term of the sum of magnitudes.
          const double bound =
              0x1p-24 * static_cast<double>(c.height * c.width + 2) * magnitude + 1e-30;
          const auto i = static_cast<std::size_t>((k * 9 + tap) * c.channels + channel);
          CHECK(std::abs(static_cast<double>(dw[i]) - want) <= bound);
        }
      }
    }
  }
}

}  // namespace protolith::cpu
