// Rectified linear unit, y = max(x, 0), with NaN passed on and a slope of 0 at 0.
// Memory traffic: forward reads x, writes y; backward reads y and dy, writes dx.
#pragma once

#include <cstdint>

namespace protolith::cpu {

/// y[i] = x[i] <= 0 ? 0 : x[i], so that NaN stays NaN; `y` may be `x`.
void relu_forward(const float* x, float* y, std::int64_t count);
/// dx[i] = y[i] <= 0 ? 0 : dy[i]; `dx` may be `dy`.
void relu_backward(const float* y, const float* dy, float* dx, std::int64_t count);

}  // namespace protolith::cpu
