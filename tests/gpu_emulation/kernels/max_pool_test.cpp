#include "kernels/cuda/max_pool.h"

#include "tests/gpu_emulation/kernels/pool_checks.h"

namespace protolith::test {
namespace {

TEST_CASE("max-pool: the first maximum wins a tie, the last NaN wins over all") {
  for (const ImageExtents& e : kPoolShapes) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    const std::vector<float> values = ties_and_nans(elements(e), 11);
    const auto expected = reference::max_pool(doubles(values), reference_extents(e));
    for_each_order([&] {
      for (const int which : kSkews) {
        const DeviceArray<float> x(values, skew(which, 0));
        DeviceArray<float> y(pooled_elements(e), skew(which, 1));
        DeviceArray<std::uint8_t> winner(pooled_elements(e), skew(which, 2));
        cuda::max_pool_forward(x.data(), y.data(), winner.data(), e, nullptr);
        CHECK(equal(y.values(), expected.y));
        CHECK(winner.values() == expected.winner);
      }
    });
  }
}

TEST_CASE("max-pool backward writes every element, zero where nothing won") {
  for (const ImageExtents& e : kPoolShapes) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    std::vector<float> gradients = normal(pooled_elements(e), 12);
    gradients[0] = kNan;
    std::vector<std::uint8_t> places(gradients.size());
    for (std::size_t i = 0; i < places.size(); ++i) {
      places[i] = static_cast<std::uint8_t>(i * 7 / 3 % 4);
    }
    const auto expected =
        reference::max_pool_backward(doubles(gradients), places, reference_extents(e));
    for_each_order([&] {
      for (const int which : kSkews) {
        const DeviceArray<float> dy(gradients, skew(which, 0));
        const DeviceArray<std::uint8_t> winner(places, skew(which, 1));
        DeviceArray<float> dx(elements(e), skew(which, 2));
        cuda::max_pool_backward(dy.data(), winner.data(), dx.data(), e, nullptr);
        CHECK(equal(dx.values(), expected));
      }
    });
  }
}

}  // namespace
}  // namespace protolith::test
