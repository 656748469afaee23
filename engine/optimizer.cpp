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

AdamSchedule Adam::next() {
  AdamOptions now = options_;
  now.learning_rate = learning_rate(steps_);
  parameters_.mark_changed();
  return AdamSchedule::at(now, ++steps_);
}

void Adam::apply(const Tensor& schedule, const Tensor& failed) {
  backend_.adam_step(parameters_.values(), parameters_.gradients(), m_, v_, options_, schedule,
                     failed);
}

void Adam::step() {
  const AdamSchedule values = next();
  const Tensor schedule = backend_.empty({2}), failed = backend_.empty({1});
  backend_.copy_from_host(&values, schedule);
  backend_.fill(failed, 0.0F);
  apply(schedule, failed);
}

void Adam::restore_steps(std::int64_t steps) {
  PROTOLITH_CHECK(steps >= 0, "optimizer with {} steps", steps);
  steps_ = steps;
}

}  // namespace protolith
