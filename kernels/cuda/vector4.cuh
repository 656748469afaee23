// 16-byte accesses to f32 arrays.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>

namespace protolith::cuda {

/// Whether all pointers are multiples of 16 bytes.
template <class... T>
__host__ __device__ bool aligned16(const T*... pointers) {
  return ((reinterpret_cast<std::uintptr_t>(pointers) % 16 == 0) && ...);
}

__device__ __forceinline__ float4 load4(const float* p) {
  return *reinterpret_cast<const float4*>(p);
}
__device__ __forceinline__ void store4(float* p, float4 v) {
  *reinterpret_cast<float4*>(p) = v;
}

}  // namespace protolith::cuda
