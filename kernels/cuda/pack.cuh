// A thread's adjacent f32 elements: four by one 16-byte access, or one where alignment or the
// number of channels does not allow that. Kernels are written once, for either width.
#pragma once

#include <type_traits>

#include "kernels/cuda/vector4.cuh"

namespace protolith::cuda {

template <int kWidth>
struct alignas(4 * kWidth) Pack {
  float v[kWidth];

  __device__ __forceinline__ Pack& operator+=(const Pack& other) {
    for (int k = 0; k < kWidth; ++k) v[k] += other.v[k];
    return *this;
  }
};

template <int kWidth>
__device__ __forceinline__ Pack<kWidth> load(const float* p) {
  static_assert(kWidth == 1 || kWidth == 4);
  if constexpr (kWidth == 4) {
    const float4 four = load4(p);
    return {{four.x, four.y, four.z, four.w}};
  } else {
    return {{*p}};
  }
}

template <int kWidth>
__device__ __forceinline__ void store(float* p, const Pack<kWidth>& a) {
  static_assert(kWidth == 1 || kWidth == 4);
  if constexpr (kWidth == 4) {
    store4(p, {a.v[0], a.v[1], a.v[2], a.v[3]});
  } else {
    *p = a.v[0];
  }
}

/// By 4-byte accesses at any width: for constants of channels, which a thread reads once for many
/// rows and which need no alignment.
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> load_constants(const float* p) {
  Pack<kWidth> result;
  for (int k = 0; k < kWidth; ++k) result.v[k] = p[k];
  return result;
}

/// f(k) for each place.
template <int kWidth, class F>
__device__ __forceinline__ Pack<kWidth> make_pack(const F& f) {
  Pack<kWidth> result;
  for (int k = 0; k < kWidth; ++k) result.v[k] = f(k);
  return result;
}

/// f of the packs' elements, place by place.
template <int kWidth, class F, class... Rest>
__device__ __forceinline__ Pack<kWidth> map(const F& f, const Pack<kWidth>& first,
                                            const Rest&... rest) {
  Pack<kWidth> result;
  for (int k = 0; k < kWidth; ++k) result.v[k] = f(first.v[k], rest.v[k]...);
  return result;
}

/// On the host: f(an integral constant), 4 when `four`, else 1.
template <class F>
void with_width(bool four, const F& f) {
  if (four) {
    f(std::integral_constant<int, 4>());
  } else {
    f(std::integral_constant<int, 1>());
  }
}

}  // namespace protolith::cuda
