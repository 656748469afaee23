#include "engine/cpu/convolution.h"

#include <algorithm>

namespace protolith {
namespace {

using dnnl::memory;

memory::desc activation(const Shape& nhwc, memory::data_type type) {
  return {{nhwc[0], nhwc[3], nhwc[1], nhwc[2]}, type, memory::format_tag::nhwc};
}

memory::desc filter(const Shape& krsc, memory::data_type type, memory::format_tag tag) {
  return {{krsc[0], krsc[3], krsc[1], krsc[2]}, type, tag};
}

/// KRSC [K,R,S,C] -> [C,R,S,K] with rows and columns reversed.
void turn_filters(const Tensor& weight, float* turned) {
  const Shape& s = weight.shape();
  const std::int64_t taps = s[1] * s[2];
  const float* w = weight.data<float>();
  for (std::int64_t k = 0; k < s[0]; ++k) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t c = 0; c < s[3]; ++c) {
        turned[(c * taps + taps - 1 - tap) * s[0] + k] = w[(k * taps + tap) * s[3] + c];
      }
    }
  }
}

/// A primitive's description of its parts, which versions before 3 describe as an operation first.
template <class Primitive, class... Parts>
auto described(const dnnl::engine& engine, const dnnl::primitive_attr& attributes,
               const Parts&... parts) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine, parts..., attributes);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(parts...), attributes, engine);
#endif
}

/// The same of a backward pass, beside its forward one.
template <class Primitive, class... Parts>
auto described_beside(const dnnl::convolution_forward::primitive_desc& forward,
                      const dnnl::engine& engine, const dnnl::primitive_attr& attributes,
                      const Parts&... parts) {
#if DNNL_VERSION_MAJOR >= 3
  return typename Primitive::primitive_desc(engine, parts..., forward, attributes);
#else
  return typename Primitive::primitive_desc(typename Primitive::desc(parts...), attributes, engine,
                                            forward);
#endif
}

}  // namespace

const char* onednn_instruction_set() {
  switch (dnnl::get_effective_cpu_isa()) {
    case dnnl::cpu_isa::sse41:
      return "sse41";
    case dnnl::cpu_isa::avx:
      return "avx";
    case dnnl::cpu_isa::avx2:
      return "avx2";
    case dnnl::cpu_isa::avx512_core:
      return "avx512_core";
    case dnnl::cpu_isa::avx512_core_vnni:
      return "avx512_core_vnni";
    case dnnl::cpu_isa::avx512_core_bf16:
      return "avx512_core_bf16";
    default:
      return "newer than avx512_core_bf16";
  }
}

bool cpu_has_bf16() {
  // The enumeration's values are bit sets, and newer instruction sets include this one's bits.
  const auto bits = [](dnnl::cpu_isa isa) { return static_cast<unsigned>(isa); };
  const unsigned wanted = bits(dnnl::cpu_isa::avx512_core_bf16);
  return (bits(dnnl::get_effective_cpu_isa()) & wanted) == wanted;
}

OneDnnConvolution::OneDnnConvolution(Allocate empty, CpuPrecision precision)
    : precision_(precision),
      engine_(dnnl::engine::kind::cpu, 0),
      stream_(engine_),
      empty_(std::move(empty)) {}

OneDnnConvolution::Operand OneDnnConvolution::operand(const memory::desc& ours,
                                                      const memory::desc& taken,
                                                      bool written) const {
  if (ours == taken) return {ours, taken, {}};
  const memory::desc& from = written ? taken : ours;
  const memory::desc& to = written ? ours : taken;
  return {ours, taken, dnnl::reorder(dnnl::reorder::primitive_desc(engine_, from, engine_, to))};
}

