// The running maximum of a pool's window, once per instruction set.
#if defined(PROTOLITH_KERNELS_CPU_POOL_WINDOW_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PROTOLITH_KERNELS_CPU_POOL_WINDOW_INL_H_
#undef PROTOLITH_KERNELS_CPU_POOL_WINDOW_INL_H_
#else
#define PROTOLITH_KERNELS_CPU_POOL_WINDOW_INL_H_
#endif

#include <cstdint>

#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

/// Whether a later value takes the lead: the first maximum stays, a NaN always wins.
template <class V>
HWY_INLINE auto takes_lead(V later, V best) {
  return hn::Or(hn::Gt(later, best), hn::IsNaN(later));
}

/// The places of the winners of one vector of windows, 0..3, or other bytes in their stead.
template <class D>
class WinnerBytes {
  using Bytes = hn::Rebind<std::uint8_t, D>;
  using Integers = hn::RebindToSigned<D>;

 public:
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  // A mask has a bit for each lane, whatever the lanes' size: places need never be wider than
  // bytes.
  using Places = Bytes;
  static HWY_INLINE void store(hn::Vec<Places> places, std::uint8_t* target) {
    hn::StoreU(places, Bytes(), target);
  }
  static HWY_INLINE hn::Vec<Places> load(const std::uint8_t* source) {
    return hn::LoadU(Bytes(), source);
  }
#else
  using Places = Integers;
  static HWY_INLINE void store(hn::Vec<Places> places, std::uint8_t* target) {
    hn::StoreU(hn::DemoteTo(Bytes(), places), Bytes(), target);
  }
  static HWY_INLINE hn::Vec<Places> load(const std::uint8_t* source) {
    return load_integers(source);
  }
#endif
  static HWY_INLINE hn::Vec<Integers> load_integers(const std::uint8_t* source) {
    return hn::PromoteTo(Integers(), hn::LoadU(Bytes(), source));
  }
  /// `places` with `place` where `lead` holds.
  static HWY_INLINE hn::Vec<Places> replace(hn::Mask<D> lead, std::uint8_t place,
                                            hn::Vec<Places> places) {
    return hn::IfThenElse(to_places(lead), hn::Set(Places(), place), places);
  }
  /// g where the winner is `place`, else 0.
  static HWY_INLINE hn::Vec<D> gradient_at(std::uint8_t place, hn::Vec<Places> places,
                                           hn::Vec<D> g) {
    return hn::IfThenElseZero(from_places(hn::Eq(places, hn::Set(Places(), place))), g);
  }

 private:
#if HWY_TARGET <= HWY_AVX3 && HWY_ARCH_X86
  static HWY_INLINE hn::Mask<Places> to_places(hn::Mask<D> mask) {
    return {static_cast<decltype(hn::Mask<Places>::raw)>(mask.raw)};
  }
  static HWY_INLINE hn::Mask<D> from_places(hn::Mask<Places> mask) {
    return {static_cast<decltype(hn::Mask<D>::raw)>(mask.raw)};
  }
#else
  static HWY_INLINE hn::Mask<Places> to_places(hn::Mask<D> mask) {
    return hn::RebindMask(Places(), mask);
  }
  static HWY_INLINE hn::Mask<D> from_places(hn::Mask<Places> mask) {
    return hn::RebindMask(D(), mask);
  }
#endif
};

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
