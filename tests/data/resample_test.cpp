#include "data/resample.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace protolith {
namespace {

/// An image of `channels` whose channel c has `value(x, y, c)`.
template <class Value>
DecodedImage image_of(int width, int height, int channels, Value value) {
  DecodedImage image{width, height, channels, {}};
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int c = 0; c < channels; ++c) {
        image.pixels.push_back(static_cast<std::uint8_t>(value(x, y, c)));
      }
    }
  }
  return image;
}

std::vector<int> fitted(const DecodedImage& image, int side) {
  std::vector<std::uint8_t> pixels(static_cast<std::size_t>(side * side * image.channels));
  fit_square(image, side, pixels.data());
  return {pixels.begin(), pixels.end()};
}

int noise(int x, int y, int c) {
  return (x * 7919 + y * 104729 + c * 1299709) % 251;
}

TEST_CASE("an image of the wanted size is copied") {
  const DecodedImage image = image_of(9, 9, 3, noise);
  CHECK(fitted(image, 9) == std::vector<int>(image.pixels.begin(), image.pixels.end()));
}

TEST_CASE("the centre square is cut out where no scaling is needed") {
  const auto centre = [](int dx, int dy) {
    return fitted(image_of(5, 5, 1, [=](int x, int y, int c) { return noise(x + dx, y + dy, c); }),
                  5);
  };
  CHECK(fitted(image_of(11, 5, 1, noise), 5) == centre(3, 0));
  CHECK(fitted(image_of(5, 9, 1, noise), 5) == centre(0, 2));
}

TEST_CASE("an even colour stays as it is at any size") {
  for (const int width : {1, 2, 7, 84, 200}) {
    for (const int height : {1, 3, 84, 333}) {
      const auto even = image_of(width, height, 3, [](int, int, int c) { return 40 + 100 * c; });
      const std::vector<int> pixels = fitted(even, 21);
      int wrong = 0;
      for (std::size_t i = 0; i < pixels.size(); ++i) {
        wrong += pixels[i] != 40 + 100 * static_cast<int>(i % 3) ? 1 : 0;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("shrinking is the triangle-weighted mean of the definition, in double precision") {
  constexpr int kWidth = 61, kHeight = 47, kSide = 10;
  const std::vector<int> pixels = fitted(image_of(kWidth, kHeight, 2, noise), kSide);
  const double scale = 4.7;
  const auto weight = [&](int j, int target, double start) {
    return std::max(0.0, 1.0 - std::abs(j + 0.5 - (start + (target + 0.5) * scale)) / scale);
  };
  for (int i = 0; i < kSide * kSide * 2; ++i) {
    const int c = i % 2, column = i / 2 % kSide, line = i / 2 / kSide;
    double sum = 0, weights = 0;
    for (int y = 0; y < kHeight; ++y) {
      for (int x = 0; x < kWidth; ++x) {
        const double w = weight(x, column, 7) * weight(y, line, 0);
        sum += w * noise(x, y, c);
        weights += w;
      }
    }
    CHECK(std::abs(pixels[static_cast<std::size_t>(i)] - sum / weights) <= 0.51);
  }
}

TEST_CASE("stripes finer than a target pixel become grey, not other stripes") {
  const auto stripes = image_of(336, 336, 1, [](int x, int, int) { return x % 2 * 255; });
  int worst = 0;
  for (const int value : fitted(stripes, 84)) worst = std::max(worst, std::abs(value - 127));
  CHECK(worst <= 12);  // the triangle is cut off at the border
}

TEST_CASE("a line a million pixels long takes no memory to speak of") {
  CHECK(fitted(image_of(1 << 20, 1, 1, [](int, int, int) { return 9; }), 2) ==
        std::vector<int>{9, 9, 9, 9});
  CHECK(fitted(image_of(1, 1 << 20, 1, [](int, int, int) { return 9; }), 2) ==
        std::vector<int>{9, 9, 9, 9});
}

}  // namespace
}  // namespace protolith
