// The engines that the stand-in proposes: right ones, and before them every kind that the selection
// must pass over - inexact, non-deterministic, compiled at run time, too hungry, not buildable.
#include <algorithm>
#include <array>

#include "tests/gpu_emulation/cudnn/descriptor.h"

namespace protolith::emulated::dnn {
namespace {

constexpr std::int64_t kHuge = std::int64_t{4} << 30;

constexpr std::array<ConvolutionNames, 3> kConvolutions{
    {{CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y, CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA},
     {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA},
     {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X, CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
      CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA}}};

std::int64_t bytes_of(const Descriptor& tensor) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : tensor.all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS)) {
    elements *= extent;
  }
  return 4 * elements;
}

std::vector<Engine> convolution_engines(const Descriptor& operation, const ConvolutionNames& names,
                                        cudnnBackendHeurMode_t mode, int compute_capability) {
  const auto tensor_core = CUDNN_NUMERICAL_NOTE_TENSOR_CORE;
  const std::int64_t copy = bytes_of(*operation.part(names.x));  // of x in another layout
  const Engine careful{.index = 0, .numerical = {CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP}};
  if (mode == CUDNN_HEUR_MODE_FALLBACK) return {careful};
  std::vector<Engine> engines{
      {.index = 90, .numerical = {tensor_core, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS}},
      {.index = 91,
       .numerical = {CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION},
       .workspace = copy},
      {.index = 20, .numerical = {CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC}},
      {.index = 71,
       .numerical = {tensor_core},
       .behavior = {CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION}},
      {.index = 41, .numerical = {tensor_core}, .workspace = kHuge},
      {.index = 38, .numerical = {tensor_core}, .buildable = false},
      {.index = 67, .numerical = {tensor_core}},
      {.index = 42, .workspace = kHuge},
      {.index = 70, .workspace = copy}};
  if (compute_capability < 80) {
    std::erase_if(engines, [&](const Engine& engine) { return engine.has(tensor_core); });
  }
  return engines;
}

/// Batch norm: compiled at run time, from compute capability 8.0 on, for channels in fours.
std::vector<Engine> norm_engines(const Descriptor& operation, cudnnBackendHeurMode_t mode,
                                 int compute_capability) {
  const bool forward = operation.type == CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR;
  const auto x = operation.part(forward ? CUDNN_ATTR_OPERATION_NORM_FWD_XDESC
                                        : CUDNN_ATTR_OPERATION_NORM_BWD_XDESC);
  const bool inference =
      forward && operation.one(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_NORM_FWD_INFERENCE) ==
                     CUDNN_NORM_FWD_INFERENCE;
  require(!inference, CUDNN_STATUS_NOT_SUPPORTED, "no engine for batch norm with given statistics");
  if (forward) {
    int running = 0;
    for (const auto name : {CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC,
                            CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC,
                            CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC,
                            CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC,
                            CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC}) {
      running += operation.has(name) ? 1 : 0;
    }
    require(running == 0 || running == 5, CUDNN_STATUS_NOT_SUPPORTED,
            "running statistics go in and out together");
  }
  const auto extents = x->all<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS);
  if (mode != CUDNN_HEUR_MODE_A || compute_capability < 80 || extents[1] % 4 != 0) return {};
  return {{.index = 0,
           .numerical = {},
           .behavior = {CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION},
           .workspace = 1024 + 16 * extents[1]}};
}

}  // namespace

const ConvolutionNames* convolution_names(cudnnBackendDescriptorType_t type) {
  for (const ConvolutionNames& names : kConvolutions) {
    if (names.type == type) return &names;
  }
  return nullptr;
}

std::vector<NamedTensor> tensors_of(const Descriptor& operation) {
  std::vector<NamedTensor> result;
  for (const auto& [name, value] : operation.values) {
    for (const auto& part : value.descriptors) {
      if (part->type == CUDNN_BACKEND_TENSOR_DESCRIPTOR) result.push_back({name, part});
    }
  }
  return result;
}

std::vector<Engine> propose(const Descriptor& graph, cudnnBackendHeurMode_t mode,
                            int compute_capability) {
  const auto operation = graph.part(CUDNN_ATTR_OPERATIONGRAPH_OPS);
  for (const NamedTensor& t : tensors_of(*operation)) {
    require(t.tensor->has(CUDNN_ATTR_TENSOR_UNIQUE_ID) &&
                t.tensor->one(CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_DATA_HALF) == CUDNN_DATA_FLOAT,
            CUDNN_STATUS_NOT_SUPPORTED, "the stand-in computes f32 tensors that have an id");
  }
  const ConvolutionNames* names = convolution_names(operation->type);
  if (names != nullptr) return convolution_engines(*operation, *names, mode, compute_capability);
  return norm_engines(*operation, mode, compute_capability);
}

}  // namespace protolith::emulated::dnn
