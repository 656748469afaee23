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

enum class BlockKind : std::uint8_t { composed, winograd, first };

/// A convolution of few channels is bound by memory: there bf16 has nothing to win and the fused
/// block, in fp32, takes a quarter of the time.
BlockKind kind_of(const ConvBlockParameters& p, CpuConvolution convolution,
                  CpuPrecision precision) {
  const Shape& weight = p.weight.shape();
  if (weight[1] != 3 || weight[2] != 3 || weight[0] % cpu::kChannelStep != 0) {
    return BlockKind::composed;
  }
  const bool direct = convolution == CpuConvolution::direct;
  if (weight[3] <= kFewChannels && p.pool && (!direct || precision == CpuPrecision::bf16)) {
    return BlockKind::first;
  }
  return weight[3] % cpu::kChannelStep == 0 && !direct ? BlockKind::winograd : BlockKind::composed;
}

void expect_parameters(const ConvBlockParameters& p, Device device) {
  expect_rank(p.weight, "block weight", device, 4);
  const Shape channels{p.weight.shape()[0]};
  expect_shape(p.gamma, "gamma", device, channels);
  expect_shape(p.beta, "beta", device, channels);
  expect_shape(p.running_mean, "running mean", device, channels);
  expect_shape(p.running_variance, "running variance", device, channels);
}

/// The extents of the convolution of x with [filters,3,3,channels], checked.
cpu::ConvolutionExtents convolution_extents(const Tensor& x, std::int64_t filters,
                                            std::int64_t channels, bool pool) {
  expect_rank(x, "block x", {}, 4);
  const Shape& s = x.shape();
  const Shape y = convolution_shape(s, {filters, 3, 3, channels}, 1, 1);
  if (pool) pooled_shape(y);
  return {s[0], s[1], s[2], s[3], filters};
}

Shape output_shape(const cpu::ConvolutionExtents& e, bool pool) {
  const Shape shape{e.images, e.height, e.width, e.filters};
  return pool ? pooled_shape(shape) : shape;
}

}  // namespace

Tensor CpuBackend::floats(std::int64_t count) {
  return empty({count}, DType::f32);
}

ConvBlockForward CpuBackend::conv_block_forward(const Tensor& x,
                                                const ConvBlockParameters& parameters) {
  expect_parameters(parameters, device());
  switch (kind_of(parameters, blocks_, precision_)) {
    case BlockKind::winograd:
      return winograd_forward(x, parameters);
    case BlockKind::first:
      return first_block_forward(x, parameters);
    default:
      return Backend::conv_block_forward(x, parameters);
  }
}

ConvBlockGradients CpuBackend::conv_block_backward(std::unique_ptr<ConvBlockContext> context,
                                                   const Tensor& dy, bool needs_input_grad) {
  if (const auto* saved = dynamic_cast<WinogradContext*>(context.get())) {
    return winograd_backward(*saved, dy, needs_input_grad);
  }
  if (const auto* saved = dynamic_cast<FirstBlockContext*>(context.get())) {
    return first_block_backward(*saved, dy, needs_input_grad);
  }
  return Backend::conv_block_backward(std::move(context), dy, needs_input_grad);
}

/// What both kinds do with a batch's mean and variance.
void CpuBackend::finish_statistics(const BatchStatistics& statistics, std::int64_t rows,
                                   const ConvBlockParameters& parameters) {
  cpu::batch_norm_inverse_deviation(statistics.variance.data<float>(), parameters.epsilon,
                                    statistics.inv_std.data<float>(),
                                    statistics.variance.elements());
  if (parameters.momentum == 0.0F) return;
  update_running_statistics(statistics, rows, parameters.momentum, parameters.running_mean,
                            parameters.running_variance);
}

ConvBlockForward CpuBackend::winograd_forward(const Tensor& x,
                                              const ConvBlockParameters& parameters) {
  const Shape& weight = parameters.weight.shape();
  const auto e = convolution_extents(x, weight[0], weight[3], parameters.pool);
  const ProfileRange range(profiler(), "conv_block_forward", x.shape());
  auto context = std::make_unique<WinogradContext>();
  context->x = x;
  context->gamma = parameters.gamma;
  context->filters = floats(cpu::winograd_filter_elements(e.filters, e.channels));
  context->convolved = empty(output_shape(e, false), DType::f32);
  context->statistics = {floats(e.filters), floats(e.filters), floats(e.filters)};
  const BatchStatistics& statistics = context->statistics;
  {
    const Tensor by_channel = floats(context->filters.elements());
    {
      const ProfileRange filters(profiler(), "winograd filters", weight);
      cpu::winograd_transform_filters(parameters.weight.data<float>(), nullptr,
                                      cpu::TileGrid(e).planes(), context->filters.data<float>(),
                                      by_channel.data<float>(), e.filters, e.channels);
    }
    const Tensor memory = floats(cpu::winograd_forward_scratch(e));
    const ProfileRange convolution(profiler(), "winograd forward", x.shape(), [&] {
      return convolution_cost(x.shape(), weight, context->convolved.shape());
    });
    cpu::winograd_forward(x.data<float>(), by_channel.data<float>(),
                          context->convolved.data<float>(), statistics.mean.data<float>(),
                          statistics.variance.data<float>(), e, memory.data<float>());
  }
  finish_statistics(statistics, e.pixels(), parameters);
  context->normalized = batch_norm_relu_pool(context->convolved, parameters.gamma, parameters.beta,
                                             statistics, parameters.pool);
  Tensor y = context->normalized.y;
  return {std::move(y), std::move(context)};
}

