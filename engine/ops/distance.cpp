#include "engine/ops/distance.h"

namespace protolith::ops {

Variable reshape(Backend&, const Variable& x, Shape shape) {
  auto back = [original = x.value().shape()](const Tensor& dy) -> std::vector<Tensor> {
    return {dy.reshaped(original)};
  };
  return Variable::result(x.value().reshaped(shape), {x}, std::move(back), "reshape gradient");
}

Variable rows(Backend& backend, const Variable& x, std::int64_t begin, std::int64_t end) {
  auto back = [&backend, shape = x.value().shape(),
               begin](const Tensor& dy) -> std::vector<Tensor> {
    return {backend.rows_backward(dy, shape, begin)};
  };
  return Variable::result(x.value().rows(begin, end), {x}, std::move(back), "rows gradient");
}

Variable segment_mean(Backend& backend, const Variable& x, std::int64_t length) {
  auto back = [&backend, length](const Tensor& dy) -> std::vector<Tensor> {
    return {backend.segment_mean_backward(dy, length)};
  };
  return Variable::result(backend.segment_mean(x.value(), length), {x}, std::move(back),
                          "segment_mean gradient");
}

Variable squared_distances(Backend& backend, const Variable& queries, const Variable& prototypes,
                           DistanceMethod method) {
  auto back = [&backend, q = queries.value(),
               c = prototypes.value()](const Tensor& dy) -> std::vector<Tensor> {
    DistanceGradients g = backend.squared_distances_backward(q, c, dy);
    return {g.dqueries, g.dprototypes};
  };
  return Variable::result(backend.squared_distances(queries.value(), prototypes.value(), method),
                          {queries, prototypes}, std::move(back), "squared_distances gradient");
}

LeakySoftmaxLoss leaky_softmax_loss(Backend& backend, const Variable& distances,
                                    const Tensor& labels, LeakyDistance metric,
                                    LossDiagnostics* diagnostics) {
  LossResult result = backend.leaky_softmax_loss(distances.value(), labels, metric,
                                                 distances.needs_gradient(), diagnostics);
  auto back = [&backend, gradient = result.gradient](const Tensor& dloss) -> std::vector<Tensor> {
    return {backend.scale(gradient, dloss)};
  };
  Variable loss = Variable::result(backend.mean(result.loss), {distances}, std::move(back),
                                   "leaky_softmax_loss gradient");
  return {std::move(loss), std::move(result.hit)};
}

}  // namespace protolith::ops