OneDnnConvolution::Plan OneDnnConvolution::make_plan(Pass pass, const Shape& x, const Shape& weight,
                                                     const Shape& y, ConvolutionGeometry g,
                                                     CpuPrecision precision) const {
  const auto f32 = memory::data_type::f32;
  const auto factor = precision == CpuPrecision::bf16 ? memory::data_type::bf16 : f32;
  // The two factors of a pass; its result is f32.
  const auto type_unless = [&](Pass writer) { return pass == writer ? f32 : factor; };
  const memory::desc taken_x = activation(x, type_unless(Pass::backward_data));
  const memory::desc taken_y = activation(y, type_unless(Pass::forward));
  const memory::desc any_weight =
      filter(weight, type_unless(Pass::backward_weight), memory::format_tag::any);
  const memory::dims stride{g.stride, g.stride};
  const memory::dims padding{g.padding, g.padding};
  // oneDNN wants the exact right padding: what the last window reaches beyond the image.
  const auto reach = [&](int axis) {
    return std::max<std::int64_t>((y[axis] - 1) * g.stride + weight[axis] - x[axis] - g.padding, 0);
  };
  const memory::dims far_padding{reach(1), reach(2)};
  dnnl::primitive_attr user_scratchpad;
  user_scratchpad.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto direct = dnnl::algorithm::convolution_direct;

  Plan plan;
  plan.x = operand(activation(x, f32), taken_x, false);
  plan.y = operand(activation(y, f32), taken_y, false);
  const auto adopt = [&](const auto& description, const memory::desc& weight_layout) {
    plan.weight = operand(filter(weight, f32, memory::format_tag::ohwi), weight_layout,
                          pass == Pass::backward_weight);
    plan.scratchpad = description.scratchpad_desc();
  };
  // Backward passes want a forward one beside them.
  const auto forward = described<dnnl::convolution_forward>(
      engine_, user_scratchpad, dnnl::prop_kind::forward_training, direct, activation(x, factor),
      filter(weight, factor, memory::format_tag::any), taken_y, stride, padding, far_padding);
  switch (pass) {
    case Pass::forward:
      adopt(forward, forward.weights_desc());
      plan.convolution = dnnl::convolution_forward(forward);
      break;
    case Pass::backward_data: {
      const auto description = described_beside<dnnl::convolution_backward_data>(
          forward, engine_, user_scratchpad, direct, taken_x, any_weight, taken_y, stride, padding,
          far_padding);
      adopt(description, description.weights_desc());
      plan.convolution = dnnl::convolution_backward_data(description);
      break;
    }
    case Pass::backward_weight: {
      const auto description = described_beside<dnnl::convolution_backward_weights>(
          forward, engine_, user_scratchpad, direct, taken_x, any_weight, taken_y, stride, padding,
          far_padding);
      adopt(description, description.diff_weights_desc());
      plan.convolution = dnnl::convolution_backward_weights(description);
      break;
    }
  }
  return plan;
}

const OneDnnConvolution::Plan& OneDnnConvolution::plan(Pass pass, const Shape& x,
                                                       const Shape& weight, const Shape& y,
                                                       ConvolutionGeometry g,
                                                       CpuPrecision precision) {
  const Key key{static_cast<std::int64_t>(pass),
                x[0],
                x[1],
                x[2],
                x[3],
                weight[0],
                weight[1],
                weight[2],
                g.stride,
                g.padding,
                static_cast<std::int64_t>(precision)};
  const auto found = plans_.find(key);
  if (found != plans_.end()) return found->second;
  try {
    return plans_.emplace(key, make_plan(pass, x, weight, y, g, precision)).first->second;
  } catch (const dnnl::error& error) {
    throw Error(fmt::format("oneDNN cannot convolve {} with {} (stride {}, padding {}): {}",
                            to_string(x), to_string(weight), g.stride, g.padding, error.what()));
  }
}

Tensor OneDnnConvolution::scratch(const memory::desc& description) const {
  const auto bytes = static_cast<std::int64_t>(description.get_size());
  return empty_({std::max<std::int64_t>(bytes, 1)}, DType::u8);
}

memory OneDnnConvolution::wrap(const memory::desc& description, const Tensor& tensor) const {
  return {description, engine_, tensor.raw()};
}

CpuPrecision OneDnnConvolution::precision_for(const Tensor& x) const {
  return x.shape()[3] <= kFewChannels ? CpuPrecision::fp32 : precision_;
}

