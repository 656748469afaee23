// What finalizing a descriptor of the stand-in demands of its attributes.
#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/gpu_emulation/cudnn/descriptor.h"
#include "tests/gpu_emulation/device/runtime.h"

namespace protolith::emulated::dnn {
namespace {

using Ints = std::vector<std::int64_t>;

void bad_param_unless(bool condition, const std::string& reason) {
  require(condition, CUDNN_STATUS_BAD_PARAM, reason);
}

Ints extents(const Descriptor& tensor) {
  return tensor.all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
}

bool is_scalar_by_value(const Descriptor& tensor) {
  return tensor.one<bool>(CUDNN_ATTR_TENSOR_IS_BY_VALUE, false);
}

void check_tensor(const Descriptor& d) {
  const Ints dims = extents(d), strides = d.all<std::int64_t>(CUDNN_ATTR_TENSOR_STRIDES);
  bad_param_unless(dims.size() == strides.size() && !dims.empty(),
                   "as many strides as extents, and some");
  bad_param_unless(dims.size() <= 8, "at most eight extents");
  for (const std::int64_t extent : dims) bad_param_unless(extent >= 0, "a negative extent");
  for (const std::int64_t stride : strides) bad_param_unless(stride >= 0, "a negative stride");
  const std::int64_t alignment = d.number(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT);
  bad_param_unless(alignment > 0 && alignment % 4 == 0, "alignment must be whole elements");
  std::int64_t count = 1;
  for (const std::int64_t extent : dims) count *= extent;
  bad_param_unless(!is_scalar_by_value(d) || count <= 1, "only one value can go by value");
}

void check_convolution(const Descriptor& d) {
  const std::int64_t spatial = d.number(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS);
  bad_param_unless(spatial >= 1 && spatial <= 3, "one to three spatial dimensions");
  const auto check = [&](cudnnBackendAttributeName_t name, std::int64_t least, bool required) {
    const Ints values = d.all<std::int64_t>(name);
    if (values.empty() && !required) return;
    bad_param_unless(static_cast<std::int64_t>(values.size()) == spatial,
                     "one value for each spatial dimension");
    for (const std::int64_t value : values) bad_param_unless(value >= least, "too small a value");
  };
  check(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, 0, false);
  check(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, 0, false);
  check(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, 1, true);
  check(CUDNN_ATTR_CONVOLUTION_DILATIONS, 1, true);
}

void check_convolution_shapes(const Descriptor& convolution, const Ints& x, const Ints& w,
                              const Ints& y) {
  const auto spatial =
      static_cast<std::size_t>(convolution.number(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS));
  bad_param_unless(x.size() == spatial + 2 && w.size() == x.size() && y.size() == x.size(),
                   "two more extents than spatial dimensions");
  bad_param_unless(x[0] == y[0], "x and y have different numbers of images");
  bad_param_unless(w[0] == y[1], "w and y have different numbers of filters");
  bad_param_unless(w[1] > 0 && x[1] > 0 && x[1] % w[1] == 0, "x and w have different channels");
  const auto value = [&](cudnnBackendAttributeName_t name, std::size_t i) {
    const Ints values = convolution.all<std::int64_t>(name);
    return values.empty() ? std::int64_t{0} : values[i];
  };
  for (std::size_t i = 0; i < spatial; ++i) {
    const std::int64_t reach = (w[i + 2] - 1) * value(CUDNN_ATTR_CONVOLUTION_DILATIONS, i) + 1;
    const std::int64_t room = x[i + 2] + value(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, i) +
                              value(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, i) - reach;
    bad_param_unless(
        room >= 0 && y[i + 2] == room / value(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, i) + 1,
        "y does not have the extents of this convolution");
  }
}

void check_convolution_operation(const Descriptor& d, const ConvolutionNames& names) {
  const auto finalized = [&](cudnnBackendAttributeName_t name) {
    const auto part = d.part(name);
    bad_param_unless(part != nullptr && part->finalized, "a part is missing or not finalized");
    return part;
  };
  const auto convolution = finalized(names.convolution);
  const auto x = finalized(names.x), w = finalized(names.weight), y = finalized(names.y);
  check_convolution_shapes(*convolution, extents(*x), extents(*w), extents(*y));
}

/// Whether two tensors were given alike; tensors that are missing are alike.
bool same_shape(const std::shared_ptr<const Descriptor>& a,
                const std::shared_ptr<const Descriptor>& b) {
  if (a == nullptr || b == nullptr) return a == b;
  return extents(*a) == extents(*b);
}

void match(bool condition, const char* reason) {
  require(condition, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH, reason);
}

void check_norm_forward(const Descriptor& d) {
  const auto part = [&](cudnnBackendAttributeName_t name) { return d.part(name); };
  const auto x = part(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC);
  const auto mean = part(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC);
  const auto scale = part(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC);
  const auto bias = part(CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC);
  const auto epsilon = part(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC);
  const auto running = part(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC);
  bad_param_unless(d.has(CUDNN_ATTR_OPERATION_NORM_FWD_MODE) || running == nullptr,
                   "only batch norm has running statistics");
  bad_param_unless(d.one(CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_BATCH_NORM) == CUDNN_BATCH_NORM,
                   "the stand-in has batch norm only");
  match(same_shape(x, part(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC)), "x and y differ");
  bad_param_unless(bias == nullptr || scale != nullptr, "a bias without a scale");
  match(bias == nullptr || same_shape(scale, bias), "scale and bias differ");
  const auto inv_std = part(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC);
  bad_param_unless(running == nullptr || mean != nullptr, "running statistics without a mean");
  match(mean == nullptr || same_shape(mean, inv_std), "mean and inverse deviation differ");
  const bool inference = d.one(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_NORM_FWD_INFERENCE) ==
                         CUDNN_NORM_FWD_INFERENCE;
  bad_param_unless(inference || epsilon != nullptr, "training needs an epsilon");
  bad_param_unless(epsilon == nullptr || is_scalar_by_value(*epsilon), "epsilon must go by value");
  for (const NamedTensor& t : tensors_of(d)) {
    bad_param_unless(t.tensor->finalized, "a tensor that is not finalized");
  }
}

void check_norm_backward(const Descriptor& d) {
  const auto part = [&](cudnnBackendAttributeName_t name) { return d.part(name); };
  const auto x = part(CUDNN_ATTR_OPERATION_NORM_BWD_XDESC);
  match(same_shape(x, part(CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC)), "x and dx differ");
  match(same_shape(x, part(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC)), "x and dy differ");
  bad_param_unless((part(CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC) != nullptr) ==
                       (part(CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC) != nullptr),
                   "scale and its gradient go together");
  bad_param_unless(part(CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC) != nullptr, "no mean");
  for (const NamedTensor& t : tensors_of(d)) {
    bad_param_unless(t.tensor->finalized, "a tensor that is not finalized");
  }
}

void check_device(Descriptor& d) {
  if (d.has(CUDNN_ATTR_DEVICEPROP_HANDLE)) {
    d.compute_capability =
        compute_capability(d.one<cudnnHandle_t>(CUDNN_ATTR_DEVICEPROP_HANDLE, nullptr));
    return;
  }
  const std::vector<char> text = d.all<char>(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION);
  require(!text.empty(), CUDNN_STATUS_NOT_INITIALIZED, "no device");
  const auto json = nlohmann::json::parse(text.begin(), text.end(), nullptr, false);
  bad_param_unless(json.is_object(), "not a JSON object");
  for (const char* key : {"maxGridSize", "deviceVer", "multiProcessorCount", "deviceName"}) {
    bad_param_unless(json.contains(key), std::string("no ") + key);
  }
  d.compute_capability = json["deviceVer"].get<int>() / 10;
}

void check_heuristics(Descriptor& d) {
  const auto graph = d.part(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH);
  bad_param_unless(graph != nullptr, "no operation graph");
  require(graph->finalized, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "the graph is not finalized");
  const auto device = d.part(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP);
  require(device != nullptr && device->finalized, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
          "no finalized device");
  d.engines = propose(*graph, d.one(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_HEUR_MODE_INSTANT),
                      device->compute_capability);
}

/// What engines that compile at run time do, unless a test wants that to fail.
void compile() {
  Device& device = emulated::device();
  const std::lock_guard lock(device.mutex);
  if (device.failing_driver_call != "nvrtcCompileProgram") return;
  device.failing_driver_call.clear();
  throw Refusal{CUDNN_STATUS_INTERNAL_ERROR, "a kernel was not compiled"};
}

void check_plan(Descriptor& d) {
  const auto config = d.part(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG);
  require(config != nullptr && config->finalized, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
          "no finalized configuration");
  const auto device = d.part(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP);
  require(device != nullptr && device->finalized, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED,
          "no finalized device");
  require(config->engine.buildable, CUDNN_STATUS_NOT_SUPPORTED,
          "this engine does not support this shape after all");
  const auto& notes = config->engine.behavior;
  if (std::find(notes.begin(), notes.end(), CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION) !=
      notes.end()) {
    compile();
  }
  d.engine = config->engine;
}

void check_pack(const Descriptor& d) {
  bad_param_unless(d.all<std::int64_t>(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS).size() ==
                       d.all<void*>(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS).size(),
                   "as many pointers as ids");
}

}  // namespace

void finalize(Descriptor& d) {
  bad_param_unless(!d.finalized, "finalized already");
  if (const ConvolutionNames* names = convolution_names(d.type)) {
    check_convolution_operation(d, *names);
  } else {
    switch (d.type) {
      case CUDNN_BACKEND_TENSOR_DESCRIPTOR:
        check_tensor(d);
        break;
      case CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR:
        check_convolution(d);
        break;
      case CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR:
        check_norm_forward(d);
        break;
      case CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR:
        check_norm_backward(d);
        break;
      case CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR:
        bad_param_unless(d.part(CUDNN_ATTR_OPERATIONGRAPH_OPS) != nullptr, "no operation");
        break;
      case CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR:
        check_heuristics(d);
        break;
      case CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR:
        check_plan(d);
        break;
      case CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR:
        check_pack(d);
        break;
      case CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR:
        check_device(d);
        break;
      default:
        throw Refusal{CUDNN_STATUS_NOT_SUPPORTED, "the stand-in does not make these"};
    }
  }
  d.finalized = true;
}

}  // namespace protolith::emulated::dnn
