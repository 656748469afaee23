// One Adam step (Kingma & Ba 2015, Algorithm 1; epsilon outside the corrected root, as PyTorch)
// over a flat parameter buffer, all four arrays in one pass. What changes from step to step is read
// from device memory, so that a recorded graph of launches can be replayed; so is the flag by which
// an episode whose loss is not a number leaves the model as it is, without asking the host.
// Memory traffic: reads four arrays, writes three.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

struct AdamConstants {
  float beta1, beta2, epsilon;
};

/// m = beta1 m + (1 - beta1) g; v = beta2 v + (1 - beta2) g^2;
/// parameter -= step_size * m / (sqrt(v) * deviation_correction + epsilon).
/// `schedule`, f32[2] in device memory: step_size = learning_rate / (1 - beta1^step) and
/// deviation_correction = 1 / sqrt(1 - beta2^step), step = 1 for the first one.
/// `failed`, f32[1] in device memory: unless it is 0, nothing changes.
void adam_step(float* parameters, const float* gradients, float* m, float* v, std::int64_t count,
               AdamConstants constants, const float* schedule, const float* failed, Stream stream);

inline Traffic adam_step_traffic(std::int64_t count) {
  return {16 * count + 12, 12 * count, 13 * count, 1};
}

}  // namespace protolith::cuda
