#include "kernels/cuda/segment_mean.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/vector4.cuh"

namespace protolith::cuda {
namespace {

// Forward: an episode has few segments, so small blocks, a warp for each of an SM's four
// schedulers, spread them over the SMs. At most 48 registers, for the loads of several rows in
// flight. Occupancy: at least 62 %.
constexpr int kForwardThreads = 128;
// Backward: at most 32 registers, so that eight blocks of 256 threads fill an SM.
// Occupancy: at least 100 %.
constexpr int kBackwardThreads = 256;

template <int N>
__global__ void __launch_bounds__(kForwardThreads)
    forward_kernel(const float* x, float* mean, std::int64_t segments, std::int64_t length,
                   std::int64_t features) {
  const std::int64_t first = N * (std::int64_t{blockIdx.x} * kForwardThreads + threadIdx.x);
  if (first >= segments * features) return;
  const float* const from = x + first / features * length * features + first % features;
  Pack<N> total = load<N>(from);
#pragma unroll 4
  for (std::int64_t row = 1; row < length; ++row) {
    const Pack<N> values = load<N>(from + row * features);
#pragma unroll
    for (int i = 0; i < N; ++i) total.v[i] += values.v[i];
  }
  const auto divisor = static_cast<float>(length);
  store<N>(mean + first, make_pack<N>([&](int i) { return total.v[i] / divisor; }));
}

template <int N>
__global__ void __launch_bounds__(kBackwardThreads)
    backward_kernel(const float* dmean, float* dx, std::int64_t segments, std::int64_t length,
                    std::int64_t features) {
  const std::int64_t first = N * (std::int64_t{blockIdx.x} * kBackwardThreads + threadIdx.x);
  if (first >= segments * length * features) return;
  const std::int64_t segment = first / features / length;
  const Pack<N> slopes = load<N>(dmean + segment * features + first % features);
  const auto divisor = static_cast<float>(length);
  store<N>(dx + first, make_pack<N>([&](int i) { return slopes.v[i] / divisor; }));
}

}  // namespace

void segment_mean_forward(const float* x, float* mean, std::int64_t segments, std::int64_t length,
                          std::int64_t features, Stream stream) {
  with_width(features % 4 == 0 && aligned16(x, mean), [&](auto width) {
    launch(forward_kernel<width.value>,
           blocks_for(segments * features, width.value * kForwardThreads), kForwardThreads, 0,
           stream, x, mean, segments, length, features);
  });
}

void segment_mean_backward(const float* dmean, float* dx, std::int64_t segments,
                           std::int64_t length, std::int64_t features, Stream stream) {
  with_width(features % 4 == 0 && aligned16(dmean, dx), [&](auto width) {
    launch(backward_kernel<width.value>,
           blocks_for(segments * length * features, width.value * kBackwardThreads),
           kBackwardThreads, 0, stream, dmean, dx, segments, length, features);
  });
}

}  // namespace protolith::cuda
