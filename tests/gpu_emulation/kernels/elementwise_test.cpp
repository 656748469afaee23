#include "kernels/cuda/elementwise.h"

#include "tests/gpu_emulation/kernels/support.h"

namespace protolith::test {
namespace {

// One element, fewer than a vector, one past a vector, a block of either width and one past it.
constexpr std::int64_t kCounts[] = {1, 3, 5, 255, 256, 257, 1024, 1025, 5003};

TEST_CASE("element-wise kernels equal the definition, bit for bit") {
  for (const std::int64_t count : kCounts) {
    for (const int which : kSkews) {
      CAPTURE(count);
      CAPTURE(which);
      const DeviceArray<float> a(normal(count, 1), skew(which, 0));
      const DeviceArray<float> b(normal(count, 2), skew(which, 1));
      const DeviceArray<float> factor(std::vector<float>{0.3F}, 1);
      for_each_order([&] {
        DeviceArray<float> sum(count, skew(which, 2)), scaled(count, skew(which, 2)),
            filled(count, skew(which, 2));
        cuda::add(a.data(), b.data(), sum.data(), count, nullptr);
        cuda::scale(a.data(), factor.data(), scaled.data(), count, nullptr);
        cuda::fill(filled.data(), 2.5F, count, nullptr);
        for (std::size_t i = 0; i < sum.size(); ++i) {
          REQUIRE(sum.data()[i] == a.data()[i] + b.data()[i]);
          REQUIRE(scaled.data()[i] == a.data()[i] * 0.3F);
          REQUIRE(filled.data()[i] == 2.5F);
        }
      });
    }
  }
}

TEST_CASE("element-wise kernels in place; NaN passes through") {
  std::vector<float> values = normal(1030, 3);
  values[7] = kNan;
  values[1029] = kNan;
  const DeviceArray<float> b(normal(1030, 4)), factor(std::vector<float>{-2.0F});
  DeviceArray<float> first(values), second(values), scaled(values);
  cuda::add(first.data(), b.data(), first.data(), 1030, nullptr);
  cuda::add(b.data(), second.data(), second.data(), 1030, nullptr);
  cuda::scale(scaled.data(), factor.data(), scaled.data(), 1030, nullptr);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) {
      REQUIRE(std::isnan(first.data()[i]));
      REQUIRE(std::isnan(scaled.data()[i]));
    } else {
      REQUIRE(first.data()[i] == values[i] + b.data()[i]);
      REQUIRE(second.data()[i] == first.data()[i]);
      REQUIRE(scaled.data()[i] == values[i] * -2.0F);
    }
  }
}

double mean_of(const std::vector<float>& values) {
  const DeviceArray<float> a(values, 1);
  DeviceArray<float> out(1);
  cuda::mean(a.data(), static_cast<std::int64_t>(a.size()), out.data(), nullptr);
  return static_cast<double>(out.data()[0]);
}

TEST_CASE("mean: one rounding from the sum in extended precision, in every order") {
  for (const std::int64_t count : {1, 2, 300, 511, 512, 513, 20001}) {
    CAPTURE(count);
    // Large terms that cancel across threads: sums in f32 would be off by far more than the bound.
    std::vector<float> values = normal(count, 5);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] += i % 2 == 0 ? 1e4F : -1e4F;
    long double total = 0.0L, magnitude = 0.0L;
    for (const float value : values) {
      total += static_cast<long double>(value);
      magnitude += std::abs(static_cast<long double>(value));
    }
    const auto n = static_cast<long double>(count);
    const auto expected = static_cast<double>(total / n);
    // A thread's additions and the tree's 9 in double, the quotient, and the result's rounding.
    const double bound = std::abs(expected) * kRounding +
                         static_cast<double>((n / 512.0L + 11.0L) * magnitude / n) * 0x1p-53;
    std::vector<double> results;
    for_each_order([&] { results.push_back(mean_of(values)); });
    for (const double result : results) {
      CHECK(std::abs(result - expected) <= bound);
      CHECK(result == results.front());
    }
  }
  CHECK(std::isnan(mean_of({1.0F, kNan, 2.0F})));
  CHECK(std::isinf(mean_of({1.0F, std::numeric_limits<float>::infinity(), 2.0F})));
}

// A list of `size` arrays of different lengths, every third unaligned.
void check_accumulate(int size) {
  std::vector<DeviceArray<float>> targets, sources;
  std::vector<std::vector<float>> expected;
  std::vector<cuda::Accumulation> list;
  for (int k = 0; k < size; ++k) {
    const std::int64_t count = k == 3 ? 1029 : 1 + k * k % 70;
    const auto seed = static_cast<unsigned>(2 * k);
    targets.emplace_back(normal(count, seed), k % 3 == 0 ? 1 : 0);
    sources.emplace_back(normal(count, seed + 1), k % 6 == 1 ? 1 : 0);
    expected.push_back(targets.back().values());
    for (std::size_t i = 0; i < expected.back().size(); ++i) {
      expected.back()[i] += sources.back().data()[i];
    }
    list.push_back({targets.back().data(), sources.back().data(), count});
  }
  cuda::accumulate(list, nullptr);
  for (std::size_t k = 0; k < targets.size(); ++k) {
    CAPTURE(k);
    CHECK(targets[k].values() == expected[k]);
  }
}

TEST_CASE("accumulate: every array of the list, over one launch and several") {
  CHECK_NOTHROW(cuda::accumulate({}, nullptr));
  for_each_order([] {
    for (const int size : {1, 2, 31, 32, 33, 70}) {
      CAPTURE(size);
      check_accumulate(size);
    }
  });
  CHECK(cuda::accumulate_traffic(std::vector<cuda::Accumulation>(33)).launches == 2);
}

}  // namespace
}  // namespace protolith::test
