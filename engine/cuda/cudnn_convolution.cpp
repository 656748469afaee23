#include "engine/cuda/cudnn_convolution.h"

#include "engine/cuda/cudnn_operands.h"
#include "engine/expect.h"

namespace protolith::cuda {
namespace {

constexpr std::int64_t kX = 1, kWeight = 2, kY = 3;

/// The names of one operation's attributes; each pass has its own for the same six things.
struct Attributes {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t convolution, x, weight, y, alpha, beta;
};

Attributes attributes(ConvolutionPass pass) {
  switch (pass) {
    case ConvolutionPass::forward:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
    case ConvolutionPass::backward_data:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvolutionPass::backward_weight:
      break;
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
}

const char* name(ConvolutionPass pass) {
  switch (pass) {
    case ConvolutionPass::forward:
      return "convolution";
    case ConvolutionPass::backward_data:
      return "data gradient";
    case ConvolutionPass::backward_weight:
      break;
  }
  return "weight gradient";
}

PlannedOperation planned_operation(ConvolutionPass pass) {
  switch (pass) {
    case ConvolutionPass::forward:
      return PlannedOperation::convolution;
    case ConvolutionPass::backward_data:
      return PlannedOperation::convolution_backward_data;
    case ConvolutionPass::backward_weight:
      break;
  }
  return PlannedOperation::convolution_backward_weight;
}

Descriptor convolution_descriptor(ConvolutionGeometry g) {
  const std::array<std::int64_t, 2> stride{g.stride, g.stride};
  const std::array<std::int64_t, 2> padding{g.padding, g.padding};
  const std::array<std::int64_t, 2> dilation{1, 1};
  using Pair = std::span<const std::int64_t>;
  Descriptor convolution(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  convolution.set(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, std::int64_t{2});
  convolution.set(CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_DATA_FLOAT);
  convolution.set(CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_CROSS_CORRELATION);
  convolution.set(CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, Pair(padding));
  convolution.set(CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, Pair(padding));
  convolution.set(CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, Pair(stride));
  convolution.set(CUDNN_ATTR_CONVOLUTION_DILATIONS, Pair(dilation));
  convolution.finalize();
  return convolution;
}

void check_shapes(const ConvolutionShapes& s) {
  const auto [stride, padding] = s.geometry;
  PROTOLITH_CHECK(s.y == convolution_shape(s.x, s.weight, stride, padding),
                  "a convolution of {} with {} (stride {}, padding {}) does not make {}",
                  to_string(s.x), to_string(s.weight), stride, padding, to_string(s.y));
}

}  // namespace

OperationGraph convolution_graph(ConvolutionPass pass, const ConvolutionShapes& shapes) {
  check_shapes(shapes);
  const Attributes a = attributes(pass);
  std::vector<Descriptor> parts;
  parts.push_back(convolution_descriptor(shapes.geometry));
  parts.push_back(nhwc_tensor(kX, shapes.x));
  parts.push_back(nhwc_tensor(kWeight, shapes.weight));
  parts.push_back(nhwc_tensor(kY, shapes.y));
  Descriptor operation(a.operation);
  operation.set(a.convolution, parts[0]);
  operation.set(a.x, parts[1]);
  operation.set(a.weight, parts[2]);
  operation.set(a.y, parts[3]);
  operation.set(a.alpha, 1.0F);  // the result is written,
  operation.set(a.beta, 0.0F);   // not added to what is there
  operation.finalize();
  return OperationGraph(std::move(operation), std::move(parts));
}

CudnnPlan plan_convolution(ConvolutionPass pass, const ConvolutionShapes& shapes,
                           const DeviceProperties& device, const CudnnOptions& options) {
  try {
    return CudnnPlan(convolution_graph(pass, shapes), device, {.options = options});
  } catch (const Error& error) {
    throw Error(fmt::format("{} of {} with {} (stride {}, padding {}): {}", name(pass),
                            to_string(shapes.x), to_string(shapes.weight), shapes.geometry.stride,
                            shapes.geometry.padding, error.what()));
  }
}

CudnnConvolution::CudnnConvolution(const CudnnHandle& handle, CudnnOptions options,
                                   Workspace workspace)
    : handle_(handle), device_(handle), options_(options), workspace_(std::move(workspace)) {}

void CudnnConvolution::run(ConvolutionPass pass, const Tensor& x, const Tensor& weight,
                           const Tensor& y, ConvolutionGeometry g) {
  const std::array<Binding, 3> bindings{bind(kX, x, "x"), bind(kWeight, weight, "weight"),
                                        bind(kY, y, "y")};
  const ConvolutionShapes shapes{x.shape(), weight.shape(), y.shape(), g};
  check_shapes(shapes);  // the key has no y
  const PlanKey key{.operation = planned_operation(pass),
                    .x = four_extents(x.shape()),
                    .weight = four_extents(weight.shape()),
                    .stride = g.stride,
                    .padding = g.padding,
                    .dtype = x.dtype(),
                    .tf32 = options_.tf32,
                    .deterministic = options_.deterministic,
                    .workspace_limit = options_.workspace_limit,
                    .device = x.device().index};
  const CudnnPlan& plan =
      plans_.get(key, [&] { return plan_convolution(pass, shapes, device_, options_); });
  execute(plan, handle_, bindings, workspace_);
}

void CudnnConvolution::forward(const Tensor& x, const Tensor& weight, ConvolutionGeometry g,
                               const Tensor& y) {
  run(ConvolutionPass::forward, x, weight, y, g);
}

void CudnnConvolution::backward_data(const Tensor& dy, const Tensor& weight, ConvolutionGeometry g,
                                     const Tensor& dx) {
  run(ConvolutionPass::backward_data, dx, weight, dy, g);
}

void CudnnConvolution::backward_weight(const Tensor& x, const Tensor& dy, ConvolutionGeometry g,
                                       const Tensor& dweight) {
  run(ConvolutionPass::backward_weight, x, dweight, dy, g);
}

}  // namespace protolith::cuda
