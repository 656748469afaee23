#include "kernels/cuda/elementwise.h"

#include "tests/gpu_emulation/traffic/support.h"

namespace protolith::test {
namespace {

TEST_CASE("traffic of the element-wise kernels") {
  for (const std::int64_t count : {1, 255, 256, 1025, 5003}) {
    for (const int skew : {0, 1}) {
      CAPTURE(count);
      CAPTURE(skew);
      const DeviceArray<float> a(normal(count, 1), skew), b(normal(count, 2));
      const DeviceArray<float> factor(std::vector<float>{0.3F});
      DeviceArray<float> out(count, skew);
      check_traffic(
          cuda::add_traffic(count),
          [&] { cuda::add(a.data(), b.data(), out.data(), count, nullptr); }, a, b, out);
      check_traffic(
          cuda::scale_traffic(count),
          [&] { cuda::scale(a.data(), factor.data(), out.data(), count, nullptr); }, a, factor,
          out);
      check_traffic(
          cuda::add_traffic(count),
          [&] { cuda::add(out.data(), b.data(), out.data(), count, nullptr); }, b, out);
      check_traffic(
          cuda::fill_traffic(count), [&] { cuda::fill(out.data(), 2.5F, count, nullptr); }, out);
    }
  }
}

TEST_CASE("traffic of a mean") {
  for (const std::int64_t count : {1, 300, 512, 5003}) {
    CAPTURE(count);
    const DeviceArray<float> a(normal(count, 3));
    DeviceArray<float> out(1);
    check_traffic(
        cuda::mean_traffic(count), [&] { cuda::mean(a.data(), count, out.data(), nullptr); }, a,
        out);
  }
}

TEST_CASE("traffic of many sums, by one launch and by several") {
  for (const std::size_t items : {1U, 12U, 32U, 33U, 65U}) {
    CAPTURE(items);
    std::int64_t total = 0;
    const auto count = [](std::size_t item) { return static_cast<std::int64_t>(item * 37 % 300); };
    for (std::size_t item = 0; item < items; ++item) total += count(item) + 1;
    DeviceArray<float> targets(normal(total, 4));
    const DeviceArray<float> sources(normal(total, 5));
    std::vector<cuda::Accumulation> list;
    std::int64_t offset = 0;
    for (std::size_t item = 0; item < items; ++item) {
      list.push_back({targets.data() + offset, sources.data() + offset, count(item) + 1});
      offset += count(item) + 1;
    }
    check_traffic(
        cuda::accumulate_traffic(list), [&] { cuda::accumulate(list, nullptr); }, targets, sources);
  }
}

}  // namespace
}  // namespace protolith::test
