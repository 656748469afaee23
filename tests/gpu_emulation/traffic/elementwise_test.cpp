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

}  // namespace
}  // namespace protolith::test
