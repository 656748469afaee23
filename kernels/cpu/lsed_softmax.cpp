#include "kernels/cpu/lsed_softmax.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/lsed_softmax.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"
// After foreach_target.h.
#include "hwy/contrib/math/math-inl.h"

// Defined once, although this file is compiled for several instruction sets.
#ifndef PROTOLITH_KERNELS_CPU_LSED_SOFTMAX_ONCE
#define PROTOLITH_KERNELS_CPU_LSED_SOFTMAX_ONCE
namespace protolith::cpu {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// The length of a row in scratch memory: whole vectors of every instruction set.
constexpr std::int64_t padded(std::int64_t classes) {
  return (classes + 63) / 64 * 64;
}

// The sum of a row's e_j = exp(nearest - leaky_j), the label's apart, so that 1 - p_y is exact to
// rounding however close p_y is to 1.
struct WeightSums {
  double label, others;
  double total() const { return label + others; }
};

}  // namespace
}  // namespace protolith::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

// eq. 6 with one product and sum: d up to the threshold, d * slope + threshold * (1 - slope) beyond
// it, which is exactly d when the slope is 1 and exactly d * slope when the threshold is 0.
class Leaky {
 public:
  Leaky(float threshold, float slope)
      : threshold_(threshold == 0.0F ? -kInfinity : threshold),
        slope_(slope),
        offset_(static_cast<float>(static_cast<double>(threshold) *
                                   (1.0 - static_cast<double>(slope)))) {}

  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V value(D d, V x) const {
    return hn::IfThenElse(beyond(d, x), hn::MulAdd(x, hn::Set(d, slope_), hn::Set(d, offset_)), x);
  }
  template <class D, class V = hn::Vec<D>>
  HWY_INLINE V derivative(D d, V x) const {
    return hn::IfThenElse(beyond(d, x), hn::Set(d, slope_), hn::Set(d, 1.0F));
  }

 private:
  template <class D>
  HWY_INLINE auto beyond(D d, hn::Vec<D> x) const {
    return hn::Gt(x, hn::Set(d, threshold_));
  }
  float threshold_, slope_, offset_;
};

// Writes a row's leaky distances, padded with infinity, and returns the least of them, or NaN when
// any is NaN.
float leaky_row(const Leaky& function, const float* HWY_RESTRICT distances, std::int64_t classes,
                float* HWY_RESTRICT leaky) {
  for_vectors(0, classes, [&](auto d, std::int64_t j) HWY_ATTR {
    hn::StoreU(function.value(d, hn::LoadU(d, distances + j)), d, leaky + j);
  });
  std::fill(leaky + classes, leaky + padded(classes), kInfinity);
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  auto nearest = hn::Set(d, kInfinity);
  auto nan = hn::IsNaN(nearest);
  for (std::int64_t j = 0; j < classes; j += lanes) {
    const auto value = hn::LoadU(d, leaky + j);
    nan = hn::Or(nan, hn::IsNaN(value));
    nearest = hn::Min(nearest, value);
  }
  if (!hn::AllFalse(d, nan)) return std::numeric_limits<float>::quiet_NaN();
  return hn::GetLane(hn::MinOfLanes(d, nearest));
}

// Writes weights[j] = exp(nearest - leaky[j]), and for the label minus the sum of the others, so
// that -weights[j] / total is the gradient with respect to leaky[j] for every class.
WeightSums weigh_row(const float* HWY_RESTRICT leaky, float nearest, std::int64_t label,
                     std::int64_t classes, float* HWY_RESTRICT weights) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const auto tiniest = hn::Set(d, -104.0F);  // whose exponential is 0 in f32
  for (std::int64_t j = 0; j < classes; j += lanes) {
    const auto exponent = hn::Sub(hn::Set(d, nearest), hn::LoadU(d, leaky + j));
    hn::StoreU(hn::Exp(d, hn::Max(exponent, tiniest)), d, weights + j);
  }
  const auto label_weight = static_cast<double>(weights[label]);
  weights[label] = 0.0F;
  const double others = std::isfinite(nearest) ? sum_in_double(weights, classes)
                                               : std::numeric_limits<double>::quiet_NaN();
  weights[label] = -static_cast<float>(others);
  return {label_weight, others};
}

void gradient_row(const LsedSoftmax& s, const Leaky& function, std::int64_t row, double total,
                  const float* HWY_RESTRICT weights) {
  const auto factor = static_cast<float>(-1.0 / total);
  const std::int64_t first = row * s.classes;
  for_vectors(0, s.classes, [&](auto d, std::int64_t j) HWY_ATTR {
    const auto own = hn::Mul(hn::LoadU(d, weights + j), hn::Set(d, factor));
    if (s.leaky_gradient != nullptr) hn::StoreU(own, d, s.leaky_gradient + first + j);
    if (s.gradient != nullptr) {
      const auto derivative = function.derivative(d, hn::LoadU(d, s.distances + first + j));
      hn::StoreU(hn::Mul(hn::Mul(own, derivative), hn::Set(d, s.gradient_scale)), d,
                 s.gradient + first + j);
    }
  });
}

// Rows [begin, end); `scratch` holds two padded rows.
void loss_rows(const LsedSoftmax& s, float* HWY_RESTRICT scratch, std::int64_t begin,
               std::int64_t end) {
  const Leaky function(s.threshold, s.slope);
  float* const leaky = scratch;
  float* const weights = scratch + padded(s.classes);
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t label = s.labels[row];
    const float nearest = leaky_row(function, s.distances + row * s.classes, s.classes, leaky);
    const WeightSums sums = weigh_row(leaky, nearest, label, s.classes, weights);
    const double margin = static_cast<double>(leaky[label]) - static_cast<double>(nearest);
    // log of the total, which is at least 1, without losing what exceeds 1.
    s.loss[row] = static_cast<float>(margin + std::log1p(sums.others + (sums.label - 1.0)));
    if (s.hit != nullptr) {
      s.hit[row] = std::find(leaky, leaky + s.classes, nearest) == leaky + label ? 1.0F : 0.0F;
    }
    if (s.leaky != nullptr) std::copy(leaky, leaky + s.classes, s.leaky + row * s.classes);
    if (s.gradient != nullptr || s.leaky_gradient != nullptr) {
      gradient_row(s, function, row, sums.total(), weights);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(loss_rows);
}

void lsed_softmax(const LsedSoftmax& arguments) {
  const std::int64_t minimum = rows_per_range(16 * arguments.classes);  // an exp is worth 16 sums
  const std::int64_t scratch_row = 2 * padded(arguments.classes);
  std::vector<float> scratch(
      static_cast<std::size_t>(range_count(arguments.rows, minimum) * scratch_row));
  const auto work = [&](std::int64_t begin, std::int64_t end, int range) {
    HWY_DYNAMIC_DISPATCH(loss_rows)(arguments, scratch.data() + range * scratch_row, begin, end);
  };
  parallel_ranges(arguments.rows, minimum, work);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
