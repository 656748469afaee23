#include "engine/cuda/cudnn_batch_norm.h"

#include "engine/cuda/cudnn_operands.h"

namespace protolith::cuda {
namespace {

/// Ids of the tensors; in the backward pass y stands for dx.
enum Id : std::int64_t {
  kX = 1,
  kY,
  kDy,
  kGamma,
  kBeta,
  kMean,
  kInvStd,
  kDgamma,
  kDbeta,
  kEpsilon,
  kMomentum,
  kOldMean,
  kOldVariance,
  kNewMean,
  kNewVariance
};

/// Makes an operation's tensors and keeps them until the graph takes them.
class Parts {
 public:
  Parts(cudnnBackendDescriptorType_t type, const Shape& x)
      : operation(type), x_(x), channels_({1, 1, 1, x[3]}) {}

  void image(cudnnBackendAttributeName_t name, Id id) { add(name, nhwc_tensor(id, x_)); }
  void channels(cudnnBackendAttributeName_t name, Id id) { add(name, nhwc_tensor(id, channels_)); }
  void scalar(cudnnBackendAttributeName_t name, Id id) { add(name, host_scalar(id)); }
  OperationGraph graph() {
    operation.finalize();
    return OperationGraph(std::move(operation), std::move(parts_));
  }

  Descriptor operation;

 private:
  void add(cudnnBackendAttributeName_t name, Descriptor tensor) {
    operation.set(name, tensor);
    parts_.push_back(std::move(tensor));
  }

