// Stands in for the CUDA toolkit's header of the same name: kernels/cuda/*.cu include it and become
// plain C++ that the executor (executor.h) runs. CUDA's device language as far as those sources use
// it; what is missing does not compile. Two things cannot be had without nvcc and are written
// differently in the kernels: shared arrays (the macros below; kernels/cuda/launch.cuh has nvcc's)
// and <<<>>> (cudaLaunchKernel).
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#include "tests/gpu_emulation/simt/executor.h"

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

// Host side.

using cudaStream_t = CUstream_st*;
enum cudaError_t { cudaSuccess = 0, cudaErrorInvalidConfiguration = 9 };
inline const char* cudaGetErrorString(cudaError_t error) {
  return error == cudaSuccess ? "no error" : "invalid configuration argument";
}

/// Copies the arguments, by the types of the kernel's parameters, and submits the launch. Throws
/// simt::Error for a configuration that CUDA refuses.
template <class... P>
cudaError_t cudaLaunchKernel(void (*kernel)(P...), dim3 grid, dim3 block, void** arguments,
                             std::size_t shared_bytes, cudaStream_t stream) {
  auto values = [&]<std::size_t... I>(std::index_sequence<I...>) {
    return std::tuple<P...>(*static_cast<std::remove_reference_t<P>*>(arguments[I])...);
  }
  (std::index_sequence_for<P...>());
  simt::Launch launch{reinterpret_cast<const void*>(kernel), grid, block, shared_bytes,
                      [kernel, values] { std::apply(kernel, values); }};
  simt::check_launch(launch);
  simt::submit(stream, [launch = std::move(launch)] { simt::run(launch); });
  return cudaSuccess;
}

// Shared memory.

#define SHARED_ARRAY(T, name, dims)      \
  static constexpr char name##_key_ = 0; \
  using name##_type_ = T dims;           \
  name##_type_& name =                   \
      *static_cast<name##_type_*>(simt::shared_array(&name##_key_, sizeof(name##_type_)))
#define DYNAMIC_SHARED(T, name) T* const name = static_cast<T*>(simt::dynamic_shared())

// Barriers and warp operations; the last argument is the caller's line.

inline constexpr int warpSize = 32;

inline void __syncthreads(simt::Site site = simt::Site::here()) {
  simt::synchronize_block(site);
}
inline void __syncwarp(unsigned mask = ~0U, simt::Site site = simt::Site::here()) {
  simt::synchronize_warp(mask, site);
}

namespace simt {

// Lanes are shuffled within groups of `width`; a source outside of the group means one's own value.
template <class T>
T shuffle_value(unsigned mask, T value, int source, int width, Site site) {
  static_assert(sizeof(T) <= sizeof(std::uint64_t) && std::is_trivially_copyable_v<T>);
  const int lane = static_cast<int>(current_lane);
  if (source / width != lane / width) source = -1;
  std::uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof value);
  bits = shuffle(mask, bits, source, site);
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

}  // namespace simt

template <class T>
T __shfl_sync(unsigned mask, T value, int source, int width = warpSize,
              simt::Site site = simt::Site::here()) {
  const int lane = static_cast<int>(simt::current_lane);
  return simt::shuffle_value(mask, value, lane / width * width + (source & (width - 1)), width,
                             site);
}
// CUDA lets this one reach into earlier groups.
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int bits, int width = warpSize,
                  simt::Site site = simt::Site::here()) {
  const int lane = static_cast<int>(simt::current_lane), source = lane ^ bits;
  return simt::shuffle_value(mask, value, source / width > lane / width ? lane : source, warpSize,
                             site);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                   simt::Site site = simt::Site::here()) {
  return simt::shuffle_value(mask, value, static_cast<int>(simt::current_lane + delta), width,
                             site);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta, int width = warpSize,
                 simt::Site site = simt::Site::here()) {
  const int source = static_cast<int>(simt::current_lane) - static_cast<int>(delta);
  return simt::shuffle_value(mask, value, source < 0 ? -width : source, width, site);
}

inline unsigned __ballot_sync(unsigned mask, int predicate, simt::Site site = simt::Site::here()) {
  return simt::vote(mask, predicate != 0, site);
}
inline int __any_sync(unsigned mask, int predicate, simt::Site site = simt::Site::here()) {
  return simt::vote(mask, predicate != 0, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, simt::Site site = simt::Site::here()) {
  return simt::vote(mask, predicate != 0, site) == mask;
}

// Atomics, on integers only: sums of floats in whatever order would differ from run to run.

inline int atomicAdd(int* p, int value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
inline unsigned atomicAdd(unsigned* p, unsigned value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
inline unsigned long long atomicAdd(unsigned long long* p, unsigned long long value) {
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
inline int atomicMax(int* p, int value) {
  int old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < value &&
         !__atomic_compare_exchange_n(p, &old, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
  return old;
}

// Arithmetic. Host functions stand for the device's: exp and 1/sqrt differ in the last bit or two,
// and the approximate __expf is exact here.

using std::isfinite;
using std::isinf;
using std::isnan;
using std::max;
using std::min;

template <class T>
T __ldg(const T* p) {
  return *p;
}
inline float rsqrtf(float x) {
  return 1.0F / std::sqrt(x);
}
inline float __expf(float x) {
  return std::exp(x);
}
inline float __logf(float x) {
  return std::log(x);
}
inline float __fdividef(float x, float y) {
  return x / y;
}
inline int __popc(unsigned bits) {
  return __builtin_popcount(bits);
}
inline int __clz(int bits) {
  return bits == 0 ? 32 : __builtin_clz(static_cast<unsigned>(bits));
}
inline int __ffs(int bits) {
  return __builtin_ffs(bits);
}
inline int __float_as_int(float x) {
  int bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float __int_as_float(int bits) {
  float x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}
