#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/backend.h"

namespace protolith {

struct Node;

/// A tensor in the graph of a computation, for reverse-mode differentiation: a shared handle on a
/// node that holds the value and, when some input needs a gradient, how to pass one back.
class Variable {
 public:
  Variable() = default;
  /// A constant: needs no gradient and costs nothing in the backward pass.
  explicit Variable(Tensor value);
  /// A parameter: backward() adds its gradient to `gradient` (of the same shape), which the caller
  /// zeroes.
  static Variable parameter(Tensor value, Tensor gradient);
  /// The result of an operation. `backward` gets the gradient of the result and returns one tensor
  /// per input, undefined where that input needs none; it runs at most once. When no input needs a
  /// gradient, inputs and `backward` are dropped at once. `name`, a literal, is what a profile
  /// calls the backward function.
  using Backward = std::function<std::vector<Tensor>(const Tensor& gradient)>;
  static Variable result(Tensor value, std::vector<Variable> inputs, Backward backward,
                         const char* name = "gradient");

  const Tensor& value() const;
  bool needs_gradient() const;

 private:
  friend void backward(Backend& backend, const Variable& root);
  std::shared_ptr<Node> node_;
};

/// Differentiates `root`, a tensor of one element, with respect to every parameter it depends on:
/// their gradients are accumulated. Frees the graph as it goes, so it can be called once per graph.
/// Throws Error when root has more than one element, depends on no parameter, or was used before.
void backward(Backend& backend, const Variable& root);

}  // namespace protolith
