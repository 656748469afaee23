// Field numbers and enumerators are those of onnx.proto (github.com/onnx/onnx, IR version 7).
#include "tools/onnx_file.h"

#include <fmt/format.h>

#include <initializer_list>
#include <vector>

#include "tools/protobuf.h"

namespace protolith {
namespace {

constexpr std::int64_t kIrVersion = 7;
constexpr std::int64_t kOperatorSet = 13;
constexpr std::int64_t kFloat = 1;  // TensorProto.FLOAT

/// message AttributeProto { string name = 1; float f = 2; repeated int64 ints = 8;
///                          AttributeType type = 20; }
ProtobufMessage attribute(const std::string& name, float value) {
  constexpr std::int64_t kFloatAttribute = 1;
  ProtobufMessage message;
  message.bytes(1, name).number(2, value).integer(20, kFloatAttribute);
  return message;
}
ProtobufMessage attribute(const std::string& name, const std::vector<std::int64_t>& values) {
  constexpr std::int64_t kIntegersAttribute = 7;
  ProtobufMessage message;
  message.bytes(1, name).integers(8, values).integer(20, kIntegersAttribute);
  return message;
}

/// message NodeProto { repeated string input = 1; output = 2; string name = 3; op_type = 4;
///                     repeated AttributeProto attribute = 5; }
ProtobufMessage node(const std::string& operation, const std::string& name,
                     const std::vector<std::string>& inputs,
                     std::initializer_list<ProtobufMessage> attributes = {}) {
  ProtobufMessage message;
  for (const std::string& input : inputs) message.bytes(1, input);
  message.bytes(2, name).bytes(3, name).bytes(4, operation);
  for (const ProtobufMessage& a : attributes) message.message(5, a);
  return message;
}

/// message TensorProto { repeated int64 dims = 1; int32 data_type = 2; string name = 8;
///                       bytes raw_data = 9; }
ProtobufMessage initializer(const std::string& name, const Tensor& tensor) {
  ProtobufMessage message;
  std::vector<std::int64_t> extents;
  for (int axis = 0; axis < tensor.shape().rank(); ++axis) extents.push_back(tensor.shape()[axis]);
  std::string raw;
  for (const float value : tensor.host_span<const float>()) append_number(raw, value);
  message.integers(1, extents).integer(2, kFloat).bytes(8, name).bytes(9, raw);
  return message;
}

/// message ValueInfoProto { string name = 1; TypeProto type = 2; }
/// message TypeProto { Tensor tensor_type = 1; }
/// message Tensor { int32 elem_type = 1; TensorShapeProto shape = 2; }
/// message TensorShapeProto { repeated Dimension dim = 1; }
/// message Dimension { int64 dim_value = 1; string dim_param = 2; }
ProtobufMessage value_info(const std::string& name, const std::vector<std::int64_t>& extents) {
  ProtobufMessage shape;
  shape.message(1, ProtobufMessage().bytes(2, "count"));
  for (const std::int64_t extent : extents) shape.message(1, ProtobufMessage().integer(1, extent));
  ProtobufMessage tensor;
  tensor.integer(1, kFloat).message(2, shape);
  ProtobufMessage value;
  value.bytes(1, name).message(2, ProtobufMessage().message(1, tensor));
  return value;
}

/// message GraphProto { repeated NodeProto node = 1; string name = 2;
///                      repeated TensorProto initializer = 5; ValueInfoProto input = 11; output =
///                      12; }
ProtobufMessage graph(const Conv4& model) {
  const Conv4Options& options = model.options();
  const float epsilon = ops::ConvBlock{}.epsilon;
  ProtobufMessage graph;
  std::string x = "images";
  for (int i = 0; i < Conv4::kBlocks; ++i) {
    const auto name = [&](int layer, const std::string& tensor = "") {
      return fmt::format("encoder.{}.{}{}", i, layer, tensor);
    };
    const auto then = [&](const std::string& operation, int layer, std::vector<std::string> inputs,
                          std::initializer_list<ProtobufMessage> attributes = {}) {
      inputs.insert(inputs.begin(), x);
      x = name(layer);
      graph.message(1, node(operation, x, inputs, attributes));
    };
    then("Conv", 0, {name(0, ".weight")},
         {attribute("kernel_shape", {3, 3}), attribute("pads", {1, 1, 1, 1})});
    then("BatchNormalization", 1,
         {name(1, ".weight"), name(1, ".bias"), name(1, ".running_mean"), name(1, ".running_var")},
         {attribute("epsilon", epsilon)});
    then("Relu", 2, {});
    if (i + 1 < Conv4::kBlocks || options.last_pool) {
      then("MaxPool", 3, {}, {attribute("kernel_shape", {2, 2}), attribute("strides", {2, 2})});
    }
  }
  graph.message(1, node("Flatten", "embeddings", {x})).bytes(2, "conv4");
  for (const auto& [name, tensor] : model.state()) {
    // The convolutions' biases are 0, and batches are not counted here.
    if (name.ends_with(".0.bias") || name.ends_with("num_batches_tracked")) continue;
    graph.message(5, initializer(name, tensor));
  }
  graph.message(11, value_info("images", {options.channels, options.height, options.width}));
  graph.message(12, value_info("embeddings", {model.features()}));
  return graph;
}

}  // namespace

/// message ModelProto { int64 ir_version = 1; string producer_name = 2; producer_version = 3;
///                      GraphProto graph = 7; repeated OperatorSetIdProto opset_import = 8;
///                      repeated StringStringEntryProto metadata_props = 14; }
/// message OperatorSetIdProto { string domain = 1; int64 version = 2; }
std::string encode_onnx(const Conv4& model, const std::map<std::string, std::string>& metadata) {
  ProtobufMessage onnx;
  onnx.integer(1, kIrVersion).bytes(2, "protolith").bytes(3, PROTOLITH_VERSION);
  onnx.message(7, graph(model));
  onnx.message(8, ProtobufMessage().bytes(1, "").integer(2, kOperatorSet));
  for (const auto& [key, value] : metadata) {
    onnx.message(14, ProtobufMessage().bytes(1, key).bytes(2, value));
  }
  return onnx.encoded();
}

}  // namespace protolith
