#include "engine/autograd.h"

#include <algorithm>
#include <unordered_set>

namespace protolith {

struct Node {
  Tensor value;
  Tensor gradient;  // parameters: where to accumulate; results: what has arrived so far
  bool needs_gradient = false;
  bool is_parameter = false;
  bool consumed = false;
  std::vector<std::shared_ptr<Node>> inputs;
  Variable::Backward backward;
  const char* name = "";
};

namespace {

/// Nodes that need a gradient, each after all nodes it feeds (inputs come first in the result).
std::vector<std::shared_ptr<Node>> topological_order(const std::shared_ptr<Node>& root) {
  struct Visit {
    std::shared_ptr<Node> node;
    std::size_t next_input;
  };
  std::vector<std::shared_ptr<Node>> order;
  std::unordered_set<const Node*> seen{root.get()};
  std::vector<Visit> stack{{root, 0}};
  while (!stack.empty()) {
    Visit& top = stack.back();
    if (top.next_input == top.node->inputs.size()) {
      order.push_back(std::move(top.node));
      stack.pop_back();
      continue;
    }
    const std::shared_ptr<Node> input = top.node->inputs[top.next_input++];
    if (input->needs_gradient && seen.insert(input.get()).second) stack.push_back({input, 0});
  }
  return order;
}

/// Parameters' gradients wait in `accumulations`, so that the backend may add them all at once.
void receive(Backend& backend, Node& node, Tensor contribution,
             std::vector<Accumulation>& accumulations) {
  PROTOLITH_CHECK(contribution.defined() && contribution.shape() == node.value.shape(),
                  "a backward function returned {} for an input of shape {}",
                  contribution.defined() ? to_string(contribution.shape()) : "nothing",
                  to_string(node.value.shape()));
  if (node.is_parameter) {
    accumulations.push_back({node.gradient, std::move(contribution)});
  } else if (node.gradient.defined()) {
    // Not in place: the first contribution may be shared with another node.
    node.gradient = backend.add(node.gradient, contribution);
  } else {
    node.gradient = std::move(contribution);
  }
}

}  // namespace

Variable::Variable(Tensor value) : node_(std::make_shared<Node>()) {
  node_->value = std::move(value);
}

Variable Variable::parameter(Tensor value, Tensor gradient) {
  PROTOLITH_CHECK(value.shape() == gradient.shape(), "parameter {} with a gradient of shape {}",
                  to_string(value.shape()), to_string(gradient.shape()));
  Variable variable(std::move(value));
  variable.node_->gradient = std::move(gradient);
  variable.node_->needs_gradient = true;
  variable.node_->is_parameter = true;
  return variable;
}

Variable Variable::result(Tensor value, std::vector<Variable> inputs, Backward backward,
                          const char* name) {
  Variable variable(std::move(value));
  Node& node = *variable.node_;
  node.needs_gradient = std::any_of(inputs.begin(), inputs.end(),
                                    [](const Variable& input) { return input.needs_gradient(); });
  if (node.needs_gradient) {
    for (Variable& input : inputs) node.inputs.push_back(std::move(input.node_));
    node.backward = std::move(backward);
    node.name = name;
  }
  return variable;
}

const Tensor& Variable::value() const {
  PROTOLITH_CHECK(node_ != nullptr, "value of an empty variable");
  return node_->value;
}

bool Variable::needs_gradient() const {
  return node_ != nullptr && node_->needs_gradient;
}

void backward(Backend& backend, const Variable& root) {
  PROTOLITH_CHECK(root.node_ != nullptr && root.value().elements() == 1,
                  "backward() starts from a scalar");
  PROTOLITH_CHECK(root.needs_gradient(), "backward(): the result depends on no parameter");
  PROTOLITH_CHECK(!root.node_->consumed, "backward() was already called on this graph");
  const ProfileRange whole(backend.profiler(), "backward");
  Tensor seed = backend.empty(root.value().shape());
  backend.fill(seed, 1.0F);
  std::vector<Accumulation> accumulations;
  receive(backend, *root.node_, std::move(seed), accumulations);
  auto order = topological_order(root.node_);
  while (!order.empty()) {
    const std::shared_ptr<Node> node = std::move(order.back());
    order.pop_back();
    if (node->is_parameter) continue;
    PROTOLITH_CHECK(!node->consumed, "backward() was already called on a part of this graph");
    node->consumed = true;
    const ProfileRange range(backend.profiler(), node->name, node->gradient.shape());
    std::vector<Tensor> gradients = node->backward(node->gradient);
    PROTOLITH_CHECK(gradients.size() == node->inputs.size(),
                    "a backward function returned {} gradients for {} inputs", gradients.size(),
                    node->inputs.size());
    node->gradient = {};
    node->backward = nullptr;
    for (std::size_t i = 0; i < gradients.size(); ++i) {
      if (node->inputs[i]->needs_gradient) {
        receive(backend, *node->inputs[i], std::move(gradients[i]), accumulations);
      }
    }
    node->inputs.clear();
  }
  backend.accumulate(accumulations);
}

}  // namespace protolith
