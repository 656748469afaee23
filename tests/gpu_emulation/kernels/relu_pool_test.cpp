#include "kernels/cuda/relu_pool.h"

#include "tests/gpu_emulation/kernels/pool_checks.h"

namespace protolith::test {
namespace {

TEST_CASE("relu and max-pool in one equal the two, forward and backward") {
  for (const ImageExtents& e : kPoolShapes) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    const std::vector<float> values = ties_and_nans(elements(e), 13);
    const std::vector<float> gradients = normal(pooled_elements(e), 14);
    const reference::Extents extents = reference_extents(e);
    const auto expected = reference::max_pool(reference::relu(doubles(values)), extents);
    const auto entering = reference::relu_backward(expected.y, doubles(gradients));
    const auto expected_dx = reference::max_pool_backward(entering, expected.winner, extents);
    for_each_order([&] {
      for (const int which : kSkews) {
        const DeviceArray<float> x(values, skew(which, 0)), dy(gradients, skew(which, 0));
        DeviceArray<float> y(pooled_elements(e), skew(which, 1)), inference(pooled_elements(e)),
            dx(elements(e), skew(which, 2));
        DeviceArray<std::uint8_t> winner(pooled_elements(e), skew(which, 3));
        cuda::relu_max_pool_forward(x.data(), y.data(), winner.data(), e, nullptr);
        CHECK(equal(y.values(), expected.y));
        CHECK(winner.values() == expected.winner);
        cuda::relu_max_pool_forward(x.data(), inference.data(), nullptr, e, nullptr);
        CHECK(equal(inference.values(), expected.y));
        cuda::relu_max_pool_backward(dy.data(), y.data(), winner.data(), dx.data(), e, nullptr);
        CHECK(equal(dx.values(), expected_dx));
      }
    });
  }
}

}  // namespace
}  // namespace protolith::test
