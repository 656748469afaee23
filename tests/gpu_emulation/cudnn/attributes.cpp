// Setting and getting attributes of the stand-in's descriptors.
#include <algorithm>
#include <initializer_list>

#include "tests/gpu_emulation/cudnn/descriptor.h"

namespace protolith::emulated::dnn {
namespace {

/// One attribute that a kind of descriptor takes.
struct Attribute {
  cudnnBackendDescriptorType_t owner;
  cudnnBackendAttributeName_t name;
  cudnnBackendAttributeType_t type;
  std::int64_t least = 1, most = 1;  ///< elements
  cudnnBackendDescriptorType_t refers_to = CUDNN_BACKEND_TENSOR_DESCRIPTOR;
};

void add_tensors(std::vector<Attribute>& table, cudnnBackendDescriptorType_t owner,
                 std::initializer_list<cudnnBackendAttributeName_t> names) {
  for (const auto name : names) table.push_back({owner, name, CUDNN_TYPE_BACKEND_DESCRIPTOR});
}

void add_convolutions(std::vector<Attribute>& t) {
  const auto c = CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR;
  t.push_back({c, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64});
  t.push_back({c, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE});
  t.push_back({c, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE});
  for (const auto name :
       {CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS,
        CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_ATTR_CONVOLUTION_DILATIONS}) {
    t.push_back({c, name, CUDNN_TYPE_INT64, 1, 3});
  }
  for (const auto type : {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                          CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                          CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR}) {
    const ConvolutionNames& names = *convolution_names(type);
    add_tensors(t, type, {names.x, names.weight, names.y});
    t.push_back({type, names.convolution, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, 1, c});
    for (const auto scale : {names.alpha, names.beta}) {
      t.push_back({type, scale, CUDNN_TYPE_FLOAT});
      t.push_back({type, scale, CUDNN_TYPE_DOUBLE});
    }
  }
}

void add_norms(std::vector<Attribute>& t) {
  const auto f = CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR;
  const auto b = CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR;
  t.push_back({f, CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_TYPE_NORM_MODE});
  t.push_back({f, CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE});
  t.push_back({b, CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_TYPE_NORM_MODE});
  add_tensors(
      t, f,
      {CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC,
       CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC,
       CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC,
       CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC,
       CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC,
       CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC,
       CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC,
       CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, CUDNN_ATTR_OPERATION_NORM_FWD_YDESC});
  add_tensors(
      t, b,
      {CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC,
       CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC,
       CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC,
       CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC});
}

std::vector<Attribute> make_table() {
  const auto reference = CUDNN_TYPE_BACKEND_DESCRIPTOR;
  const auto tensor = CUDNN_BACKEND_TENSOR_DESCRIPTOR;
  const auto heuristics = CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR;
  const auto plan = CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR;
  const auto pack = CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR;
  const auto device = CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR;
  std::vector<Attribute> t{
      {tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64},
      {tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE},
      {tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64},
      {tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 1, 12},
      {tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, 1, 12},
      {tensor, CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN},
      {CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR, CUDNN_ATTR_OPERATIONGRAPH_OPS, reference},
      {heuristics, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, reference, 1, 1,
       CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR},
      {heuristics, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE},
      {heuristics, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, reference, 1, 1, device},
      {plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, reference, 1, 1,
       CUDNN_BACKEND_ENGINECFG_DESCRIPTOR},
      {plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, reference, 1, 1, device},
      {pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, 1, 64},
      {pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, 1, 64},
      {pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR},
      {device, CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE},
      {device, CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 1, 65536}};
  add_convolutions(t);
  add_norms(t);
  return t;
}

const std::vector<Attribute>& table() {
  static const std::vector<Attribute> attributes = make_table();
  return attributes;
}

/// How this kind of descriptor refuses an attribute of a wrong type or number of elements.
struct Refusals {
  cudnnStatus_t type, count;
};
Refusals refusals(cudnnBackendDescriptorType_t owner) {
  if (owner == CUDNN_BACKEND_TENSOR_DESCRIPTOR) {
    return {CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, CUDNN_STATUS_BAD_PARAM};
  }
  if (owner == CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR) {
    return {CUDNN_STATUS_NOT_SUPPORTED, CUDNN_STATUS_NOT_SUPPORTED};
  }
  return {CUDNN_STATUS_BAD_PARAM, convolution_names(owner) != nullptr ? CUDNN_STATUS_NOT_SUPPORTED
                                                                      : CUDNN_STATUS_BAD_PARAM};
}

bool takes_reference(const Attribute& attribute, const Descriptor& other) {
  if (attribute.name != CUDNN_ATTR_OPERATIONGRAPH_OPS) return attribute.refers_to == other.type;
  return convolution_names(other.type) != nullptr ||
         other.type == CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR ||
         other.type == CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR;
}

void refer(Value& value, const Attribute& attribute, const void* values) {
  cudnnBackendDescriptor_t raw = nullptr;
  std::memcpy(&raw, values, sizeof raw);
  require(raw != nullptr, CUDNN_STATUS_BAD_PARAM, "a null descriptor");
  const std::shared_ptr<Descriptor> other = live(raw);
  require(takes_reference(attribute, *other), CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE,
          "a descriptor of another type");
  require(attribute.name != CUDNN_ATTR_OPERATIONGRAPH_OPS || other->finalized,
          CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED, "an operation that is not finalized");
  value.descriptors.push_back(std::make_shared<const Descriptor>(*other));
}

/// Writes up to `capacity` values of what an engine, a plan or heuristics know.
template <class T>
void give(const std::vector<T>& from, std::int64_t capacity, std::int64_t* count, void* values) {
  const std::int64_t n = capacity == 0 ? static_cast<std::int64_t>(from.size())
                                       : std::min(capacity, static_cast<std::int64_t>(from.size()));
  if (count != nullptr) *count = n;
  if (capacity > 0) {
    require(values != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "nowhere to write to");
    std::copy_n(from.begin(), n, static_cast<T*>(values));
  }
}

/// Makes descriptors of the caller what `make` makes of the given ones.
template <class T, class Make>
void give_descriptors(const std::vector<T>& from, cudnnBackendDescriptorType_t type,
                      std::int64_t capacity, std::int64_t* count, void* values, Make make) {
  std::vector<cudnnBackendDescriptor_t> raw(
      static_cast<std::size_t>(std::max<std::int64_t>(capacity, 0)));
  if (!raw.empty()) {
    require(values != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "nowhere to write to");
    std::memcpy(raw.data(), values, raw.size() * sizeof raw[0]);
  }
  std::size_t n = 0;
  for (; n < std::min(raw.size(), from.size()); ++n) {
    const std::shared_ptr<Descriptor> target = live(raw[n]);
    require(target->type == type && !target->finalized, CUDNN_STATUS_BAD_PARAM,
            "a result needs an empty descriptor of its own type");
    *target = make(from[n]);
  }
  if (count != nullptr) *count = static_cast<std::int64_t>(raw.empty() ? from.size() : n);
}

void get_result(const Descriptor& d, cudnnBackendAttributeName_t name,
                cudnnBackendAttributeType_t type, std::int64_t capacity, std::int64_t* count,
                void* values) {
  const auto expect = [&](cudnnBackendAttributeType_t wanted) {
    require(type == wanted, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE, "read as another type");
  };
  const auto made = [&d](cudnnBackendDescriptorType_t kind) {
    return [&d, kind](const Engine& engine) {
      Descriptor result;
      result.type = kind;
      result.finalized = true;
      result.engine = engine;
      if (kind == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) result.values = d.values;
      return result;
    };
  };
  if (name == CUDNN_ATTR_ENGINEHEUR_RESULTS && d.type == CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR) {
    expect(CUDNN_TYPE_BACKEND_DESCRIPTOR);
    give_descriptors(d.engines, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR, capacity, count, values,
                     made(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
  } else if (name == CUDNN_ATTR_ENGINECFG_ENGINE && d.type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR) {
    expect(CUDNN_TYPE_BACKEND_DESCRIPTOR);
    give_descriptors(std::vector<Engine>{d.engine}, CUDNN_BACKEND_ENGINE_DESCRIPTOR, capacity,
                     count, values, made(CUDNN_BACKEND_ENGINE_DESCRIPTOR));
  } else if (name == CUDNN_ATTR_ENGINE_GLOBAL_INDEX && d.type == CUDNN_BACKEND_ENGINE_DESCRIPTOR) {
    expect(CUDNN_TYPE_INT64);
    give(std::vector<std::int64_t>{d.engine.index}, capacity, count, values);
  } else if (name == CUDNN_ATTR_ENGINE_NUMERICAL_NOTE &&
             d.type == CUDNN_BACKEND_ENGINE_DESCRIPTOR) {
    expect(CUDNN_TYPE_NUMERICAL_NOTE);
    give(d.engine.numerical, capacity, count, values);
  } else if (name == CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE && d.type == CUDNN_BACKEND_ENGINE_DESCRIPTOR) {
    expect(CUDNN_TYPE_BEHAVIOR_NOTE);
    give(d.engine.behavior, capacity, count, values);
  } else if (name == CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE &&
             d.type == CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
    expect(CUDNN_TYPE_INT64);
    give(std::vector<std::int64_t>{d.engine.workspace}, capacity, count, values);
  } else if (name == CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT &&
             d.type == CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
    expect(CUDNN_TYPE_INT64);
    give(std::vector<std::int64_t>{100}, capacity, count, values);
  } else {
    throw Refusal{CUDNN_STATUS_BAD_PARAM, "this descriptor has no such attribute"};
  }
}

}  // namespace

bool Engine::has(cudnnBackendNumericalNote_t note) const {
  return std::find(numerical.begin(), numerical.end(), note) != numerical.end();
}

std::shared_ptr<const Descriptor> Descriptor::part(cudnnBackendAttributeName_t name) const {
  const auto found = values.find(name);
  return found == values.end() ? nullptr : found->second.descriptors.front();
}

std::size_t element_size(cudnnBackendAttributeType_t type) {
  switch (type) {
    case CUDNN_TYPE_INT64:
    case CUDNN_TYPE_DOUBLE:
    case CUDNN_TYPE_VOID_PTR:
    case CUDNN_TYPE_HANDLE:
    case CUDNN_TYPE_BACKEND_DESCRIPTOR:
      return 8;
    case CUDNN_TYPE_BOOLEAN:
    case CUDNN_TYPE_CHAR:
      return 1;
    default:
      return 4;  // f32 and the enumerations
  }
}

void set_attribute(Descriptor& descriptor, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, std::int64_t count, const void* values) {
  require(!descriptor.finalized, CUDNN_STATUS_BAD_PARAM, "set after finalize");
  require(name != CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_STATUS_NOT_SUPPORTED,
          "a plan's workspace size can only be read");
  require(values != nullptr, CUDNN_STATUS_BAD_PARAM, "null values");
  const Attribute* chosen = nullptr;
  bool known = false;
  for (const Attribute& attribute : table()) {
    if (attribute.owner != descriptor.type || attribute.name != name) continue;
    known = true;
    if (attribute.type == type) chosen = &attribute;
  }
  require(known, CUDNN_STATUS_BAD_PARAM, "this descriptor takes no such attribute");
  const Refusals refused = refusals(descriptor.type);
  require(chosen != nullptr, refused.type, "an attribute of another type");
  require(count >= chosen->least && count <= chosen->most, refused.count,
          "a wrong number of elements");
  Value value{.type = type, .bytes = {}, .count = count, .descriptors = {}};
  if (type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    refer(value, *chosen, values);
  } else {
    value.bytes.resize(static_cast<std::size_t>(count) * element_size(type));
    std::memcpy(value.bytes.data(), values, value.bytes.size());
  }
  if (name == CUDNN_ATTR_DEVICEPROP_HANDLE) {
    cudnnHandle_t handle = nullptr;
    std::memcpy(&handle, values, sizeof handle);
    require(is_handle(handle), CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "no handle");
  }
  descriptor.values[name] = std::move(value);
}

void get_attribute(const Descriptor& descriptor, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, std::int64_t capacity, std::int64_t* count,
                   void* values) {
  require(descriptor.finalized, CUDNN_STATUS_NOT_INITIALIZED, "read before finalize");
  require(capacity >= 0, CUDNN_STATUS_BAD_PARAM, "a negative capacity");
  const auto found = descriptor.values.find(name);
  // What a configuration keeps of its heuristics is not its own.
  if (found == descriptor.values.end() || descriptor.type == CUDNN_BACKEND_ENGINECFG_DESCRIPTOR ||
      found->second.type == CUDNN_TYPE_BACKEND_DESCRIPTOR) {
    get_result(descriptor, name, type, capacity, count, values);
    return;
  }
  require(type == found->second.type, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE,
          "read as another type");
  const std::int64_t n =
      capacity == 0 ? found->second.count : std::min(capacity, found->second.count);
  if (count != nullptr) *count = n;
  if (capacity > 0) {
    require(values != nullptr, CUDNN_STATUS_BAD_PARAM_NULL_POINTER, "nowhere to write to");
    std::memcpy(values, found->second.bytes.data(),
                static_cast<std::size_t>(n) * element_size(type));
  }
}

}  // namespace protolith::emulated::dnn
