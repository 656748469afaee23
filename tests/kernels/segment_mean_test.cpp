#include "kernels/cpu/segment_mean.h"

#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

struct Shape {
  std::int64_t segments, length, features;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {3, 5, 17}, {20, 1, 64}, {7, 20, 65}, {60, 5, 576}};

TEST_CASE("segment mean") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        const Floats x = normal(s.segments * s.length * s.features, 31);
        std::vector<double> expected(static_cast<std::size_t>(s.segments * s.features), 0.0);
        std::vector<double> magnitude(expected.size(), 0.0);
        for (std::size_t i = 0; i < x.size(); ++i) {
          const auto features = static_cast<std::size_t>(s.features);
          const auto length = static_cast<std::size_t>(s.length);
          const std::size_t out = i / features / length * features + i % features;
          expected[out] += static_cast<double>(x[i]) / static_cast<double>(s.length);
          magnitude[out] += std::abs(static_cast<double>(x[i])) / static_cast<double>(s.length);
        }
        Floats mean(expected.size());
        cpu::segment_mean_forward(x.data(), mean.data(), s.segments, s.length, s.features);
        // length - 1 additions and a division; nothing is rounded when the length is 1.
        const auto roundings = static_cast<double>(s.length == 1 ? 0 : s.length);
        check_within(mean, expected,
                     [&](std::size_t i) { return roundings * kRounding * magnitude[i]; });
      }
    });
  });
}

TEST_CASE("segment mean backward gives every row its share") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        const Floats dmean = normal(s.segments * s.features, 32);
        Floats expected(static_cast<std::size_t>(s.segments * s.length * s.features));
        for (std::size_t i = 0; i < expected.size(); ++i) {
          const auto features = static_cast<std::size_t>(s.features);
          const std::size_t segment = i / features / static_cast<std::size_t>(s.length);
          expected[i] = dmean[segment * features + i % features] / static_cast<float>(s.length);
        }
        Floats dx(expected.size(), kNan);
        cpu::segment_mean_backward(dmean.data(), dx.data(), s.segments, s.length, s.features);
        CHECK(same(dx, expected));
      }
    });
  });
}

}  // namespace
}  // namespace protolith::test
