#include "kernels/cuda/row_tiles.cuh"

#include "tests/gpu_emulation/kernels/support.h"

namespace protolith::test {
namespace {

constexpr int kThreads = 64;

// The sums of first and second over the rows of a block, twice in a row by the same memory.
__global__ void two_sums(const float* first, const float* second, float* out) {
  const unsigned i = threadIdx.y * blockDim.x + threadIdx.x;
  float a[1] = {first[i]}, b[1] = {second[i]};
  cuda::sum_over_rows<kThreads>(a);
  cuda::sum_over_rows<kThreads>(b);
  out[2 * i] = a[0];
  out[2 * i + 1] = b[0];
}

TEST_CASE("sum_over_rows gives every thread its column's sum, call after call") {
  for (const unsigned across : {1U, 3U, 8U, 31U, 64U}) {
    for (unsigned down = 1; down * across <= kThreads; ++down) {
      CAPTURE(across);
      CAPTURE(down);
      const DeviceArray<float> first(quarters(down * across, 1)),
          second(quarters(down * across, 2));
      std::vector<float> sums(std::size_t{2} * across, 0.0F);
      for (std::size_t i = 0; i < first.size(); ++i) {
        sums[2 * (i % across)] += first.data()[i];
        sums[2 * (i % across) + 1] += second.data()[i];
      }
      for_each_order([&] {
        DeviceArray<float> out(2 * down * across);
        cuda::launch(two_sums, 1, dim3(across, down), 0, nullptr, first.data(), second.data(),
                     out.data());
        for (std::size_t i = 0; i < out.size(); ++i) {
          REQUIRE(out.data()[i] == sums[i % sums.size()]);
        }
      });
    }
  }
}

}  // namespace
}  // namespace protolith::test
