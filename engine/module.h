#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/autograd.h"

namespace protolith {

/// A tensor's name in checkpoints and its shape.
struct TensorSpec {
  std::string name;
  Shape shape;
};

/// All learned parameters of a model in one flat buffer, their gradients in another, so that an
/// optimizer step is one kernel and a gradient all-reduce one call. Each parameter starts at a
/// multiple of 16 elements; the gaps stay 0.
class ParameterBuffer {
 public:
  ParameterBuffer(Backend& backend, std::vector<TensorSpec> specs);

  std::size_t size() const noexcept { return specs_.size(); }
  const TensorSpec& spec(std::size_t i) const { return specs_.at(i); }
  /// The parameter as a leaf of the graph.
  const Variable& variable(std::size_t i) const { return variables_.at(i); }
  const Tensor& gradient(std::size_t i) const { return gradient_views_.at(i); }

  const Tensor& values() const noexcept { return values_; }
  const Tensor& gradients() const noexcept { return gradients_; }
  /// Number of learned values, gaps not counted.
  std::int64_t parameter_count() const noexcept { return count_; }

  /// Rises whenever the values change; prepared weights are stale when it differs.
  std::uint64_t version() const noexcept { return version_; }
  void mark_changed() noexcept { ++version_; }

 private:
  std::vector<TensorSpec> specs_;
  Tensor values_, gradients_;
  std::vector<Tensor> gradient_views_;
  std::vector<Variable> variables_;
  std::int64_t count_ = 0;
  std::uint64_t version_ = 1;
};

}  // namespace protolith
