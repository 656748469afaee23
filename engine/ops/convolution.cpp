#include "engine/ops/convolution.h"

namespace protolith::ops {

Variable convolution(Backend& backend, const Variable& x, const Variable& weight,
                     ConvolutionGeometry geometry) {
  Tensor y = backend.convolution(x.value(), weight.value(), geometry);
  auto back = [&backend, x_value = x.value(), w = weight.value(), geometry,
               x_needs = x.needs_gradient(),
               w_needs = weight.needs_gradient()](const Tensor& dy) -> std::vector<Tensor> {
    return {
        x_needs ? backend.convolution_backward_data(dy, w, x_value.shape(), geometry) : Tensor(),
        w_needs ? backend.convolution_backward_weight(x_value, dy, w.shape(), geometry) : Tensor()};
  };
  return Variable::result(std::move(y), {x, weight}, std::move(back), "convolution gradient");
}

Variable batch_norm(Backend& backend, const Variable& x, const Variable& gamma,
                    const Variable& beta, float epsilon, BatchStatistics* used) {
  BatchStatistics statistics = backend.batch_statistics(x.value(), epsilon);
  if (used != nullptr) *used = statistics;
  Tensor y = backend.batch_norm(x.value(), gamma.value(), beta.value(), statistics);
  auto back = [&backend, x_value = x.value(), g = gamma.value(),
               statistics](const Tensor& dy) -> std::vector<Tensor> {
    BatchNormGradients gradients = backend.batch_norm_backward(x_value, dy, g, statistics);
    return {gradients.dx, gradients.dgamma, gradients.dbeta};
  };
  return Variable::result(std::move(y), {x, gamma, beta}, std::move(back), "batch_norm gradient");
}

Variable relu(Backend& backend, const Variable& x) {
  Tensor y = backend.relu(x.value());
  auto back = [&backend, y](const Tensor& dy) -> std::vector<Tensor> {
    return {backend.relu_backward(y, dy)};
  };
  return Variable::result(std::move(y), {x}, std::move(back), "relu gradient");
}

Variable max_pool(Backend& backend, const Variable& x) {
  PoolResult pooled = backend.max_pool(x.value());
  auto back = [&backend, winner = pooled.winner,
               shape = x.value().shape()](const Tensor& dy) -> std::vector<Tensor> {
    return {backend.max_pool_backward(dy, winner, shape)};
  };
  return Variable::result(std::move(pooled.y), {x}, std::move(back), "max_pool gradient");
}

ConvBlockParameters ConvBlock::parameters() const {
  return {weight.value(),   gamma.value(), beta.value(), running_mean,
          running_variance, epsilon,       momentum,     pool};
}

Variable conv_block(Backend& backend, const Variable& x, const ConvBlock& block) {
  ConvBlockForward forward = backend.conv_block_forward(x.value(), block.parameters());
  // std::function wants copyable captures; the context has one owner all the same.
  auto context = std::make_shared<std::unique_ptr<ConvBlockContext>>(std::move(forward.context));
  auto back = [&backend, context,
               x_needs = x.needs_gradient()](const Tensor& dy) -> std::vector<Tensor> {
    ConvBlockGradients g = backend.conv_block_backward(std::move(*context), dy, x_needs);
    return {g.dx, g.dweight, g.dgamma, g.dbeta};
  };
  return Variable::result(std::move(forward.y), {x, block.weight, block.gamma, block.beta},
                          std::move(back), "conv_block gradient");
}

Variable conv_block_composed(Backend& backend, const Variable& x, const ConvBlock& block) {
  const Variable convolved = convolution(backend, x, block.weight);
  BatchStatistics statistics;
  const Variable normalized =
      batch_norm(backend, convolved, block.gamma, block.beta, block.epsilon, &statistics);
  if (block.momentum != 0.0F) {
    const Shape& s = convolved.value().shape();
    backend.update_running_statistics(statistics, s[0] * s[1] * s[2], block.momentum,
                                      block.running_mean, block.running_variance);
  }
  const Variable rectified = relu(backend, normalized);
  return block.pool ? max_pool(backend, rectified) : rectified;
}

}  // namespace protolith::ops
