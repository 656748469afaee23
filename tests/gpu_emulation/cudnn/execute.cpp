// Running the stand-in's plans: operands from a variant pack, read and written through the strides
// of their descriptors, on the emulated device's streams.
#include "tests/gpu_emulation/cudnn/execute.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <numeric>

#include "tests/gpu_emulation/cudnn/compute.h"
#include "tests/gpu_emulation/device/device.h"

namespace protolith::emulated::dnn {
namespace {

using Ints = std::vector<std::int64_t>;

/// A tensor and where it lies. By value: its number instead.
struct Bound {
  Ints extents, strides;
  std::byte* pointer = nullptr;
  float scalar = 0.0F;
};
using Operands = std::map<cudnnBackendAttributeName_t, Bound>;

/// Calls f(packed index, offset) for every element, channels last: packed [n,h,w,c].
template <class F>
void for_each_element(const Bound& t, F f) {
  std::size_t i = 0;
  for (std::int64_t n = 0; n < t.extents[0]; ++n) {
    for (std::int64_t h = 0; h < t.extents[2]; ++h) {
      for (std::int64_t w = 0; w < t.extents[3]; ++w) {
        for (std::int64_t c = 0; c < t.extents[1]; ++c, ++i) {
          f(i, n * t.strides[0] + c * t.strides[1] + h * t.strides[2] + w * t.strides[3]);
        }
      }
    }
  }
}

Floats read(const Bound& t) {
  const std::int64_t count =
      std::accumulate(t.extents.begin(), t.extents.end(), std::int64_t{1}, std::multiplies<>());
  Floats values(static_cast<std::size_t>(count));
  const auto* data = reinterpret_cast<const float*>(t.pointer);
  for_each_element(t, [&](std::size_t i, std::int64_t at) { values[i] = data[at]; });
  return values;
}

void write(const Bound& t, const Floats& values) {
  auto* data = reinterpret_cast<float*>(t.pointer);
  for_each_element(t, [&](std::size_t i, std::int64_t at) { data[at] = values[i]; });
}

std::byte* pointer_of(const Descriptor& pack, std::int64_t id) {
  const Ints ids = pack.all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS);
  const auto pointers = pack.all<std::byte*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS);
  require(std::count(ids.begin(), ids.end(), id) == 1, CUDNN_STATUS_BAD_PARAM,
          "a tensor has no pointer, or several");
  std::byte* pointer =
      pointers[static_cast<std::size_t>(std::find(ids.begin(), ids.end(), id) - ids.begin())];
  require(pointer != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "a tensor at null");
  return pointer;
}

bool is_output(cudnnBackendAttributeName_t name) {
  switch (name) {
    case CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX:
    case CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW:
    case CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC:
    case CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC:
    case CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC:
    case CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC:
    case CUDNN_ATTR_OPERATION_NORM_FWD_YDESC:
    case CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC:
    case CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC:
    case CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC:
      return true;
    default:
      return false;
  }
}

/// From the first element to the last.
std::size_t bytes_of(const Bound& t) {
  std::int64_t last = 0;
  for (std::size_t i = 0; i < t.extents.size(); ++i) last += (t.extents[i] - 1) * t.strides[i];
  return static_cast<std::size_t>(last + 1) * sizeof(float);
}

/// The operation's tensors with their pointers; ranges of device memory go to `ranges`.
Operands bound(const Descriptor& operation, const Descriptor& pack, std::vector<Operand>& ranges) {
  Operands result;
  for (const NamedTensor& t : tensors_of(operation)) {
    Bound b{.extents = t.tensor->all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS),
            .strides = t.tensor->all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES)};
    require(b.extents.size() == 4, CUDNN_STATUS_NOT_SUPPORTED, "four extents only");
    b.pointer = pointer_of(pack, t.tensor->number(CUDNN_ATTR_TENSOR_UNIQUE_ID));
    if (t.tensor->one<bool>(CUDNN_ATTR_TENSOR_IS_BY_VALUE, false)) {
      require(host_readable(b.pointer), CUDNN_STATUS_BAD_PARAM, "a value must lie on the host");
      std::memcpy(&b.scalar, b.pointer, sizeof b.scalar);
    } else {
      const std::int64_t alignment = t.tensor->number(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
      require(
          reinterpret_cast<std::uintptr_t>(b.pointer) % static_cast<std::uintptr_t>(alignment) == 0,
          CUDNN_STATUS_BAD_PARAM_MISALIGNED_POINTER, "a tensor is not aligned as declared");
      ranges.push_back({.name = "tensor " + std::to_string(t.name),
                        .pointer = b.pointer,
                        .bytes = bytes_of(b),
                        .alignment = static_cast<std::size_t>(alignment),
                        .written = is_output(t.name)});
    }
    result[t.name] = std::move(b);
  }
  return result;
}

