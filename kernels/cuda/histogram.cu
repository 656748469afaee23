#include "kernels/cuda/histogram.h"

#include <cmath>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/vector4.cuh"

namespace protolith::cuda {
namespace {

// Registers for as many threads as an SM may have: 32 where that is 2048 (eight blocks), 40 where
// 1536, 48 where 1024. Up to 1,000 bins, of 8 bytes each, shared memory has room for as many
// blocks. Occupancy: at least 100 %.
constexpr int kThreads = 256;
// Enough values a thread that adding a block's counts to the total weighs little.
constexpr std::int64_t kPerThread = 16;
// Eight blocks on each of up to 128 SMs; the rest is strides.
constexpr std::int64_t kMostBlocks = 1024;
constexpr std::size_t kSharedBytes = std::size_t{48} << 10;

__global__ void __launch_bounds__(kThreads) zero_kernel(std::int32_t* counts, std::int64_t places) {
  const std::int64_t place = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (place < places) counts[place] = 0;
}

// How many of the ascending edges [bins + 1] a value has reached; the last bin is closed.
__device__ __forceinline__ std::int64_t place_of(float value, const float* edges,
                                                 std::int64_t bins) {
  if (isnan(value)) return bins + 2;
  if (value == edges[bins]) return bins;
  std::int64_t reached = 0, candidates = bins + 1;
  while (candidates > 0) {
    const std::int64_t half = candidates / 2;
    if (value >= edges[reached + half]) {
      reached += half + 1;
      candidates -= half + 1;
    } else {
      candidates = half;
    }
  }
  return reached;
}

// Adds the grid's share of the values to counts, through edges and counts that may be shared.
template <int N>
__device__ __forceinline__ void count_values(const float* values, std::int64_t count,
                                             const float* edges, std::int64_t bins, bool magnitudes,
                                             std::int32_t* counts) {
  const std::int64_t stride = std::int64_t{gridDim.x} * kThreads * N;
  for (std::int64_t i = N * (std::int64_t{blockIdx.x} * kThreads + threadIdx.x); i < count;
       i += stride) {
    const Pack<N> pack = load<N>(values + i);
#pragma unroll
    for (int k = 0; k < N; ++k) {
      const float value = magnitudes ? fabsf(pack.v[k]) : pack.v[k];
      atomicAdd(counts + place_of(value, edges, bins), 1);
    }
  }
}

template <int N>
__global__ void __launch_bounds__(kThreads)
    shared_kernel(const float* values, std::int64_t count, const float* edges, std::int64_t bins,
                  bool magnitudes, std::int32_t* counts) {
  DYNAMIC_SHARED(float, own_edges);  // [bins + 1], then the block's counts [bins + 3]
  auto* const own_counts = reinterpret_cast<std::int32_t*>(own_edges + bins + 1);
  for (std::int64_t i = threadIdx.x; i < bins + 1; i += kThreads) own_edges[i] = edges[i];
  for (std::int64_t i = threadIdx.x; i < bins + 3; i += kThreads) own_counts[i] = 0;
  __syncthreads();
  count_values<N>(values, count, own_edges, bins, magnitudes, own_counts);
  __syncthreads();
  for (std::int64_t i = threadIdx.x; i < bins + 3; i += kThreads) {
    if (own_counts[i] != 0) atomicAdd(counts + i, own_counts[i]);
  }
}

template <int N>
__global__ void __launch_bounds__(kThreads)
    global_kernel(const float* values, std::int64_t count, const float* edges, std::int64_t bins,
                  bool magnitudes, std::int32_t* counts) {
  count_values<N>(values, count, edges, bins, magnitudes, counts);
}

}  // namespace

void histogram(const float* values, std::int64_t count, const float* edges, std::int64_t bins,
               bool magnitudes, std::int32_t* counts, Stream stream) {
  launch(zero_kernel, blocks_for(bins + 3, kThreads), kThreads, 0, stream, counts, bins + 3);
  if (count == 0) return;
  const std::size_t bytes = static_cast<std::size_t>(2 * bins + 4) * sizeof(float);
  const bool shared = bytes <= kSharedBytes;
  with_width(count % 4 == 0 && aligned16(values), [&](auto width) {
    launch(shared ? shared_kernel<width.value> : global_kernel<width.value>,
           blocks_for(count, kPerThread * kThreads, kMostBlocks), kThreads, shared ? bytes : 0,
           stream, values, count, edges, bins, magnitudes, counts);
  });
}

}  // namespace protolith::cuda
