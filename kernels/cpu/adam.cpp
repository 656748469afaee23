#include "kernels/cpu/adam.h"

#include <cmath>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/adam.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

// Defined once, although this file is compiled for several instruction sets.
#ifndef PROTOLITH_KERNELS_CPU_ADAM_COEFFICIENTS
#define PROTOLITH_KERNELS_CPU_ADAM_COEFFICIENTS
namespace protolith::cpu {
namespace {

/// An AdamStep's constants, rounded once from double.
struct AdamCoefficients {
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float step_size;             // learning_rate / (1 - beta1^step)
  float deviation_correction;  // 1 / sqrt(1 - beta2^step)
  float epsilon;
};

}  // namespace
}  // namespace protolith::cpu
#endif

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

void adam_range(float* parameters, const float* gradients, float* m, float* v,
                const AdamCoefficients& k, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](auto d, std::int64_t i) HWY_ATTR {
    const auto g = hn::LoadU(d, gradients + i);
    const auto first = hn::MulAdd(hn::Set(d, k.beta1), hn::LoadU(d, m + i),
                                  hn::Mul(hn::Set(d, k.one_minus_beta1), g));
    const auto second = hn::MulAdd(hn::Set(d, k.beta2), hn::LoadU(d, v + i),
                                   hn::Mul(hn::Set(d, k.one_minus_beta2), hn::Mul(g, g)));
    const auto deviation =
        hn::MulAdd(hn::Sqrt(second), hn::Set(d, k.deviation_correction), hn::Set(d, k.epsilon));
    const auto update = hn::Div(hn::Mul(hn::Set(d, k.step_size), first), deviation);
    hn::StoreU(first, d, m + i);
    hn::StoreU(second, d, v + i);
    hn::StoreU(hn::Sub(hn::LoadU(d, parameters + i), update), d, parameters + i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(adam_range);

AdamCoefficients coefficients(const AdamStep& step) {
  return {.beta1 = step.beta1,
          .one_minus_beta1 = static_cast<float>(1.0 - static_cast<double>(step.beta1)),
          .beta2 = step.beta2,
          .one_minus_beta2 = static_cast<float>(1.0 - static_cast<double>(step.beta2)),
          .step_size = step.step_size,
          .deviation_correction = step.deviation_correction,
          .epsilon = step.epsilon};
}
}  // namespace

void adam_step(float* parameters, const float* gradients, float* m, float* v, std::int64_t count,
               AdamStep step) {
  const AdamCoefficients k = coefficients(step);
  parallel_ranges(count, kElementsPerRange, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(adam_range)(parameters, gradients, m, v, k, begin, end);
  });
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
