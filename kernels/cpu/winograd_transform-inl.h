// The transforms of Winograd's minimal filtering F(4,3) with the points 0, 1, -1, 2, -2 (Lavin &
// Gray 2016), once per instruction set:
//   y = A^T [(G g) * (B^T d)]   in one dimension: 6 inputs d, 3 filter taps g, 4 outputs y,
// and the adjoint of each, for the passes backward. In two dimensions a transform is applied along
// both axes. All work on vectors of channels.
#if defined(PROTOLITH_KERNELS_CPU_WINOGRAD_TRANSFORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PROTOLITH_KERNELS_CPU_WINOGRAD_TRANSFORM_INL_H_
#undef PROTOLITH_KERNELS_CPU_WINOGRAD_TRANSFORM_INL_H_
#else
#define PROTOLITH_KERNELS_CPU_WINOGRAD_TRANSFORM_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {

/// factor * x, factor * x + y and y - factor * x.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V times(D d, float factor, V x) {
  return hn::Mul(hn::Set(d, factor), x);
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V times_plus(D d, float factor, V x, V y) {
  return hn::MulAdd(hn::Set(d, factor), x, y);
}
template <class D, class V = hn::Vec<D>>
HWY_INLINE V minus_times(D d, V y, float factor, V x) {
  return hn::NegMulAdd(hn::Set(d, factor), x, y);
}

/// B^T: 6 inputs -> 6.
struct InputTransform {
  static constexpr int kIn = 6, kOut = 6;
  template <class D, class V>
  static HWY_INLINE void apply(D d, const V* in, V* out) {
    const V even = minus_times(d, in[4], 4.0F, in[2]);
    const V odd = minus_times(d, in[3], 4.0F, in[1]);
    const V far_even = hn::Sub(in[4], in[2]);
    const V far_odd = times(d, 2.0F, hn::Sub(in[3], in[1]));
    out[0] = times_plus(d, 4.0F, in[0], minus_times(d, in[4], 5.0F, in[2]));
    out[1] = hn::Add(even, odd);
    out[2] = hn::Sub(even, odd);
    out[3] = hn::Add(far_even, far_odd);
    out[4] = hn::Sub(far_even, far_odd);
    out[5] = times_plus(d, 4.0F, in[1], minus_times(d, in[5], 5.0F, in[3]));
  }
};

/// B: the gradient of 6 inputs from that of their transform.
struct InputAdjoint {
  static constexpr int kIn = 6, kOut = 6;
  template <class D, class V>
  static HWY_INLINE void apply(D d, const V* in, V* out) {
    const V near_sum = hn::Add(in[1], in[2]);
    const V near_difference = hn::Sub(in[1], in[2]);
    const V far_sum = hn::Add(in[3], in[4]);
    const V far_difference = times(d, 2.0F, hn::Sub(in[3], in[4]));
    out[0] = times(d, 4.0F, in[0]);
    out[1] = hn::Sub(times(d, 4.0F, hn::Sub(in[5], near_difference)), far_difference);
    out[2] = minus_times(d, minus_times(d, hn::Neg(far_sum), 4.0F, near_sum), 5.0F, in[0]);
    out[3] = minus_times(d, hn::Add(near_difference, far_difference), 5.0F, in[5]);
    out[4] = hn::Add(in[0], hn::Add(near_sum, far_sum));
    out[5] = in[5];
  }
};

/// A^T: 6 products -> 4 outputs.
struct OutputTransform {
  static constexpr int kIn = 6, kOut = 4;
  template <class D, class V>
  static HWY_INLINE void apply(D d, const V* in, V* out) {
    const V near_sum = hn::Add(in[1], in[2]);
    const V near_difference = hn::Sub(in[1], in[2]);
    const V far_sum = hn::Add(in[3], in[4]);
    const V far_difference = hn::Sub(in[3], in[4]);
    out[0] = hn::Add(in[0], hn::Add(near_sum, far_sum));
    out[1] = times_plus(d, 2.0F, far_difference, near_difference);
    out[2] = times_plus(d, 4.0F, far_sum, near_sum);
    out[3] = hn::Add(times_plus(d, 8.0F, far_difference, near_difference), in[5]);
  }
};

