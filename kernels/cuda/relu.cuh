// ReLU of one element, forward and backward: NaN passes, the slope at 0 is 0.
#pragma once

#include <cuda_runtime.h>

namespace protolith::cuda {

__device__ __forceinline__ float relu(float x) {
  return x <= 0.0F ? 0.0F : x;
}

/// The gradient dy through a ReLU whose output was y.
__device__ __forceinline__ float relu_gradient(float y, float dy) {
  return y <= 0.0F ? 0.0F : dy;
}

}  // namespace protolith::cuda
