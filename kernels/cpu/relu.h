// Rectified linear unit, y = max(x, 0), with NaN passed on and a slope of 0 at 0.
// Memory traffic: forward reads x, writes y; backward reads y and dy, writes dx.
#pragma once

#include <cstdint>

#include "kernels/traffic.h"

namespace protolith::cpu {

/// y[i] = x[i] <= 0 ? 0 : x[i], so that NaN stays NaN; `y` may be `x`.
void relu_forward(const float* x, float* y, std::int64_t count);
/// dx[i] = y[i] <= 0 ? 0 : dy[i]; `dx` may be `dy`.
void relu_backward(const float* y, const float* dy, float* dx, std::int64_t count);

inline Traffic relu_forward_traffic(std::int64_t count) {
  return {4 * count, 4 * count, count, 1};
}
inline Traffic relu_backward_traffic(std::int64_t count) {
  return {8 * count, 4 * count, count, 1};
}

}  // namespace protolith::cpu
