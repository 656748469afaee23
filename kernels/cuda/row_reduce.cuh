// Reductions over a warp and over a block in a fixed order, whose result every thread gets.
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/launch.cuh"

namespace protolith::cuda {

struct Sum {
  template <class T>
  __device__ __forceinline__ T operator()(T a, T b) const {
    return a + b;
  }
};

/// The lesser of two values; NaN when either is.
struct Least {
  __device__ __forceinline__ float operator()(float a, float b) const {
    return a < b || isnan(a) ? a : b;
  }
};

__device__ __forceinline__ int lane_index() {
  return static_cast<int>(threadIdx.x % kWarp);
}
__device__ __forceinline__ int warp_index() {
  return static_cast<int>(threadIdx.x / kWarp);
}

/// `op` of the values of all 32 lanes; the same bits in every lane when op(a, b) == op(b, a).
template <class T, class Op>
__device__ __forceinline__ T warp_reduce(T value, Op op) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) {
    const T other = __shfl_xor_sync(kFullMask, value, distance);
    value = op(value, other);
  }
  return value;
}

/// `op` of the values of all threads of a block of kWarps warps along x; `partial`, shared, is free
/// again on return.
template <int kWarps, class T, class Op>
__device__ __forceinline__ T block_reduce(T value, Op op, T (&partial)[kWarps]) {
  value = warp_reduce(value, op);
  if (lane_index() == 0) partial[warp_index()] = value;
  __syncthreads();
  value = partial[0];
#pragma unroll
  for (int warp = 1; warp < kWarps; ++warp) value = op(value, partial[warp]);
  __syncthreads();
  return value;
}

}  // namespace protolith::cuda
