#include "kernels/cuda/segment_mean.h"

#include "tests/gpu_emulation/kernels/same.h"
#include "tests/gpu_emulation/kernels/support.h"
#include "tests/reference/distance.h"

namespace protolith::test {
namespace {

struct Shape {
  std::int64_t segments, length, features;
};
constexpr Shape kShapes[] = {{1, 1, 1},   {3, 5, 17},   {20, 1, 64}, {7, 20, 65},
                             {60, 5, 64}, {2, 3, 1600}, {129, 2, 4}, {257, 1, 1}};

// check(shape, skew) with no array skewed (skew 0), then with the input (1) or the output (2).
template <class F>
void for_each_shape(F check) {
  for (const Shape& s : kShapes) {
    for (const int skew : {0, 1, 2}) {
      CAPTURE(s.segments);
      CAPTURE(s.length);
      CAPTURE(s.features);
      CAPTURE(skew);
      check(s, skew);
    }
  }
}

reference::Array wide(const std::vector<float>& values) {
  return {values.begin(), values.end()};
}

TEST_CASE("segment mean: one rounding a row") {
  for_each_shape([](const Shape& s, int skew) {
    const DeviceArray<float> x(normal(s.segments * s.length * s.features, 31), skew == 1);
    const auto expected = reference::segment_mean(wide(x.values()), s.length, s.features);
    reference::Array magnitude = wide(x.values());
    for (double& value : magnitude) value = std::abs(value);
    magnitude = reference::segment_mean(magnitude, s.length, s.features);
    for_each_order([&] {
      DeviceArray<float> mean(s.segments * s.features, skew == 2);
      cuda::segment_mean_forward(x.data(), mean.data(), s.segments, s.length, s.features, nullptr);
      // length - 1 additions and a division; nothing is rounded when the length is 1.
      const auto roundings = static_cast<double>(s.length == 1 ? 0 : s.length);
      check_within(mean.values(), expected,
                   [&](std::size_t i) { return roundings * kRounding * magnitude[i]; });
    });
  });
}

TEST_CASE("segment mean: backward gives every row its share") {
  for_each_shape([](const Shape& s, int skew) {
    const DeviceArray<float> dmean(normal(s.segments * s.features, 32), skew == 1);
    std::vector<float> expected;
    for (std::int64_t row = 0; row < s.segments * s.length; ++row) {
      const float* from = dmean.data() + row / s.length * s.features;
      for (std::int64_t k = 0; k < s.features; ++k) {
        expected.push_back(from[k] / static_cast<float>(s.length));
      }
    }
    for_each_order([&] {
      DeviceArray<float> dx(s.segments * s.length * s.features, skew == 2);
      cuda::segment_mean_backward(dmean.data(), dx.data(), s.segments, s.length, s.features,
                                  nullptr);
      CHECK(same(dx.values(), expected));
    });
  });
}

TEST_CASE("segment mean: a NaN stays in its segment and feature") {
  std::vector<float> values(3 * 4 * 8, 1.0F);
  values[5 * 8 + 3] = kNan;  // row 5: segment 1
  const DeviceArray<float> x(values);
  DeviceArray<float> mean(3 * 8);
  cuda::segment_mean_forward(x.data(), mean.data(), 3, 4, 8, nullptr);
  std::vector<float> expected(3 * 8, 1.0F);
  expected[8 + 3] = kNan;
  CHECK(same(mean.values(), expected));
}

}  // namespace
}  // namespace protolith::test
