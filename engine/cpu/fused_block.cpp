// CpuBackend's convolution blocks: by fused kernels where they fit, else composed of primitives.
#include "engine/cpu/fused_block.h"

#include "engine/cpu/cpu_backend.h"
#include "engine/expect.h"
#include "kernels/cpu/batch_norm.h"
#include "kernels/cpu/batch_norm_relu_pool.h"
#include "kernels/cpu/winograd_backward.h"
#include "kernels/cpu/winograd_filter.h"
#include "kernels/cpu/winograd_forward.h"

namespace protolith {
namespace {

cpu::ConvolutionExtents convolution_extents(const Shape& x, std::int64_t filters) {
  return {x[0], x[1], x[2], x[3], filters};
}

/// What a shape says; anything that is wrong is left for the composed block to refuse.
bool is_3x3(const Shape& weight) {
  return weight.rank() == 4 && weight[1] == 3 && weight[2] == 3;
}

bool fits_winograd(const Shape& weight) {
  return is_3x3(weight) && weight[0] % cpu::kChannelStep == 0 && weight[3] % cpu::kChannelStep == 0;
}

void expect_block(const Tensor& x, const ConvBlockParameters& p) {
  expect_rank(x, "block x", x.device(), 4);
  PROTOLITH_CHECK(x.shape()[3] == p.weight.shape()[3],
                  "cannot convolve {} (NHWC) with filters {} (KRSC)", to_string(x.shape()),
                  to_string(p.weight.shape()));
  if (p.pool) pooled_shape(x.shape());
}

void expect_parameters(const ConvBlockParameters& p, Device device) {
  expect_rank(p.weight, "block weight", device, 4);
  const Shape channels{p.weight.shape()[0]};
  expect_shape(p.gamma, "gamma", device, channels);
  expect_shape(p.beta, "beta", device, channels);
  expect_shape(p.running_mean, "running mean", device, channels);
  expect_shape(p.running_variance, "running variance", device, channels);
}

}  // namespace

Tensor CpuBackend::scratch(std::int64_t floats) {
  return empty({floats}, DType::f32);
}

ConvBlockForward CpuBackend::conv_block_forward(const Tensor& x,
                                                const ConvBlockParameters& parameters) {
  expect_parameters(parameters, device());
  if (kind_ == CpuConvolution::direct || !fits_winograd(parameters.weight.shape())) {
    return Backend::conv_block_forward(x, parameters);
  }
  expect_block(x, parameters);
  const auto e = convolution_extents(x.shape(), parameters.weight.shape()[0]);
  auto context = std::make_unique<WinogradContext>();
  context->x = x;
  context->gamma = parameters.gamma;
  context->filters = scratch(cpu::winograd_filter_elements(e.filters, e.channels));
  context->convolved = empty({e.images, e.height, e.width, e.filters}, DType::f32);
  context->statistics = {scratch(e.filters), scratch(e.filters), scratch(e.filters)};
  const BatchStatistics& statistics = context->statistics;
  {
    const Tensor by_channel = scratch(context->filters.elements());
    cpu::winograd_transform_filters(parameters.weight.data<float>(), nullptr,
                                    context->filters.data<float>(), by_channel.data<float>(),
                                    e.filters, e.channels);
    const Tensor memory = scratch(cpu::winograd_forward_scratch(e));
    cpu::winograd_forward(x.data<float>(), by_channel.data<float>(),
                          context->convolved.data<float>(), statistics.mean.data<float>(),
                          statistics.variance.data<float>(), e, memory.data<float>());
  }
  cpu::batch_norm_inverse_deviation(statistics.variance.data<float>(), parameters.epsilon,
                                    statistics.inv_std.data<float>(), e.filters);
  if (parameters.momentum != 0.0F) {
    update_running_statistics(statistics, e.pixels(), parameters.momentum, parameters.running_mean,
                              parameters.running_variance);
  }
  context->normalized = batch_norm_relu_pool(context->convolved, parameters.gamma, parameters.beta,
                                             statistics, parameters.pool);
  Tensor y = context->normalized.y;
  return {std::move(y), std::move(context)};
}

ConvBlockGradients CpuBackend::conv_block_backward(std::unique_ptr<ConvBlockContext> context,
                                                   const Tensor& dy, bool needs_input_grad) {
  const auto* saved = dynamic_cast<WinogradContext*>(context.get());
  if (saved == nullptr) {
    return Backend::conv_block_backward(std::move(context), dy, needs_input_grad);
  }
  const BatchNormReluPoolResult& normalized = saved->normalized;
  expect_shape(dy, "block dy", device(), normalized.y.shape());
  const auto e = convolution_extents(saved->x.shape(), saved->gamma.elements());
  const bool pooled = normalized.winner.defined();
  ConvBlockGradients g{needs_input_grad ? empty(saved->x.shape(), DType::f32) : Tensor(),
                       empty({e.filters, 3, 3, e.channels}, DType::f32), scratch(e.filters),
                       scratch(e.filters)};
  const cpu::WinogradBackward inputs{
      .x = saved->x.data<float>(),
      .filters = saved->filters.data<float>(),
      .z = saved->convolved.data<float>(),
      .y = normalized.y.data<float>(),
      .dy = dy.data<float>(),
      .winner = pooled ? normalized.winner.data<std::uint8_t>() : nullptr,
      .gamma = saved->gamma.data<float>(),
      .mean = saved->statistics.mean.data<float>(),
      .inv_std = saved->statistics.inv_std.data<float>(),
      .dgamma = g.dgamma.data<float>(),
      .dbeta = g.dbeta.data<float>()};
  const cpu::ImageExtents extents{e.images, e.height, e.width, e.filters};
  const auto reduce =
      pooled ? cpu::pool_relu_batch_norm_backward_reduce : cpu::relu_batch_norm_backward_reduce;
  reduce(pooled ? normalized.selected.data<float>() : inputs.z, inputs.y, inputs.dy, inputs.mean,
         inputs.inv_std, g.dgamma.data<float>(), g.dbeta.data<float>(), extents);
  const Tensor memory = scratch(cpu::winograd_backward_scratch(e));
  cpu::winograd_backward(inputs, g.dweight.data<float>(),
                         needs_input_grad ? g.dx.data<float>() : nullptr, e, memory.data<float>());
  return g;
}

std::shared_ptr<const PreparedConvBlock> CpuBackend::prepare_conv_block(
    const ConvBlockParameters& parameters) {
  expect_parameters(parameters, device());
  const Shape& shape = parameters.weight.shape();
  if (kind_ == CpuConvolution::direct || !fits_winograd(shape)) {
    return Backend::prepare_conv_block(parameters);
  }
  auto prepared = std::make_shared<WinogradPrepared>();
  const std::int64_t elements = cpu::winograd_filter_elements(shape[0], shape[3]);
  prepared->filters = persistent({cpu::kPlanes, shape[3], shape[0]}, DType::f32);
  prepared->shift = persistent({shape[0]}, DType::f32);
  prepared->pool = parameters.pool;
  const Tensor scale = scratch(shape[0]);
  inference_scale_shift(parameters.gamma, parameters.beta, parameters.running_mean,
                        parameters.running_variance, parameters.epsilon, scale, prepared->shift);
  const Tensor by_filter = scratch(elements);
  cpu::winograd_transform_filters(parameters.weight.data<float>(), scale.data<float>(),
                                  by_filter.data<float>(), prepared->filters.data<float>(),
                                  shape[0], shape[3]);
  return prepared;
}

Tensor CpuBackend::conv_block_inference(const Tensor& x, const PreparedConvBlock& prepared) {
  const auto* block = dynamic_cast<const WinogradPrepared*>(&prepared);
  if (block == nullptr) return Backend::conv_block_inference(x, prepared);
  expect_rank(x, "block x", device(), 4);
  const std::int64_t filters = block->shift.elements();
  PROTOLITH_CHECK(x.shape()[3] == block->filters.shape()[1],
                  "block x has {} channels, its filters have {}", x.shape()[3],
                  block->filters.shape()[1]);
  const auto e = convolution_extents(x.shape(), filters);
  const Shape shape{e.images, e.height, e.width, filters};
  Tensor y = empty(block->pool ? pooled_shape(shape) : shape, DType::f32);
  const Tensor memory = scratch(cpu::winograd_forward_scratch(e));
  cpu::winograd_inference(x.data<float>(), block->filters.data<float>(), block->shift.data<float>(),
                          block->pool, y.data<float>(), e, memory.data<float>());
  return y;
}

}  // namespace protolith
