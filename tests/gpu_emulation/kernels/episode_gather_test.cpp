#include "kernels/cuda/episode_gather.h"

#include "tests/gpu_emulation/kernels/same.h"
#include "tests/gpu_emulation/kernels/support.h"
#include "tests/reference/episode_gather.h"

namespace protolith::test {
namespace {

using Integers = std::vector<std::int32_t>;

reference::Bytes random_bytes(std::int64_t count) {
  std::mt19937 generator(41);
  reference::Bytes bytes(static_cast<std::size_t>(count));
  for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(generator() >> 24);
  return bytes;
}

std::vector<float> gather(const reference::Bytes& images, const reference::Extents& e,
                          const Integers& indices, const Integers& turns,
                          const std::vector<float>& scale, const std::vector<float>& shift,
                          int skew = 0) {
  const DeviceArray<std::uint8_t> bytes(images, skew);
  const DeviceArray<std::int32_t> index(indices), turn(turns);
  const DeviceArray<float> s(scale), t(shift);
  const auto count = static_cast<std::int64_t>(indices.size());
  DeviceArray<float> out(count * e.height * e.width * e.channels, skew);
  cuda::episode_gather(bytes.data(), e.images, index.data(), turn.data(), count, e.height, e.width,
                       e.channels, s.data(), t.data(), out.data(), nullptr);
  return out.values();
}

TEST_CASE("episode gather: images by index, turned and normalised, to one rounding") {
  const std::vector<float> scale{1.0F / (255.0F * 0.229F), -0.25F, 0.5F, 3.0F, 0.1F};
  const std::vector<float> shift{-0.485F / 0.229F, 63.75F, -3.0F, 0.0F, 1.0F};
  for (const std::int64_t channels : {1, 2, 3, 5}) {
    for (const auto& side :
         {std::pair(1, 1), std::pair(2, 2), std::pair(5, 5), std::pair(28, 28), std::pair(33, 33),
          std::pair(3, 7), std::pair(8, 1), std::pair(1, 129)}) {
      // Not a structured binding: clang 14 cannot capture one, as CAPTURE does.
      const int height = side.first, width = side.second;
      const reference::Extents e{9, height, width, channels};
      const reference::Bytes images = random_bytes(e.elements());
      Integers indices, turns;
      for (int n = 0; n < 9; ++n) {
        indices.push_back(n * 5 % 9);
        turns.push_back(height == width ? n % 4 : n % 2 * 2);
      }
      const auto of_channels = static_cast<std::ptrdiff_t>(channels);
      const std::vector<float> a(scale.begin(), scale.begin() + of_channels);
      const std::vector<float> b(shift.begin(), shift.begin() + of_channels);
      const auto expected = reference::episode_gather(images, e, indices, turns,
                                                      {a.begin(), a.end()}, {b.begin(), b.end()});
      for (const int skew : {0, 1}) {
        CAPTURE(height);
        CAPTURE(width);
        CAPTURE(channels);
        CAPTURE(skew);
        for_each_order([&] {
          check_within(gather(images, e, indices, turns, a, b, skew), expected,
                       [&](std::size_t i) { return kRounding * std::abs(expected[i]); });
        });
      }
    }
  }
}

TEST_CASE("episode gather: what fits no image is NaN, and only that") {
  constexpr std::int32_t kMost = std::numeric_limits<std::int32_t>::max();
  constexpr std::int32_t kLeast = std::numeric_limits<std::int32_t>::min();
  for (const auto& [height, width] : {std::pair(4, 4), std::pair(3, 4)}) {
    const reference::Extents e{3, height, width, 3};
    const reference::Bytes images = random_bytes(e.elements());
    const Integers indices{0, -1, 1, 3, kMost, kLeast, 2, 2, 2, 2, 2, 2};
    const Integers turns{0, 0, 2, 0, 0, 0, -1, 4, kMost, kLeast, 1, 3};
    const std::vector<float> one(3, 1.0F), zero(3, 0.0F);
    const std::vector<float> out = gather(images, e, indices, turns, one, zero);
    const std::size_t size = images.size() / 3;
    for (std::size_t i = 0; i < out.size(); ++i) {
      const std::size_t n = i / size;
      const bool turned = (turns[n] == 1 || turns[n] == 3) && height == width;
      CAPTURE(n);
      REQUIRE(std::isnan(out[i]) == !(n == 0 || n == 2 || turned));
    }
  }
}

}  // namespace
}  // namespace protolith::test
