#include "engine/optimizer.h"

#include <algorithm>
#include <cmath>

namespace protolith {

Adam::Adam(Backend& backend, ParameterBuffer& parameters, AdamOptions options,
           std::int64_t halve_every)
    : backend_(backend),
      parameters_(parameters),
      options_(options),
      halve_every_(halve_every),
      m_(backend.persistent(parameters.values().shape())),
      v_(backend.persistent(parameters.values().shape())) {}

void Adam::zero_gradients() {
  backend_.fill(parameters_.gradients(), 0.0F);
}

float Adam::learning_rate(std::int64_t steps) const {
  const std::int64_t halvings = halve_every_ > 0 ? steps / halve_every_ : 0;
  return std::ldexp(options_.learning_rate,
                    -static_cast<int>(std::min<std::int64_t>(halvings, 1000)));
}

void Adam::step() {
  AdamOptions now = options_;
  now.learning_rate = learning_rate(steps_);
  ++steps_;
  backend_.adam_step(parameters_.values(), parameters_.gradients(), m_, v_, now, steps_);
  parameters_.mark_changed();
}

void Adam::restore_steps(std::int64_t steps) {
  PROTOLITH_CHECK(steps >= 0, "optimizer with {} steps", steps);
  steps_ = steps;
}

}  // namespace protolith
