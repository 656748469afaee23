#include "kernels/cuda/relu.h"

#include "tests/gpu_emulation/kernels/pool_checks.h"

namespace protolith::test {
namespace {

TEST_CASE("relu keeps NaN, turns -0 into 0 and has slope 0 at 0, in place too") {
  for (const std::int64_t count : {1, 3, 5, 255, 257, 1024, 1025, 5003}) {
    CAPTURE(count);
    const std::vector<float> values = ties_and_nans(count, 4);
    const std::vector<float> gradients = normal(count, 5);
    const auto expected = reference::relu(doubles(values));
    const auto expected_dx = reference::relu_backward(expected, doubles(gradients));
    for_each_order([&] {
      for (const int which : kSkews) {
        DeviceArray<float> x(values, skew(which, 0)), dy(gradients, skew(which, 1)),
            y(count, skew(which, 2)), dx(count, skew(which, 3));
        cuda::relu_forward(x.data(), y.data(), count, nullptr);
        CHECK(equal(y.values(), expected));
        cuda::relu_backward(y.data(), dy.data(), dx.data(), count, nullptr);
        CHECK(equal(dx.values(), expected_dx));
        cuda::relu_forward(x.data(), x.data(), count, nullptr);
        CHECK(equal(x.values(), expected));
        cuda::relu_backward(y.data(), dy.data(), dy.data(), count, nullptr);
        CHECK(equal(dy.values(), expected_dx));
      }
    });
  }
}

}  // namespace
}  // namespace protolith::test
