// Adam (Kingma & Ba 2015, Algorithm 1), epsilon outside the corrected root.
#pragma once

#include <cmath>

#include "tests/reference/array.h"

namespace protolith::reference {

struct Adam {
  double learning_rate = 1e-3, beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
};

struct AdamState {
  Array parameters, m, v;
};

/// One step; `step` counts from 1.
inline void adam_step(AdamState& state, const Array& gradients, const Adam& options, int step) {
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    const double g = gradients[i];
    state.m[i] = options.beta1 * state.m[i] + (1.0 - options.beta1) * g;
    state.v[i] = options.beta2 * state.v[i] + (1.0 - options.beta2) * g * g;
    const double m_hat = state.m[i] / (1.0 - std::pow(options.beta1, step));
    const double v_hat = state.v[i] / (1.0 - std::pow(options.beta2, step));
    state.parameters[i] -= options.learning_rate * m_hat / (std::sqrt(v_hat) + options.epsilon);
  }
}

}  // namespace protolith::reference
