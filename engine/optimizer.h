#pragma once

#include "engine/module.h"

namespace protolith {

/// Adam (Kingma & Ba 2015) over a model's flat buffer, with a learning rate that is halved every
/// `halve_every` steps (0: never).
class Adam {
 public:
  Adam(Backend& backend, ParameterBuffer& parameters, AdamOptions options,
       std::int64_t halve_every);

  /// Sets all gradients to 0.
  void zero_gradients();
  /// Counts one more step on the host and returns what changes with it.
  AdamSchedule next();
  /// Applies the accumulated gradients, on the device: Backend::adam_step().
  void apply(const Tensor& schedule, const Tensor& failed);
  /// Both at once.
  void step();

  /// The learning rate that the step after `steps` finished ones uses.
  float learning_rate(std::int64_t steps) const;
  /// Steps done so far.
  std::int64_t steps() const noexcept { return steps_; }
  /// The moments, laid out as the parameters are; exposed for checkpoints.
  const Tensor& first_moment() const noexcept { return m_; }
  const Tensor& second_moment() const noexcept { return v_; }
  /// Continues from restored moments.
  void restore_steps(std::int64_t steps);

 private:
  Backend& backend_;
  ParameterBuffer& parameters_;
  AdamOptions options_;
  std::int64_t halve_every_;
  std::int64_t steps_ = 0;
  Tensor m_, v_;
};

}  // namespace protolith
