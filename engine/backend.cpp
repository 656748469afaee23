#include "engine/backend.h"

namespace protolith {

float Backend::read_scalar(const Tensor& scalar) {
  PROTOLITH_CHECK(scalar.dtype() == DType::f32 && scalar.elements() == 1,
                  "a scalar is read from a tensor {} {}", to_string(scalar.dtype()),
                  to_string(scalar.shape()));
  float value = 0;
  copy_to_host(scalar, &value);
  return value;
}

Tensor Backend::to_device(const Tensor& host) {
  Tensor target = persistent(host.shape(), host.dtype());
  copy(host, target);
  return target;
}

Tensor Backend::to_host(const Tensor& tensor) {
  Tensor target = Tensor::host(tensor.shape(), tensor.dtype());
  copy(tensor, target);
  return target;
}

namespace {

/// What the composed block keeps: the convolution's output is overwritten by its gradient.
class ComposedContext : public ConvBlockContext {
 public:
  ComposedContext(Tensor x, const ConvBlockParameters& parameters)
      : x_(std::move(x)), weight_(parameters.weight), gamma_(parameters.gamma) {}

  Tensor x_, weight_, gamma_, convolved_;
  BatchStatistics statistics_;
  BatchNormReluPoolResult normalized_;
};

/// Batch norm with running statistics as one multiply-add per element.
class ComposedPrepared : public PreparedConvBlock {
 public:
  Tensor weight_, scale_, shift_;
  bool pool_ = true;
};

std::int64_t rows_of(const Tensor& x) {
  return x.elements() / x.shape()[x.shape().rank() - 1];
}

}  // namespace

ConvBlockForward Backend::conv_block_forward(const Tensor& x,
                                             const ConvBlockParameters& parameters) {
  auto context = std::make_unique<ComposedContext>(x, parameters);
  context->convolved_ = convolution(x, parameters.weight, {});
  context->statistics_ = batch_statistics(context->convolved_, parameters.epsilon);
  if (parameters.momentum != 0.0F) {
    update_running_statistics(context->statistics_, rows_of(context->convolved_),
                              parameters.momentum, parameters.running_mean,
                              parameters.running_variance);
  }
  context->normalized_ =
      batch_norm_relu_pool(context->convolved_, parameters.gamma, parameters.beta,
                           context->statistics_, parameters.pool);
  Tensor y = context->normalized_.y;
  return {std::move(y), std::move(context)};
}

ConvBlockGradients Backend::conv_block_backward(std::unique_ptr<ConvBlockContext> context,
                                                const Tensor& dy, bool needs_input_grad) {
  auto* saved = dynamic_cast<ComposedContext*>(context.get());
  PROTOLITH_CHECK(saved != nullptr, "a convolution block's context came from another backend");
  if (!needs_input_grad) {
    return batch_norm_relu_pool_backward_weight(saved->x_, saved->convolved_, saved->normalized_,
                                                dy, saved->gamma_, saved->statistics_,
                                                saved->weight_.shape());
  }
  BatchNormGradients norm = batch_norm_relu_pool_backward(saved->convolved_, saved->normalized_, dy,
                                                          saved->gamma_, saved->statistics_);
  saved->normalized_ = {};
  Tensor dweight = convolution_backward_weight(saved->x_, norm.dx, saved->weight_.shape(), {});
  Tensor dx = convolution_backward_data(norm.dx, saved->weight_, saved->x_.shape(), {});
  return {std::move(dx), std::move(dweight), std::move(norm.dgamma), std::move(norm.dbeta)};
}

ConvBlockGradients Backend::batch_norm_relu_pool_backward_weight(
    const Tensor& input, const Tensor& x, const BatchNormReluPoolResult& forward, const Tensor& dy,
    const Tensor& gamma, const BatchStatistics& statistics, const Shape& weight_shape) {
  BatchNormGradients norm = batch_norm_relu_pool_backward(x, forward, dy, gamma, statistics);
  Tensor dweight = convolution_backward_weight(input, norm.dx, weight_shape, {});
  return {Tensor(), std::move(dweight), std::move(norm.dgamma), std::move(norm.dbeta)};
}

std::shared_ptr<const PreparedConvBlock> Backend::prepare_conv_block(
    const ConvBlockParameters& parameters) {
  auto prepared = std::make_shared<ComposedPrepared>();
  const Shape channels = parameters.gamma.shape();
  prepared->weight_ = persistent(parameters.weight.shape());
  prepared->scale_ = persistent(channels);
  prepared->shift_ = persistent(channels);
  prepared->pool_ = parameters.pool;
  copy(parameters.weight, prepared->weight_);
  inference_scale_shift(parameters.gamma, parameters.beta, parameters.running_mean,
                        parameters.running_variance, parameters.epsilon, prepared->scale_,
                        prepared->shift_);
  return prepared;
}

Tensor Backend::conv_block_inference(const Tensor& x, const PreparedConvBlock& prepared) {
  const auto* block = dynamic_cast<const ComposedPrepared*>(&prepared);
  PROTOLITH_CHECK(block != nullptr, "a prepared convolution block came from another backend");
  const Tensor convolved = convolution(x, block->weight_, {});
  return affine_relu_pool(convolved, block->scale_, block->shift_, block->pool_);
}

}  // namespace protolith
