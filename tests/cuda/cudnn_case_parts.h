// Right descriptors for the cases to start from, each with what a case may change about it.
#pragma once

#include "tests/cuda/cudnn_cases.h"

namespace protolith::test {

using Ints = std::vector<std::int64_t>;

/// Nothing here has this attribute: nothing is skipped.
inline constexpr auto kNothing = CUDNN_ATTR_POINTWISE_MODE;

/// A tensor in NHWC order, extents N,C,H,W.
struct TensorOptions {
  Ints extents{2, 3, 5, 5};
  Ints strides{75, 1, 15, 3};
  std::int64_t id = 1, alignment = 16;
  bool by_value = false;
  cudnnDataType_t type = CUDNN_DATA_FLOAT;
  cudnnBackendAttributeName_t skip = kNothing;
};

inline TensorOptions nhwc(std::int64_t id, std::int64_t n, std::int64_t c, std::int64_t h,
                          std::int64_t w) {
  return {.extents = {n, c, h, w}, .strides = {h * w * c, 1, w * c, c}, .id = id};
}

inline TensorOptions scalar(std::int64_t id) {
  return {
      .extents = {1, 1, 1, 1}, .strides = {1, 1, 1, 1}, .id = id, .alignment = 4, .by_value = true};
}

inline RawDescriptor unfinalized_tensor(Sequence& s, const TensorOptions& o) {
  RawDescriptor d(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  if (o.skip != CUDNN_ATTR_TENSOR_UNIQUE_ID) d.ints(CUDNN_ATTR_TENSOR_UNIQUE_ID, {o.id});
  if (o.skip != CUDNN_ATTR_TENSOR_DATA_TYPE) {
    d.one(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, o.type);
  }
  if (o.skip != CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT) {
    d.ints(CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, {o.alignment});
  }
  if (o.skip != CUDNN_ATTR_TENSOR_DIMENSIONS) d.ints(CUDNN_ATTR_TENSOR_DIMENSIONS, o.extents);
  if (o.skip != CUDNN_ATTR_TENSOR_STRIDES) d.ints(CUDNN_ATTR_TENSOR_STRIDES, o.strides);
  if (o.by_value) d.one(CUDNN_ATTR_TENSOR_IS_BY_VALUE, CUDNN_TYPE_BOOLEAN, true);
  return d;
}

inline RawDescriptor tensor(Sequence& s, const TensorOptions& o) {
  RawDescriptor d = unfinalized_tensor(s, o);
  d.finalize();
  return d;
}

/// An H100, as cuDNN describes one.
RawDescriptor device(Sequence& s);

struct ConvolutionOptions {
  Ints padding{1, 1}, post_padding{1, 1}, stride{1, 1}, dilation{1, 1};
  std::int64_t spatial = 2;
  cudnnBackendAttributeName_t skip = kNothing;
  bool finalized = true;
};

inline RawDescriptor convolution(Sequence& s, const ConvolutionOptions& o) {
  RawDescriptor d(s, CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  if (o.skip != CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS) {
    d.ints(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {o.spatial});
  }
  if (o.skip != CUDNN_ATTR_CONVOLUTION_COMP_TYPE) {
    d.one(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  }
  if (o.skip != CUDNN_ATTR_CONVOLUTION_CONV_MODE) {
    d.one(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  }
  for (const auto& [name, values] :
       {std::pair{CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, &o.padding},
        std::pair{CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, &o.post_padding},
        std::pair{CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, &o.stride},
        std::pair{CUDNN_ATTR_CONVOLUTION_DILATIONS, &o.dilation}}) {
    if (o.skip != name) d.ints(name, *values);
  }
  if (o.finalized) d.finalize();
  return d;
}

/// Which of the three operations, and its attributes.
struct Pass {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, x, w, y, alpha, beta;
};

inline constexpr Pass kForward{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
                               CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
inline constexpr Pass kBackwardData{CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
                                    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
inline constexpr Pass kBackwardFilter{
    CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
    CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};

/// A convolution of x with w that makes y, and every descriptor that it refers to.
struct OperationOptions {
  Pass pass = kForward;
  TensorOptions x = nhwc(1, 2, 8, 6, 5), w = nhwc(2, 4, 8, 3, 3), y = nhwc(3, 2, 4, 6, 5);
  ConvolutionOptions convolution = {};
  cudnnBackendAttributeName_t skip = kNothing;
  bool tensors_finalized = true, finalized = true;
};

struct Operation {
  std::vector<RawDescriptor> parts;
  RawDescriptor operation;
};

inline Operation convolution_operation(Sequence& s, const OperationOptions& o) {
  Operation r{{}, RawDescriptor(s, o.pass.type)};
  r.parts.push_back(convolution(s, o.convolution));
  for (const TensorOptions* t : {&o.x, &o.w, &o.y}) {
    r.parts.push_back(o.tensors_finalized ? tensor(s, *t) : unfinalized_tensor(s, *t));
  }
  if (o.skip != o.pass.convolution) r.operation.refer(o.pass.convolution, r.parts[0]);
  if (o.skip != o.pass.x) r.operation.refer(o.pass.x, r.parts[1]);
  if (o.skip != o.pass.w) r.operation.refer(o.pass.w, r.parts[2]);
  if (o.skip != o.pass.y) r.operation.refer(o.pass.y, r.parts[3]);
  if (o.skip != o.pass.alpha) r.operation.one(o.pass.alpha, CUDNN_TYPE_FLOAT, 1.0F);
  if (o.skip != o.pass.beta) r.operation.one(o.pass.beta, CUDNN_TYPE_FLOAT, 0.0F);
  if (o.finalized) r.operation.finalize();
  return r;
}

/// An operation's graph, finalized.
inline RawDescriptor graph(Sequence& s, const RawDescriptor& operation) {
  RawDescriptor d(s, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
  d.refer(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation).finalize();
  return d;
}

inline RawDescriptor heuristics(Sequence& s, const RawDescriptor& graph,
                                const RawDescriptor& device) {
  RawDescriptor d(s, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  d.refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph)
      .one(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A)
      .refer(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device)
      .finalize();
  return d;
}

/// Some proposals of the heuristics.
inline std::vector<RawDescriptor> configurations(Sequence& s, const RawDescriptor& heuristics,
                                                 std::size_t capacity) {
  std::vector<RawDescriptor> result;
  std::vector<cudnnBackendDescriptor_t> raw;
  for (std::size_t i = 0; i < capacity; ++i) {
    raw.push_back(result.emplace_back(s, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR).raw);
  }
  std::int64_t count = 0;
  s.note(Call::get,
         cudnnBackendGetAttribute(heuristics.raw, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                  CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                  static_cast<std::int64_t>(capacity), &count, raw.data()));
  while (result.size() > static_cast<std::size_t>(count)) result.pop_back();
  return result;
}

}  // namespace protolith::test
