#include "kernels/cpu/episode_gather.h"

#include <algorithm>

#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes random_bytes(std::int64_t count) {
  std::mt19937 generator(41);
  Bytes bytes(static_cast<std::size_t>(count));
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(generator() >> 24);
  return bytes;
}

// A square image turned once counter-clockwise.
Bytes quarter_turn(const Bytes& image, std::size_t side, std::size_t channels) {
  Bytes out(image.size());
  for (std::size_t y = 0; y < side; ++y) {
    for (std::size_t x = 0; x < side; ++x) {
      for (std::size_t c = 0; c < channels; ++c) {
        out[(y * side + x) * channels + c] = image[(x * side + side - 1 - y) * channels + c];
      }
    }
  }
  return out;
}

TEST_CASE("gather: images by index, turned and normalised exactly") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const std::int64_t channels : {1, 3}) {
        for (const std::int64_t side : {1, 5, 28}) {
          const std::int64_t image_size = side * side * channels;
          const Bytes images = random_bytes(9 * image_size);
          std::vector<std::int32_t> indices;
          std::vector<std::int32_t> turns;
          for (int n = 0; n < 70; ++n) {
            indices.push_back(n * 5 % 9);
            turns.push_back(n % 4);
          }
          // Exact in f32 whether or not product and sum are fused.
          const float scale[] = {-0.25F, 1.0F, 0.5F};
          const float shift[] = {63.75F, 0.0F, -3.0F};
          Floats expected;
          for (std::size_t n = 0; n < indices.size(); ++n) {
            const auto first = images.begin() + indices[n] * image_size;
            Bytes image(first, first + image_size);
            for (int turn = 0; turn < turns[n]; ++turn) {
              image = quarter_turn(image, static_cast<std::size_t>(side),
                                   static_cast<std::size_t>(channels));
            }
            for (std::size_t i = 0; i < image.size(); ++i) {
              const std::size_t c = i % static_cast<std::size_t>(channels);
              expected.push_back(static_cast<float>(image[i]) * scale[c] + shift[c]);
            }
          }
          Floats out(expected.size(), kNan);
          cpu::episode_gather(images.data(), indices.data(), turns.data(),
                              static_cast<std::int64_t>(indices.size()), side, side, channels,
                              scale, shift, out.data());
          CHECK(same(out, expected));
        }
      }
    });
  });
}

TEST_CASE("gather: a half turn of an oblong image reverses its pixels, none keeps them") {
  for_each_instruction_set([] {
    const std::int64_t height = 3;
    const std::int64_t width = 7;
    const Bytes image = random_bytes(height * width);
    const std::int32_t indices[] = {0, 0};
    const std::int32_t turns[] = {0, 2};
    const float scale = 1.0F;
    const float shift = 0.0F;
    Floats expected(image.begin(), image.end());
    expected.insert(expected.end(), image.rbegin(), image.rend());
    Floats out(expected.size());
    cpu::episode_gather(image.data(), indices, turns, 2, height, width, 1, &scale, &shift,
                        out.data());
    CHECK(same(out, expected));
  });
}

TEST_CASE("gather: any scale and shift to two roundings") {
  for_each_instruction_set([] {
    const Bytes image = random_bytes(28 * 28);
    const std::int32_t index = 0;
    const float scale = 1.0F / (255.0F * 0.229F);
    const float shift = -0.485F / 0.229F;
    std::vector<double> expected;
    for (const std::uint8_t byte : image) {
      expected.push_back(static_cast<double>(byte) * static_cast<double>(scale) +
                         static_cast<double>(shift));
    }
    Floats out(expected.size());
    cpu::episode_gather(image.data(), &index, &index, 1, 28, 28, 1, &scale, &shift, out.data());
    // The product, at most 4.4, and the sum.
    check_within(out, expected,
                 [&](std::size_t i) { return kRounding * (4.4 + std::abs(expected[i])); });
  });
}

}  // namespace
}  // namespace protolith::test
