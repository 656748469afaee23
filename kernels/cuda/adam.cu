#include "kernels/cuda/adam.h"

#include "kernels/cuda/elements.cuh"

namespace protolith::cuda {
namespace {

/// AdamConstants with their complements, rounded once from double.
struct AdamCoefficients {
  float beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon;
};

AdamCoefficients coefficients(const AdamConstants& constants) {
  return {constants.beta1, static_cast<float>(1.0 - static_cast<double>(constants.beta1)),
          constants.beta2, static_cast<float>(1.0 - static_cast<double>(constants.beta2)),
          constants.epsilon};
}

template <int kWidth>
__global__ void __launch_bounds__(kElementThreads)
    adam_kernel(float* parameters, const float* gradients, float* m, float* v, std::int64_t count,
                AdamCoefficients k, const float* schedule, const float* failed) {
  if (*failed != 0.0F) return;
  const float step_size = schedule[0];
  const float deviation_correction = schedule[1];
  for_elements<kWidth>(count, [&]<int n>(Width<n>, std::int64_t i) {
    const Pack<n> g = load<n>(gradients + i);
    const Pack<n> first =
        map([&](float old, float x) { return fmaf(k.beta1, old, k.one_minus_beta1 * x); },
            load<n>(m + i), g);
    const Pack<n> second =
        map([&](float old, float x) { return fmaf(k.beta2, old, k.one_minus_beta2 * (x * x)); },
            load<n>(v + i), g);
    const Pack<n> moved = map(
        [&](float parameter, float mean, float square) {
          const float deviation = fmaf(sqrtf(square), deviation_correction, k.epsilon);
          return parameter - step_size * mean / deviation;
        },
        load<n>(parameters + i), first, second);
    store(m + i, first);
    store(v + i, second);
    store(parameters + i, moved);
  });
}

}  // namespace

void adam_step(float* parameters, const float* gradients, float* m, float* v, std::int64_t count,
               AdamConstants constants, const float* schedule, const float* failed, Stream stream) {
  launch_elements(aligned16(parameters, gradients, m, v), adam_kernel<4>, adam_kernel<1>, count,
                  stream, parameters, gradients, m, v, count, coefficients(constants), schedule,
                  failed);
}

}  // namespace protolith::cuda