Convolution geometry(const Descriptor& operation, const ConvolutionNames& names) {
  const auto convolution = operation.part(names.convolution);
  const auto extents = [&](cudnnBackendAttributeName_t name) {
    return operation.part(name)->all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  };
  const auto pair = [&](cudnnBackendAttributeName_t name) {
    Ints values = convolution->all<std::int64_t>(name);
    values.resize(2);
    return values;
  };
  const Ints x = extents(names.x), w = extents(names.weight), y = extents(names.y);
  const Ints stride = pair(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES);
  const Ints padding = pair(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS);
  const Ints dilation = pair(CUDNN_ATTR_CONVOLUTION_DILATIONS);
  require(x[1] == w[1], CUDNN_STATUS_NOT_SUPPORTED, "no groups");
  require(convolution->one(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CONVOLUTION) ==
              CUDNN_CROSS_CORRELATION,
          CUDNN_STATUS_NOT_SUPPORTED, "cross-correlations only");
  require(operation.one(names.alpha, 1.0F) == 1.0F && operation.one(names.beta, 0.0F) == 0.0F,
          CUDNN_STATUS_NOT_SUPPORTED, "results are written, not blended");
  return {x[0], x[2],      x[3],      x[1],       w[0],       w[2],        w[3],       y[2],
          y[3], stride[0], stride[1], padding[0], padding[1], dilation[0], dilation[1]};
}

/// What the engine's arithmetic makes of an input.
Floats as_read(const Engine& engine, Floats values) {
  const bool down = engine.has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
  if (!down && !engine.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE)) return values;
  for (float& value : values) value = round_mantissa(value, down ? 7 : 10);
  return values;
}

void run_convolution(const Engine& engine, const Convolution& g, const ConvolutionNames& names,
                     const Operands& operands, bool backwards) {
  const auto in = [&](cudnnBackendAttributeName_t name) {
    return as_read(engine, read(operands.at(name)));
  };
  const auto out = [&](cudnnBackendAttributeName_t name, auto compute) {
    Floats result = read(operands.at(name));
    compute(result);
    write(operands.at(name), result);
  };
  switch (names.type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      out(names.y, [&](Floats& y) { convolution_forward(g, in(names.x), in(names.weight), y); });
      break;
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      out(names.x,
          [&](Floats& dx) { convolution_backward_data(g, in(names.y), in(names.weight), dx); });
      break;
    default:
      out(names.weight, [&](Floats& dw) {
        convolution_backward_weight(g, in(names.x), in(names.y), backwards, dw);
      });
  }
}

void run_norm_forward(const Operands& o) {
  const auto find = [&](cudnnBackendAttributeName_t name) {
    const auto found = o.find(name);
    return found == o.end() ? nullptr : &found->second;
  };
  const auto in = [&](cudnnBackendAttributeName_t name) {
    const Bound* t = find(name);
    return t == nullptr ? Floats{} : read(*t);
  };
  const Bound* factor = find(CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC);
  const BatchNormForward result = batch_norm_training(
      in(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC), in(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC),
      in(CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC),
      o.at(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC).scalar,
      factor == nullptr ? 0.0F : factor->scalar,
      in(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC),
      in(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC));
  write(o.at(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC), result.y);
  write(o.at(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC), result.mean);
  write(o.at(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC), result.inv_std);
  if (factor == nullptr) return;
  write(o.at(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC), result.next_mean);
  write(o.at(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC), result.next_variance);
}

void run_norm_backward(const Operands& o) {
  const BatchNormBackward result =
      batch_norm_backward(read(o.at(CUDNN_ATTR_OPERATION_NORM_BWD_XDESC)),
                          read(o.at(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC)),
                          read(o.at(CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC)),
                          read(o.at(CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC)),
                          read(o.at(CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC)));
  write(o.at(CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC), result.dx);
  write(o.at(CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC), result.dscale);
  write(o.at(CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC), result.dbias);
}

/// A real engine leaves rubbish in its workspace.
void spoil(std::byte* workspace, std::int64_t bytes) {
  auto* words = reinterpret_cast<float*>(workspace);
  std::fill(words, words + bytes / 4, std::numeric_limits<float>::quiet_NaN());
}

/// Nobody may rely on the order of a non-deterministic engine's sums: it changes with every run.
bool another_order() {
  static std::atomic<bool> order{false};
  return order = !order;
}

const char* name_of(cudnnBackendDescriptorType_t type) {
  switch (type) {
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR:
      return "convolution";
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR:
      return "convolution data gradient";
    case CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR:
      return "convolution weight gradient";
    case CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR:
      return "batch norm";
    default:
      return "batch norm gradient";
  }
}

}  // namespace

void execute(cudaStream_t stream, const Descriptor& plan, const Descriptor& pack) {
  const auto config = plan.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  const auto operation =
      config->part(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH)->part(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  std::vector<Operand> ranges;
  const Operands operands = bound(*operation, pack, ranges);
  std::byte* const workspace = pack.one<std::byte*>(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, nullptr);
  const Engine engine = plan.engine;
  if (engine.workspace > 0) {
    require(workspace != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no workspace");
    ranges.push_back({.name = "workspace",
                      .pointer = workspace,
                      .bytes = static_cast<std::size_t>(engine.workspace),
                      .alignment = 256,
                      .written = true});
  }
  std::function<void()> compute;
  if (const ConvolutionNames* names = convolution_names(operation->type)) {
    const Convolution g = geometry(*operation, *names);
    compute = [=] {
      const bool backwards = engine.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC) && another_order();
      run_convolution(engine, g, *names, operands, backwards);
    };
  } else if (operation->type == CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR) {
    compute = [=] { run_norm_forward(operands); };
  } else {
    compute = [=] { run_norm_backward(operands); };
  }
  const cudaError_t status =
      enqueue(stream, WorkKind::cudnn, name_of(operation->type), std::move(ranges), [=] {
        compute();
        spoil(workspace, engine.workspace);
      });
  require(status == cudaSuccess, CUDNN_STATUS_EXECUTION_FAILED, "the device refused the work");
}

}  // namespace protolith::emulated::dnn
