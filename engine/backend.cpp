#include "engine/backend.h"

#include <cmath>
#include <utility>

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

const char* to_string(CudaBatchNorm batch_norm) {
  switch (batch_norm) {
    case CudaBatchNorm::cudnn:
      return "cudnn";
    case CudaBatchNorm::fused:
      return "fused";
    case CudaBatchNorm::composed:
      break;
  }
  return "composed";
}

AdamSchedule AdamSchedule::at(const AdamOptions& options, std::int64_t step) {
  PROTOLITH_CHECK(step >= 1, "adam step {} must be at least 1", step);
  const auto power = static_cast<double>(step);
  const double correction1 = 1.0 - std::pow(static_cast<double>(options.beta1), power);
  const double correction2 = 1.0 - std::pow(static_cast<double>(options.beta2), power);
  return {static_cast<float>(static_cast<double>(options.learning_rate) / correction1),
          static_cast<float>(1.0 / std::sqrt(correction2))};
}

void Backend::adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& m,
                        const Tensor& v, const AdamOptions& options, std::int64_t step) {
  const AdamSchedule values = AdamSchedule::at(options, step);
  const Tensor schedule = empty({2}), failed = empty({1});
  copy_from_host(&values, schedule);
  fill(failed, 0.0F);
  adam_step(parameters, gradients, m, v, options, schedule, failed);
}

void Backend::accumulate(std::span<const Accumulation> sums) {
  for (const auto& [target, source] : sums) accumulate(target, source);
}

Tensor Backend::rows_backward(const Tensor& dy, const Shape& shape, std::int64_t begin) {
  const ProfileRange range(profiler(), "rows_backward", shape);
  const std::int64_t end = begin + dy.shape()[0];
  Tensor dx = empty(shape);
  if (begin > 0) fill(dx.rows(0, begin), 0.0F);
  if (end < shape[0]) fill(dx.rows(end, shape[0]), 0.0F);
  copy(dy, dx.rows(begin, end));
  return dx;
}

namespace {

/// Work that is called anew at each run.
class RepeatedWork : public Replay {
 public:
  RepeatedWork(Backend& backend, std::function<void()> work)
      : backend_(backend), work_(std::move(work)) {}
  void run() override {
    work_();
    backend_.end_step();
  }

 private:
  Backend& backend_;
  std::function<void()> work_;
};

}  // namespace

std::unique_ptr<Replay> Backend::make_replay(std::function<void()> work) {
  return std::make_unique<RepeatedWork>(*this, std::move(work));
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
  const ProfileRange range(profiler(), "conv_block_forward", x.shape());
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
  const ProfileRange range(profiler(), "conv_block_backward", saved->x_.shape());
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
  const ProfileRange range(profiler(), "prepare_conv_block", parameters.weight.shape());
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
  const ProfileRange range(profiler(), "conv_block_inference", x.shape());
  const Tensor convolved = convolution(x, block->weight_, {});
  return affine_relu_pool(convolved, block->scale_, block->shift_, block->pool_);
}

}  // namespace protolith
