#include "kernels/cuda/relu.h"

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/relu.cuh"

namespace protolith::cuda {
namespace {

template <int kWidth>
__global__ void __launch_bounds__(kElementThreads)
    relu_forward_kernel(const float* x, float* y, std::int64_t count) {
  for_elements<kWidth>(
      count, [&]<int n>(Width<n>, std::int64_t i) { store(y + i, map(relu, load<n>(x + i))); });
}

template <int kWidth>
__global__ void __launch_bounds__(kElementThreads)
    relu_backward_kernel(const float* y, const float* dy, float* dx, std::int64_t count) {
  for_elements<kWidth>(count, [&]<int n>(Width<n>, std::int64_t i) {
    store(dx + i, map(relu_gradient, load<n>(y + i), load<n>(dy + i)));
  });
}

}  // namespace

void relu_forward(const float* x, float* y, std::int64_t count, Stream stream) {
  launch_elements(aligned16(x, y), relu_forward_kernel<4>, relu_forward_kernel<1>, count, stream, x,
                  y, count);
}

void relu_backward(const float* y, const float* dy, float* dx, std::int64_t count, Stream stream) {
  launch_elements(aligned16(y, dy, dx), relu_backward_kernel<4>, relu_backward_kernel<1>, count,
                  stream, y, dy, dx, count);
}

}  // namespace protolith::cuda