ConvBlockGradients CpuBackend::winograd_backward(const WinogradContext& saved, const Tensor& dy,
                                                 bool needs_input_grad) {
  const BatchNormReluPoolResult& normalized = saved.normalized;
  expect_shape(dy, "block dy", device(), normalized.y.shape());
  const bool pooled = normalized.winner.defined();
  const auto e = convolution_extents(saved.x, saved.gamma.elements(), saved.x.shape()[3], pooled);
  const ProfileRange range(profiler(), "conv_block_backward", saved.x.shape());
  ConvBlockGradients g{needs_input_grad ? empty(saved.x.shape(), DType::f32) : Tensor(),
                       empty({e.filters, 3, 3, e.channels}, DType::f32), floats(e.filters),
                       floats(e.filters)};
  const cpu::WinogradBackward inputs{
      .x = saved.x.data<float>(),
      .filters = saved.filters.data<float>(),
      .z = saved.convolved.data<float>(),
      .y = normalized.y.data<float>(),
      .dy = dy.data<float>(),
      .winner = pooled ? normalized.winner.data<std::uint8_t>() : nullptr,
      .gamma = saved.gamma.data<float>(),
      .mean = saved.statistics.mean.data<float>(),
      .inv_std = saved.statistics.inv_std.data<float>(),
      .dgamma = g.dgamma.data<float>(),
      .dbeta = g.dbeta.data<float>()};
  const auto reduce =
      pooled ? cpu::pool_relu_batch_norm_backward_reduce : cpu::relu_batch_norm_backward_reduce;
  {
    // Of what the pool chose, or of all.
    const ProfileRange sums(profiler(), "batch norm gradient sums", dy.shape(), [&] {
      return pass_cost(4, {dy.shape(), dy.shape(), dy.shape()});
    });
    reduce(pooled ? normalized.selected.data<float>() : inputs.z, inputs.y, inputs.dy, inputs.mean,
           inputs.inv_std, g.dgamma.data<float>(), g.dbeta.data<float>(),
           {e.images, e.height, e.width, e.filters});
  }
  const Tensor memory = floats(cpu::winograd_backward_scratch(e));
  const ProfileRange gradients(profiler(), "winograd backward", saved.x.shape(), [&] {
    return (needs_input_grad ? 2 : 1) *
           convolution_cost(saved.x.shape(), g.dweight.shape(), saved.convolved.shape());
  });
  cpu::winograd_backward(inputs, g.dweight.data<float>(),
                         needs_input_grad ? g.dx.data<float>() : nullptr, e, memory.data<float>());
  return g;
}

ConvBlockForward CpuBackend::first_block_forward(const Tensor& x,
                                                 const ConvBlockParameters& parameters) {
  const Shape& weight = parameters.weight.shape();
  const auto e = convolution_extents(x, weight[0], weight[3], true);
  const ProfileRange range(profiler(), "conv_block_forward", x.shape());
  auto context = std::make_unique<FirstBlockContext>();
  context->x = x;
  context->parameters = parameters;
  {
    const ProfileRange patches(profiler(), "first block patch statistics", x.shape());
    context->patches = cpu::patch_statistics(x.data<float>(), e);
  }
  context->statistics = {floats(e.filters), floats(e.filters), floats(e.filters)};
  const BatchStatistics& statistics = context->statistics;
  cpu::patch_moments(context->patches, parameters.weight.data<float>(), e.filters,
                     statistics.mean.data<float>(), statistics.variance.data<float>());
  finish_statistics(statistics, e.pixels(), parameters);
  const Tensor scale = floats(e.filters);
  const Tensor shift = floats(e.filters);
  cpu::batch_norm_scale_shift(parameters.gamma.data<float>(), parameters.beta.data<float>(),
                              statistics.mean.data<float>(), statistics.inv_std.data<float>(),
                              scale.data<float>(), shift.data<float>(), e.filters);
  Tensor y = empty(output_shape(e, true), DType::f32);
  context->winner = empty(y.shape(), DType::u8);
  const ProfileRange convolution(profiler(), "first block forward", x.shape(), [&] {
    return convolution_block_cost(x.shape(), weight, output_shape(e, false), y.shape());
  });
  cpu::first_block_forward(x.data<float>(), parameters.weight.data<float>(), scale.data<float>(),
                           shift.data<float>(), y.data<float>(),
                           context->winner.data<std::uint8_t>(), e);
  return {std::move(y), std::move(context)};
}

