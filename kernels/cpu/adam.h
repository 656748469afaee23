// One Adam step (Kingma & Ba 2015, Algorithm 1; epsilon outside the corrected root, as PyTorch)
// over a flat parameter buffer. Memory traffic: reads four arrays, writes three.
#pragma once

#include <cstdint>

#include "kernels/traffic.h"

namespace protolith::cpu {

struct AdamStep {
  float beta1, beta2, epsilon;
  float step_size;             ///< learning_rate / (1 - beta1^step)
  float deviation_correction;  ///< 1 / sqrt(1 - beta2^step)
};

/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// parameter -= step_size * m / (sqrt(v) * deviation_correction + epsilon).
void adam_step(float* parameters, const float* gradients, float* m, float* v, std::int64_t count,
               AdamStep step);

inline Traffic adam_step_traffic(std::int64_t count) {
  return {16 * count, 12 * count, 13 * count, 1};
}

}  // namespace protolith::cpu
