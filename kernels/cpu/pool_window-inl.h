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

/// The places of the winners of one vector of windows, 0..3, as bytes in memory.
template <class D>
class WinnerBytes {
 public:
  using Places = hn::RebindToSigned<D>;
  using Bytes = hn::Rebind<std::uint8_t, D>;

  static HWY_INLINE void store(hn::Vec<Places> places, std::uint8_t* target) {
    hn::StoreU(hn::DemoteTo(Bytes(), places), Bytes(), target);
  }
  static HWY_INLINE hn::Vec<Places> load(const std::uint8_t* source) {
    return hn::PromoteTo(Places(), hn::LoadU(Bytes(), source));
  }
  /// `places` with `place` where `lead` holds.
  static HWY_INLINE hn::Vec<Places> replace(hn::Mask<D> lead, int place, hn::Vec<Places> places) {
    return hn::IfThenElse(hn::RebindMask(Places(), lead), hn::Set(Places(), place), places);
  }
  /// g where the winner is `place`, else 0.
  static HWY_INLINE hn::Vec<D> gradient_at(int place, hn::Vec<Places> places, hn::Vec<D> g) {
    return hn::IfThenElseZero(hn::RebindMask(D(), hn::Eq(places, hn::Set(Places(), place))), g);
  }
};

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