Tensor OneDnnConvolution::read(const Operand& operand, const Tensor& tensor) {
  if (!operand.reorder) return tensor;
  Tensor taken = scratch(operand.taken);
  operand.reorder.execute(stream_, {{DNNL_ARG_FROM, wrap(operand.ours, tensor)},
                                    {DNNL_ARG_TO, wrap(operand.taken, taken)}});
  return taken;
}

void OneDnnConvolution::run_forward(const Tensor& x, const Tensor& weight, ConvolutionGeometry g,
                                    const Tensor& y, CpuPrecision precision) {
  const Plan& p = plan(Pass::forward, x.shape(), weight.shape(), y.shape(), g, precision);
  const Tensor x_read = read(p.x, x), weight_read = read(p.weight, weight);
  const Tensor pad = scratch(p.scratchpad);
  p.convolution.execute(stream_, {{DNNL_ARG_SRC, wrap(p.x.taken, x_read)},
                                  {DNNL_ARG_WEIGHTS, wrap(p.weight.taken, weight_read)},
                                  {DNNL_ARG_DST, wrap(p.y.taken, y)},
                                  {DNNL_ARG_SCRATCHPAD, wrap(p.scratchpad, pad)}});
  stream_.wait();
}

void OneDnnConvolution::forward(const Tensor& x, const Tensor& weight, ConvolutionGeometry g,
                                const Tensor& y) {
  run_forward(x, weight, g, y, precision_for(x));
}

void OneDnnConvolution::backward_data(const Tensor& dy, const Tensor& weight, ConvolutionGeometry g,
                                      const Tensor& dx) {
  const Shape& w = weight.shape();
  // With stride 1 the data gradient is a convolution of dy with the filters turned by 180 degrees
  // and their channels swapped, for which oneDNN's forward kernels are faster than its backward.
  if (g.stride == 1 && w[1] == w[2] && g.padding < w[1]) {
    const Tensor turned = empty_({w[3], w[1], w[2], w[0]}, DType::f32);
    turn_filters(weight, turned.data<float>());
    run_forward(dy, turned, {.stride = 1, .padding = w[1] - 1 - g.padding}, dx, precision_for(dx));
    return;
  }
  const Plan& p =
      plan(Pass::backward_data, dx.shape(), weight.shape(), dy.shape(), g, precision_for(dx));
  const Tensor dy_read = read(p.y, dy), weight_read = read(p.weight, weight);
  const Tensor pad = scratch(p.scratchpad);
  p.convolution.execute(stream_, {{DNNL_ARG_DIFF_DST, wrap(p.y.taken, dy_read)},
                                  {DNNL_ARG_WEIGHTS, wrap(p.weight.taken, weight_read)},
                                  {DNNL_ARG_DIFF_SRC, wrap(p.x.taken, dx)},
                                  {DNNL_ARG_SCRATCHPAD, wrap(p.scratchpad, pad)}});
  stream_.wait();
}

void OneDnnConvolution::backward_weight(const Tensor& x, const Tensor& dy, ConvolutionGeometry g,
                                        const Tensor& dweight) {
  const Plan& p =
      plan(Pass::backward_weight, x.shape(), dweight.shape(), dy.shape(), g, precision_for(x));
  const Tensor x_read = read(p.x, x), dy_read = read(p.y, dy);
  const Tensor written = p.weight.reorder ? scratch(p.weight.taken) : dweight;
  const Tensor pad = scratch(p.scratchpad);
  p.convolution.execute(stream_, {{DNNL_ARG_SRC, wrap(p.x.taken, x_read)},
                                  {DNNL_ARG_DIFF_DST, wrap(p.y.taken, dy_read)},
                                  {DNNL_ARG_DIFF_WEIGHTS, wrap(p.weight.taken, written)},
                                  {DNNL_ARG_SCRATCHPAD, wrap(p.scratchpad, pad)}});
  if (p.weight.reorder) {
    p.weight.reorder.execute(stream_, {{DNNL_ARG_FROM, wrap(p.weight.taken, written)},
                                       {DNNL_ARG_TO, wrap(p.weight.ours, dweight)}});
  }
  stream_.wait();
}

}  // namespace protolith
