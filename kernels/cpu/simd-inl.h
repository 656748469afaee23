// What the SIMD kernels share; included once per instruction set, after hwy/highway.h.
#if defined(PROTOLITH_KERNELS_CPU_SIMD_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PROTOLITH_KERNELS_CPU_SIMD_INL_H_
#undef PROTOLITH_KERNELS_CPU_SIMD_INL_H_
#else
#define PROTOLITH_KERNELS_CPU_SIMD_INL_H_
#endif

#include <cstdint>
#include <utility>

#include "hwy/highway.h"

/// For the small lambdas inside kernels: a call that is not inlined costs the registers' contents.
#ifndef PROTOLITH_LAMBDA
#define PROTOLITH_LAMBDA HWY_ATTR __attribute__((always_inline))
#endif

/// Functions that exist for every size of a tile are inlined into the loop over tiles: calls cost 5
/// %. Sanitizers' compilers take minutes for such loops.
#ifndef PROTOLITH_TILE_FUNCTION
#ifdef PROTOLITH_SANITIZED
#define PROTOLITH_TILE_FUNCTION HWY_NOINLINE
#else
#define PROTOLITH_TILE_FUNCTION HWY_INLINE
#endif
#endif

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

template <class F, int... kIndices>
HWY_INLINE void unrolled(std::integer_sequence<int, kIndices...>, const F& f) {
  (f(std::integral_constant<int, kIndices>()), ...);
}
/// Calls f(i) for i = 0 ... kCount - 1 as integral constants, so that arrays of vectors that are
/// indexed by i stay in registers.
template <int kCount, class F>
HWY_INLINE void unrolled(const F& f) {
  unrolled(std::make_integer_sequence<int, kCount>(), f);
}

/// Calls f(d, i) for i = begin, begin + Lanes(d), ...: with full vectors as far as they go, then
/// with one lane at a time, so that nothing outside [begin, end) is touched.
template <class F>
HWY_INLINE void for_vectors(std::int64_t begin, std::int64_t end, const F& f) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t i = begin;
  for (; i + lanes <= end; i += lanes) f(d, i);
  const hn::CappedTag<float, 1> one;
  for (; i < end; ++i) f(one, i);
}

/// 32 of them, not 16.
inline constexpr bool kManyRegisters = HWY_TARGET <= HWY_AVX3 || HWY_ARCH_ARM_A64;

/// A loaded vector, to be used several times: without this g++ loads it again for every use.
template <class V>
HWY_INLINE V in_register(V v) {
#if HWY_COMPILER_GCC_ACTUAL && HWY_ARCH_X86 && HWY_TARGET <= HWY_AVX2
  __asm__("" : "+v"(v.raw));
#endif
  return v;
}

/// Stores a vector; past the caches if `streamed` (streamed.h), to p aligned to a vector. Whoever
/// streams calls hwy::FlushStream() before another thread may read.
template <class D, class V = hn::Vec<D>>
HWY_INLINE void store(V v, D d, float* p, bool streamed) {
  if (streamed) {
    hn::Stream(v, d, p);
  } else {
    hn::StoreU(v, d, p);
  }
}

/// x <= 0 ? 0 : x, so that NaN stays NaN (Max need not do that).
template <class D, class V = hn::Vec<D>>
HWY_INLINE V relu(D d, V x) {
  return hn::IfThenZeroElse(hn::Le(x, hn::Zero(d)), x);
}

/// The gradient dy through a ReLU whose output was y: y <= 0 ? 0 : dy.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V relu_gradient(D d, V y, V dy) {
  return hn::IfThenZeroElse(hn::Le(y, hn::Zero(d)), dy);
}

/// The sum of a[0, count), in double, in an order that depends on the instruction set alone.
HWY_INLINE double sum_in_double(const float* HWY_RESTRICT a, std::int64_t count) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto even = hn::Zero(d);
  auto odd = hn::Zero(d);
  std::int64_t i = 0;
  for (; i + 2 * lanes <= count; i += 2 * lanes) {
    even = hn::Add(even, hn::PromoteTo(d, hn::LoadU(half, a + i)));
    odd = hn::Add(odd, hn::PromoteTo(d, hn::LoadU(half, a + i + lanes)));
  }
  double total = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
  for (; i < count; ++i) total += static_cast<double>(a[i]);
  return total;
}

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
