#include "engine/cuda/cuda_backend.h"

#include <cuda_profiler_api.h>

#include <algorithm>
#include <vector>

#include "engine/cuda/activity.h"
#include "engine/cuda/device.h"
#include "engine/cuda/graph_replay.h"
#include "engine/expect.h"
#include "kernels/cuda/adam.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/episode_gather.h"
#include "kernels/cuda/gather_rows.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/scores.h"

namespace protolith {
namespace {

/// What cuBLAS recommends for devices of compute capability 9.0; fixed, so that its results do not
/// depend on what is free and a recorded graph needs no allocation.
constexpr std::int64_t kBlasWorkspace = std::int64_t{32} << 20U;

constexpr int kTf32Capability = 80;

/// Makes the device the current one, if it has what the options need.
Device open_device(const CudaOptions& options) {
  cuda::use_device(options.index);
  const auto check = [&](bool needed, int capability, const char* flag, const char* other) {
    PROTOLITH_CHECK_USAGE(!needed || cuda::compute_capability(options.index) >= capability,
                          "{} needs compute capability {}.{}, and device cuda:{} is {}; use {}",
                          flag, capability / 10, capability % 10, options.index,
                          cuda::device_description(options.index), other);
  };
  check(options.needs_tf32, kTf32Capability, "--precision tf32", "--precision fp32");
  check(options.needs_cudnn_batch_norm, cuda::kCudnnNormCapability, "--batch-norm cudnn",
        "--batch-norm fused");
  return {DeviceType::cuda, options.index};
}

/// Without what the open device lacks.
CudaOptions served(CudaOptions options) {
  const int capability = cuda::compute_capability(options.index);
  options.tf32 = options.tf32 && capability >= kTf32Capability;
  if (options.batch_norm == CudaBatchNorm::cudnn && capability < cuda::kCudnnNormCapability) {
    options.batch_norm = CudaBatchNorm::fused;
  }
  return options;
}

cuda::CudnnOptions cudnn_options(const CudaOptions& options) {
  return {.tf32 = options.tf32, .deterministic = options.deterministic};
}

}  // namespace

CudaBackend::CudaBackend(const CudaOptions& options)
    : device_(open_device(options)),
      options_(served(options)),
      stream_(cuda::make_stream()),
      arena_(std::make_shared<Arena>(device_, cuda::reserve_device_region(device_))),
      staging_(stream_.get()),
      dnn_(stream_.get()),
      convolution_(dnn_, cudnn_options(options_),
                   [this](std::size_t bytes) {
                     return empty({static_cast<std::int64_t>(bytes)}, DType::u8);
                   }),
      batch_norm_(dnn_, cudnn_options(options_),
                  [this](std::size_t bytes) {
                    return empty({static_cast<std::int64_t>(bytes)}, DType::u8);
                  }),
      blas_workspace_(persistent({kBlasWorkspace}, DType::u8)),
      blas_(cuda::make_blas(stream_.get())) {
  PROTOLITH_CUDA(cublasSetWorkspace(blas_.get(), blas_workspace_.raw(), blas_workspace_.bytes()));
  // Distances are differences of large numbers: never TF32, whatever the environment says.
  PROTOLITH_CUDA(cublasSetMathMode(blas_.get(), CUBLAS_PEDANTIC_MATH));
}

CudaBackend::~CudaBackend() {
  // Handles and memory must not go while work uses them.
  static_cast<void>(cudaStreamSynchronize(stream_.get()));
}

std::string CudaBackend::description() const {
  // All that decides about the last bits: not the device's number.
  int cublas = 0;
  PROTOLITH_CUDA(cublasGetVersion(blas_.get(), &cublas));
  return fmt::format("{}, {} convolution, {} batch norm, {}cuDNN {}, cuBLAS {}, CUDA {}.{}",
                     cuda::device_description(device_.index), options_.tf32 ? "tf32" : "fp32",
                     to_string(options_.batch_norm),
                     options_.deterministic ? "" : "not deterministic, ", cudnnGetVersion(), cublas,
                     CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
}

Tensor CudaBackend::empty(Shape shape, DType dtype) {
  const auto bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  return {arena_->allocate(bytes), shape, dtype};
}

Tensor CudaBackend::persistent(Shape shape, DType dtype) {
  const auto bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  return {cuda::allocate_device(bytes, device_, stream_.get()), shape, dtype};
}

std::unique_ptr<Replay> CudaBackend::make_replay(std::function<void()> work) {
  if (!options_.graph) return Backend::make_replay(std::move(work));
  return std::make_unique<cuda::GraphReplay>(*this, stream_.get(), std::move(work));
}

std::unique_ptr<DeviceTrace> CudaBackend::make_device_trace(std::size_t capacity) {
  return cuda::trace_activity(capacity);
}

void CudaBackend::capture_for_profiler(bool on) {
  PROTOLITH_CUDA(cudaStreamSynchronize(stream_.get()));
  if (on) {
    PROTOLITH_CUDA(cudaProfilerStart());
  } else {
    PROTOLITH_CUDA(cudaProfilerStop());
  }
}

void CudaBackend::copy(const Tensor& source, const Tensor& target) {
  const ProfileRange range(profiler(), "copy", source.shape());
  const bool from_host = source.defined() && source.device().type == DeviceType::cpu;
  const bool to_host = target.defined() && target.device().type == DeviceType::cpu;
  PROTOLITH_CHECK(!(from_host && to_host), "a copy from host to host is not for {}",
                  to_string(device_));
  expect_tensor(target, "copy target", to_host ? Device{} : device_, target.dtype());
  expect_shape(source, "copy source", from_host ? Device{} : device_, target.shape(),
               target.dtype());
  if (from_host) {
    copy_from_host(source.raw(), target);
  } else if (to_host) {
    copy_to_host(source, target.raw());
  } else {
    PROTOLITH_CUDA(cudaMemcpyAsync(target.raw(), source.raw(), source.bytes(),
                                   cudaMemcpyDeviceToDevice, stream_.get()));
  }
}

void CudaBackend::copy_from_host(const void* source, const Tensor& target) {
  const ProfileRange range(profiler(), "copy_from_host", target.shape());
  PROTOLITH_CHECK(!cuda::is_recording(stream_.get()),
                  "work that is replayed must not copy from the host");
  expect_tensor(target, "copy target", device(), target.dtype());
  staging_.to_device(source, target.raw(), target.bytes());
}

void CudaBackend::copy_to_host(const Tensor& source, void* target) {
  const ProfileRange range(profiler(), "copy_to_host", source.shape());
  PROTOLITH_CHECK(!cuda::is_recording(stream_.get()),
                  "work that is replayed must not read anything back");
  expect_tensor(source, "copy source", device(), source.dtype());
  staging_.to_host(source.raw(), target, source.bytes());
}

void CudaBackend::fill(const Tensor& target, float value) {
  const ProfileRange range(profiler(), "fill", target.shape());
  expect_tensor(target, "fill target", device());
  cuda::fill(target.data<float>(), value, target.elements(), stream_.get());
}

Tensor CudaBackend::add(const Tensor& a, const Tensor& b) {
  const ProfileRange range(profiler(), "add", a.shape());
  expect_tensor(a, "add a", device());
  expect_shape(b, "add b", device(), a.shape());
  Tensor sum = empty(a.shape(), DType::f32);
  cuda::add(a.data<float>(), b.data<float>(), sum.data<float>(), a.elements(), stream_.get());
  return sum;
}

void CudaBackend::accumulate(const Tensor& target, const Tensor& a) {
  const Accumulation one[] = {{target, a}};
  accumulate(one);
}

void CudaBackend::accumulate(std::span<const Accumulation> sums) {
  const ProfileRange range(profiler(), "accumulate");
  std::vector<cuda::Accumulation> list;
  const auto flush = [&] {
    cuda::accumulate(list, stream_.get());
    list.clear();
  };
  for (const auto& [target, source] : sums) {
    expect_tensor(target, "accumulate target", device());
    expect_shape(source, "accumulate source", device(), target.shape());
    // One launch's sums have no order among them: a target that comes again must wait.
    float* const begin = target.data<float>();
    const bool again = std::any_of(list.begin(), list.end(),
                                   [&](const auto& other) { return other.target == begin; });
    if (again) flush();
    list.push_back({begin, source.data<float>(), target.elements()});
  }
  flush();
}

Tensor CudaBackend::scale(const Tensor& a, const Tensor& factor) {
  const ProfileRange range(profiler(), "scale", a.shape());
  expect_tensor(a, "scale a", device());
  expect_tensor(factor, "scale factor", device());
  PROTOLITH_CHECK(factor.elements() == 1, "scale factor has shape {}, expected one element",
                  to_string(factor.shape()));
  Tensor scaled = empty(a.shape(), DType::f32);
  cuda::scale(a.data<float>(), factor.data<float>(), scaled.data<float>(), a.elements(),
              stream_.get());
  return scaled;
}

Tensor CudaBackend::mean(const Tensor& a) {
  const ProfileRange range(profiler(), "mean", a.shape());
  expect_tensor(a, "mean a", device());
  Tensor result = empty({1}, DType::f32);
  cuda::mean(a.data<float>(), a.elements(), result.data<float>(), stream_.get());
  return result;
}

Tensor CudaBackend::rows_backward(const Tensor& dy, const Shape& shape, std::int64_t begin) {
  const ProfileRange range(profiler(), "rows_backward", shape);
  expect_tensor(dy, "rows gradient", device());
  PROTOLITH_CHECK(shape.rank() >= 1 && dy.shape().rank() >= 1 && begin >= 0 &&
                      begin + dy.shape()[0] <= shape[0] &&
                      dy.elements() / dy.shape()[0] == shape.elements() / shape[0],
                  "rows {} at {} of a tensor of shape {}", to_string(dy.shape()), begin,
                  to_string(shape));
  Tensor dx = empty(shape, DType::f32);
  cuda::place_rows(dy.data<float>(), dy.elements(), dx.data<float>(),
                   begin * (shape.elements() / shape[0]), shape.elements(), stream_.get());
  return dx;
}

Tensor CudaBackend::convolution(const Tensor& x, const Tensor& weight, ConvolutionGeometry g) {
  const ProfileRange range(profiler(), "convolution", x.shape());
  expect_rank(x, "convolution x", device(), 4);
  expect_rank(weight, "convolution weight", device(), 4);
  Tensor y = empty(convolution_shape(x.shape(), weight.shape(), g.stride, g.padding), DType::f32);
  convolution_.forward(x, weight, g, y);
  return y;
}

Tensor CudaBackend::convolution_backward_data(const Tensor& dy, const Tensor& weight,
                                              const Shape& x_shape, ConvolutionGeometry g) {
  const ProfileRange range(profiler(), "convolution_backward_data", x_shape);
  expect_rank(weight, "dgrad weight", device(), 4);
  expect_shape(dy, "dgrad dy", device(),
               convolution_shape(x_shape, weight.shape(), g.stride, g.padding));
  Tensor dx = empty(x_shape, DType::f32);
  convolution_.backward_data(dy, weight, g, dx);
  return dx;
}

Tensor CudaBackend::convolution_backward_weight(const Tensor& x, const Tensor& dy,
                                                const Shape& weight_shape, ConvolutionGeometry g) {
  const ProfileRange range(profiler(), "convolution_backward_weight", x.shape());
  expect_rank(x, "wgrad x", device(), 4);
  expect_shape(dy, "wgrad dy", device(),
               convolution_shape(x.shape(), weight_shape, g.stride, g.padding));
  Tensor dweight = empty(weight_shape, DType::f32);
  convolution_.backward_weight(x, dy, g, dweight);
  return dweight;
}

void CudaBackend::adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& m,
                            const Tensor& v, const AdamOptions& options, const Tensor& schedule,
                            const Tensor& failed) {
  const ProfileRange range(profiler(), "adam_step", parameters.shape());
  expect_tensor(parameters, "adam parameters", device());
  expect_shape(gradients, "adam gradients", device(), parameters.shape());
  expect_shape(m, "adam m", device(), parameters.shape());
  expect_shape(v, "adam v", device(), parameters.shape());
  expect_shape(schedule, "adam schedule", device(), {2});
  expect_shape(failed, "adam failed", device(), {1});
  cuda::adam_step(parameters.data<float>(), gradients.data<float>(), m.data<float>(),
                  v.data<float>(), parameters.elements(),
                  {options.beta1, options.beta2, options.epsilon}, schedule.data<float>(),
                  failed.data<float>(), stream_.get());
}

void CudaBackend::record_scores(const Tensor& loss, const Tensor& hit, const Tensor& slot,
                                const Tensor& scores, const Tensor& failed) {
  const ProfileRange range(profiler(), "record_scores", hit.shape());
  expect_shape(loss, "score loss", device(), {1});
  expect_rank(hit, "score hit", device(), 1);
  expect_shape(slot, "score slot", device(), {1}, DType::i32);
  expect_rank(scores, "scores", device(), 2);
  expect_shape(scores, "scores", device(), {scores.shape()[0], 2});
  expect_shape(failed, "score failed", device(), {1});
  cuda::record_scores(loss.data<float>(), hit.data<float>(), hit.elements(),
                      slot.data<std::int32_t>(), scores.data<float>(), scores.shape()[0],
                      failed.data<float>(), stream_.get());
}

Tensor CudaBackend::gather_rows(const Tensor& table, const Tensor& indices) {
  const ProfileRange range(profiler(), "gather_rows", indices.shape());
  expect_rank(table, "gather table", device(), 2);
  expect_rank(indices, "gather indices", device(), 1, DType::i32);
  Tensor rows = empty({indices.elements(), table.shape()[1]}, DType::f32);
  cuda::gather_rows(table.data<float>(), table.shape()[0], table.shape()[1],
                    indices.data<std::int32_t>(), indices.elements(), rows.data<float>(),
                    stream_.get());
  return rows;
}

Tensor CudaBackend::episode_gather(const Tensor& images, const Tensor& indices, const Tensor& turns,
                                   const Tensor& scale, const Tensor& shift) {
  const ProfileRange range(profiler(), "episode_gather", indices.shape());
  expect_rank(images, "gather images", device(), 4, DType::u8);
  expect_rank(indices, "gather indices", device(), 1, DType::i32);
  expect_shape(turns, "gather turns", device(), indices.shape(), DType::i32);
  const Shape& s = images.shape();
  expect_shape(scale, "gather scale", device(), {s[3]});
  expect_shape(shift, "gather shift", device(), {s[3]});
  Tensor batch = empty({indices.elements(), s[1], s[2], s[3]}, DType::f32);
  cuda::episode_gather(images.data<std::uint8_t>(), s[0], indices.data<std::int32_t>(),
                       turns.data<std::int32_t>(), indices.elements(), s[1], s[2], s[3],
                       scale.data<float>(), shift.data<float>(), batch.data<float>(),
                       stream_.get());
  return batch;
}

}  // namespace protolith