/// A: the gradient of 6 products from that of 4 outputs.
struct OutputAdjoint {
  static constexpr int kIn = 4, kOut = 6;
  template <class D, class V>
  static HWY_INLINE void apply(D d, const V* in, V* out) {
    const V even = hn::Add(in[0], in[2]);
    const V odd = hn::Add(in[1], in[3]);
    const V far_even = times_plus(d, 4.0F, in[2], in[0]);
    const V far_odd = times(d, 2.0F, times_plus(d, 4.0F, in[3], in[1]));
    out[0] = in[0];
    out[1] = hn::Add(even, odd);
    out[2] = hn::Sub(even, odd);
    out[3] = hn::Add(far_even, far_odd);
    out[4] = hn::Sub(far_even, far_odd);
    out[5] = in[3];
  }
};

/// G: 3 taps -> 6.
struct FilterTransform {
  static constexpr int kIn = 3, kOut = 6;
  template <class D, class V>
  static HWY_INLINE void apply(D d, const V* in, V* out) {
    const V outer = times(d, -1.0F / 6.0F, hn::Add(in[0], in[2]));
    const V middle = times(d, 1.0F / 6.0F, in[1]);
    const V far_outer = times_plus(d, 1.0F / 24.0F, in[0], times(d, 1.0F / 6.0F, in[2]));
    const V far_middle = times(d, 1.0F / 12.0F, in[1]);
    out[0] = times(d, 0.25F, in[0]);
    out[1] = hn::Sub(outer, middle);
    out[2] = hn::Add(outer, middle);
    out[3] = hn::Add(far_outer, far_middle);
    out[4] = hn::Sub(far_outer, far_middle);
    out[5] = in[2];
  }
};

/// G^T: the gradient of 3 taps from that of their transform.
struct FilterAdjoint {
  static constexpr int kIn = 6, kOut = 3;
  template <class D, class V>
  static HWY_INLINE void apply(D d, const V* in, V* out) {
    const V near_sum = times(d, -1.0F / 6.0F, hn::Add(in[1], in[2]));
    const V far_sum = hn::Add(in[3], in[4]);
    out[0] = times_plus(d, 0.25F, in[0], times_plus(d, 1.0F / 24.0F, far_sum, near_sum));
    out[1] = times_plus(d, 1.0F / 6.0F, hn::Sub(in[2], in[1]),
                        times(d, 1.0F / 12.0F, hn::Sub(in[3], in[4])));
    out[2] = hn::Add(times_plus(d, 1.0F / 6.0F, far_sum, near_sum), in[5]);
  }
};

/// Applies a transform along both axes: load(i, j) yields element (i, j) of the square that goes
/// in, store(i, j, v) takes that of the one that comes out; i and j are integral constants.
template <class Transform, class D, class Load, class Store>
HWY_INLINE void transform_square(D d, const Load& load, const Store& store) {
  using V = hn::Vec<D>;
  V half[Transform::kOut * Transform::kIn];
  unrolled<Transform::kIn>([&](auto j) PROTOLITH_LAMBDA {
    V in[Transform::kIn];
    V out[Transform::kOut];
    unrolled<Transform::kIn>([&](auto i) PROTOLITH_LAMBDA { in[i] = load(i, j); });
    Transform::apply(d, in, out);
    unrolled<Transform::kOut>([&](auto i)
                                  PROTOLITH_LAMBDA { half[i * Transform::kIn + j] = out[i]; });
  });
  unrolled<Transform::kOut>([&](auto i) PROTOLITH_LAMBDA {
    V in[Transform::kIn];
    V out[Transform::kOut];
    unrolled<Transform::kIn>([&](auto j)
                                 PROTOLITH_LAMBDA { in[j] = half[i * Transform::kIn + j]; });
    Transform::apply(d, in, out);
    unrolled<Transform::kOut>([&](auto j) PROTOLITH_LAMBDA { store(i, j, out[j]); });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