ConvBlockGradients CpuBackend::first_block_backward(const FirstBlockContext& saved,
                                                    const Tensor& dy, bool needs_input_grad) {
  const ConvBlockParameters& parameters = saved.parameters;
  expect_shape(dy, "block dy", device(), saved.winner.shape());
  if (needs_input_grad) {  // nobody trains images; this is here for completeness
    ConvBlockParameters again = parameters;
    again.momentum = 0.0F;
    return Backend::conv_block_backward(Backend::conv_block_forward(saved.x, again).context, dy,
                                        true);
  }
  const Shape& weight = parameters.weight.shape();
  const auto e = convolution_extents(saved.x, weight[0], weight[3], true);
  const ProfileRange range(profiler(), "conv_block_backward", saved.x.shape());
  ConvBlockGradients g{Tensor(), empty(weight, DType::f32), floats(e.filters), floats(e.filters)};
  const cpu::FirstBlockBackward inputs{.x = saved.x.data<float>(),
                                       .weight = parameters.weight.data<float>(),
                                       .dy = dy.data<float>(),
                                       .winner = saved.winner.data<std::uint8_t>(),
                                       .gamma = parameters.gamma.data<float>(),
                                       .mean = saved.statistics.mean.data<float>(),
                                       .inv_std = saved.statistics.inv_std.data<float>()};
  // Counted as a direct weight gradient.
  const ProfileRange gradients(profiler(), "first block backward", saved.x.shape(), [&] {
    return convolution_block_cost(saved.x.shape(), weight, output_shape(e, false), dy.shape());
  });
  cpu::first_block_backward(inputs, saved.patches, g.dweight.data<float>(), g.dgamma.data<float>(),
                            g.dbeta.data<float>(), e);
  return g;
}

std::shared_ptr<const PreparedConvBlock> CpuBackend::prepare_conv_block(
    const ConvBlockParameters& parameters) {
  expect_parameters(parameters, device());
  const BlockKind kind = kind_of(parameters, blocks_, precision_);
  if (kind == BlockKind::composed) return Backend::prepare_conv_block(parameters);
  const ProfileRange range(profiler(), "prepare_conv_block", parameters.weight.shape());
  const Shape& weight = parameters.weight.shape();
  const auto fold = [&](const Tensor& scale, const Tensor& shift) {
    inference_scale_shift(parameters.gamma, parameters.beta, parameters.running_mean,
                          parameters.running_variance, parameters.epsilon, scale, shift);
  };
  if (kind == BlockKind::first) {
    auto prepared = std::make_shared<FirstBlockPrepared>();
    prepared->weight = to_device(parameters.weight);
    prepared->scale = persistent({weight[0]}, DType::f32);
    prepared->shift = persistent({weight[0]}, DType::f32);
    fold(prepared->scale, prepared->shift);
    return prepared;
  }
  auto prepared = std::make_shared<WinogradPrepared>();
  prepared->filters = persistent({cpu::winograd_filter_elements(weight[0], weight[3])}, DType::f32);
  prepared->shift = persistent({weight[0]}, DType::f32);
  prepared->channels = weight[3];
  prepared->pool = parameters.pool;
  const Tensor scale = floats(weight[0]);
  fold(scale, prepared->shift);
  // The images' extents are not known yet: all planes.
  cpu::winograd_transform_filters(parameters.weight.data<float>(), scale.data<float>(), {}, nullptr,
                                  prepared->filters.data<float>(), weight[0], weight[3]);
  return prepared;
}

Tensor CpuBackend::conv_block_inference(const Tensor& x, const PreparedConvBlock& prepared) {
  if (const auto* block = dynamic_cast<const FirstBlockPrepared*>(&prepared)) {
    const Shape& weight = block->weight.shape();
    const auto e = convolution_extents(x, weight[0], weight[3], true);
    Tensor y = empty(output_shape(e, true), DType::f32);
    const ProfileRange range(profiler(), "first block inference", x.shape(), [&] {
      return convolution_block_cost(x.shape(), weight, output_shape(e, false), y.shape());
    });
    cpu::first_block_forward(x.data<float>(), block->weight.data<float>(),
                             block->scale.data<float>(), block->shift.data<float>(),
                             y.data<float>(), nullptr, e);
    return y;
  }
  const auto* block = dynamic_cast<const WinogradPrepared*>(&prepared);
  if (block == nullptr) return Backend::conv_block_inference(x, prepared);
  const std::int64_t filters = block->shift.elements();
  const auto e = convolution_extents(x, filters, block->channels, block->pool);
  Tensor y = empty(output_shape(e, block->pool), DType::f32);
  const Tensor memory = floats(cpu::winograd_inference_scratch(e, block->pool));
  const ProfileRange range(profiler(), "winograd inference", x.shape(), [&] {
    return convolution_block_cost(x.shape(), {filters, 3, 3, block->channels},
                                  output_shape(e, false), y.shape());
  });
  cpu::winograd_inference(x.data<float>(), block->filters.data<float>(), block->shift.data<float>(),
                          block->pool, y.data<float>(), e, memory.data<float>());
  return y;
}

}  // namespace protolith