  Shape x_, channels_;
  std::vector<Descriptor> parts_;
};

OperationGraph forward_graph(BatchNormPass pass, const Shape& x) {
  const bool training = pass != BatchNormPass::inference;
  Parts parts(CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR, x);
  parts.operation.set(CUDNN_ATTR_OPERATION_NORM_FWD_MODE, CUDNN_BATCH_NORM);
  parts.operation.set(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE,
                      training ? CUDNN_NORM_FWD_TRAINING : CUDNN_NORM_FWD_INFERENCE);
  parts.image(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, kX);
  parts.channels(CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, kGamma);
  parts.channels(CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, kBeta);
  parts.channels(CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, kMean);
  parts.channels(CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, kInvStd);
  parts.image(CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, kY);
  if (training) parts.scalar(CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, kEpsilon);
  if (pass == BatchNormPass::training_running) {
    parts.scalar(CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC, kMomentum);
    parts.channels(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, kOldMean);
    parts.channels(CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, kOldVariance);
    parts.channels(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC, kNewMean);
    parts.channels(CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, kNewVariance);
  }
  return parts.graph();
}

OperationGraph backward_graph(const Shape& x) {
  Parts parts(CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR, x);
  parts.operation.set(CUDNN_ATTR_OPERATION_NORM_BWD_MODE, CUDNN_BATCH_NORM);
  parts.image(CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, kX);
  parts.image(CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, kDy);
  parts.channels(CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, kGamma);
  parts.channels(CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, kMean);
  parts.channels(CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, kInvStd);
  parts.image(CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, kY);
  parts.channels(CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, kDgamma);
  parts.channels(CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, kDbeta);
  return parts.graph();
}

PlannedOperation planned_operation(BatchNormPass pass) {
  switch (pass) {
    case BatchNormPass::training:
      return PlannedOperation::batch_norm_training;
    case BatchNormPass::training_running:
      return PlannedOperation::batch_norm_training_running;
    case BatchNormPass::inference:
      return PlannedOperation::batch_norm_inference;
    case BatchNormPass::backward:
      break;
  }
  return PlannedOperation::batch_norm_backward;
}

void check_shapes(const Tensor& x, std::initializer_list<const Tensor*> images,
                  std::initializer_list<const Tensor*> channels) {
  PROTOLITH_CHECK(x.shape().rank() == 4, "batch norm wants x as [N,H,W,C], not {}",
                  to_string(x.shape()));
  for (const Tensor* image : images) {
    PROTOLITH_CHECK(image->shape() == x.shape(), "batch norm of {}: another tensor is {}",
                    to_string(x.shape()), to_string(image->shape()));
  }
  for (const Tensor* channel : channels) {
    PROTOLITH_CHECK(channel->shape() == Shape({x.shape()[3]}),
                    "batch norm of {}: a tensor of channels is {}", to_string(x.shape()),
                    to_string(channel->shape()));
  }
}

}  // namespace

OperationGraph batch_norm_graph(BatchNormPass pass, const Shape& x) {
  PROTOLITH_CHECK(x.rank() == 4, "batch norm wants x as [N,H,W,C], not {}", to_string(x));
  return pass == BatchNormPass::backward ? backward_graph(x) : forward_graph(pass, x);
}

CudnnPlan plan_batch_norm(BatchNormPass pass, const Shape& x, const DeviceProperties& device,
                          const CudnnOptions& options) {
  try {
    return CudnnPlan(batch_norm_graph(pass, x), device,
                     {.options = options, .runtime_compilation = true});
  } catch (const NoEngine& error) {
    throw NoEngine(fmt::format("batch norm of {}: {}", to_string(x), error.what()));
  } catch (const Error& error) {
    throw Error(fmt::format("batch norm of {}: {}", to_string(x), error.what()));
  }
}

CudnnBatchNorm::CudnnBatchNorm(const CudnnHandle& handle, CudnnOptions options, Workspace workspace)
    : handle_(handle), device_(handle), options_(options), workspace_(std::move(workspace)) {}

const CudnnPlan& CudnnBatchNorm::plan(BatchNormPass pass, const Shape& x) {
  // No TF32 here: the option changes nothing.
  const PlanKey key{.operation = planned_operation(pass),
                    .x = four_extents(x),
                    .deterministic = options_.deterministic,
                    .workspace_limit = options_.workspace_limit};
  return plans_.get(key, [&] { return plan_batch_norm(pass, x, device_, options_); });
}

bool CudnnBatchNorm::supports(const Shape& x, bool running) {
  const auto [answer, is_new] = supported_.try_emplace({four_extents(x), running}, false);
  if (!is_new) return answer->second;
  try {
    // Only what will run: cuDNN compiles each of them.
    plan(running ? BatchNormPass::training_running : BatchNormPass::training, x);
    plan(BatchNormPass::backward, x);
    answer->second = true;
  } catch (const NoEngine&) {
    // The answer stays no.
  } catch (const Error&) {
    supported_.erase(answer);  // that is no answer
    throw;
  }
  return answer->second;
}

void CudnnBatchNorm::forward_training(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                      float epsilon, float momentum, const Tensor& running_mean,
                                      const Tensor& running_variance, const Tensor& mean,
                                      const Tensor& inv_std, const Tensor& y) {
  check_shapes(x, {&y}, {&gamma, &beta, &mean, &inv_std});
  std::vector<Binding> bindings{
      bind(kX, x, "x"),          bind(kGamma, gamma, "gamma"),      bind(kBeta, beta, "beta"),
      bind(kMean, mean, "mean"), bind(kInvStd, inv_std, "inv_std"), bind(kY, y, "y"),
      {kEpsilon, &epsilon}};
  if (!running_mean.defined() && !running_variance.defined()) {
    execute(plan(BatchNormPass::training, x.shape()), handle_, bindings, workspace_);
    return;
  }
  check_shapes(x, {}, {&running_mean, &running_variance});
  PROTOLITH_CHECK(x.elements() > x.shape()[3], "batch norm of {}: one row has no unbiased variance",
                  to_string(x.shape()));
  // cuDNN does not promise that the new statistics may lie where the old ones do.
  const std::size_t stride =
      (running_mean.bytes() + kCudnnAlignment - 1) / kCudnnAlignment * kCudnnAlignment;
  const Tensor updated = workspace_(2 * stride);
  std::byte* const new_mean = updated.raw();
  std::byte* const new_variance = new_mean + stride;
  bindings.push_back({kMomentum, &momentum});
  bindings.push_back(bind(kOldMean, running_mean, "the running mean"));
  bindings.push_back(bind(kOldVariance, running_variance, "the running variance"));
  bindings.push_back({kNewMean, new_mean});
  bindings.push_back({kNewVariance, new_variance});
  execute(plan(BatchNormPass::training_running, x.shape()), handle_, bindings, workspace_);
  cudaStream_t stream = nullptr;
  PROTOLITH_CUDA(cudnnGetStream(handle_.get(), &stream));
  const auto keep = [&](const std::byte* from, const Tensor& to) {
    PROTOLITH_CUDA(cudaMemcpyAsync(to.raw(), from, to.bytes(), cudaMemcpyDeviceToDevice, stream));
  };
  keep(new_mean, running_mean);
  keep(new_variance, running_variance);
}

void CudnnBatchNorm::inference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                               const Tensor& mean, const Tensor& inv_std, const Tensor& y) {
  check_shapes(x, {&y}, {&gamma, &beta, &mean, &inv_std});
  const std::array<Binding, 6> bindings{
      bind(kX, x, "x"),          bind(kGamma, gamma, "gamma"),      bind(kBeta, beta, "beta"),
      bind(kMean, mean, "mean"), bind(kInvStd, inv_std, "inv_std"), bind(kY, y, "y")};
  execute(plan(BatchNormPass::inference, x.shape()), handle_, bindings, workspace_);
}

void CudnnBatchNorm::backward(const Tensor& x, const Tensor& dy, const Tensor& gamma,
                              const Tensor& mean, const Tensor& inv_std, const Tensor& dx,
                              const Tensor& dgamma, const Tensor& dbeta) {
  check_shapes(x, {&dy, &dx}, {&gamma, &mean, &inv_std, &dgamma, &dbeta});
  const std::array<Binding, 8> bindings{bind(kX, x, "x"),
                                        bind(kDy, dy, "dy"),
                                        bind(kGamma, gamma, "gamma"),
                                        bind(kMean, mean, "mean"),
                                        bind(kInvStd, inv_std, "inv_std"),
                                        bind(kY, dx, "dx"),
                                        bind(kDgamma, dgamma, "dgamma"),
                                        bind(kDbeta, dbeta, "dbeta")};
  execute(plan(BatchNormPass::backward, x.shape()), handle_, bindings, workspace_);
}

}  // namespace protolith::cuda
