#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>

#include "engine/profile.h"
#include "engine/tensor.h"

namespace protolith {

/// A square convolution's stride and zero padding, in pixels.
struct ConvolutionGeometry {
  std::int64_t stride = 1;
  std::int64_t padding = 1;
};

/// How squared distances are computed: by a GEMM, clamped at 0, or as sums of squared differences.
enum class DistanceMethod : std::uint8_t { gemm, direct };

/// The distances of eq. 6: d up to `threshold`, threshold + (d - threshold) * slope beyond it; with
/// threshold 0 the slope holds everywhere. SED is {0, 1}, temperature T is {0, 1 / T}.
struct LeakyDistance {
  float threshold = 0.0F;
  float slope = 1.0F;
  /// The slope at a distance d: 1 for d <= threshold unless the threshold is 0.
  float derivative(float d) const noexcept {
    return threshold == 0.0F || d > threshold ? slope : 1.0F;
  }
};

struct AdamOptions {
  float learning_rate = 1e-3F;
  float beta1 = 0.9F;
  float beta2 = 0.999F;
  float epsilon = 1e-8F;
};

/// What of an Adam step changes from one step to the next, computed in double. On a device it is an
/// f32 tensor [2] in this order.
struct AdamSchedule {
  float step_size;             ///< learning_rate / (1 - beta1^step)
  float deviation_correction;  ///< 1 / sqrt(1 - beta2^step)
  /// Of the step number `step`, counted from 1. Throws Error when it is below 1.
  static AdamSchedule at(const AdamOptions& options, std::int64_t step);
};

/// target += source, of equal shape.
struct Accumulation {
  Tensor target, source;
};

/// Device work that is done many times, in which nothing but the contents of persistent tensors
/// changes from one run to the next.
class Replay {
 public:
  virtual ~Replay() = default;
  /// Does the work and ends the step.
  virtual void run() = 0;
};

/// Batch statistics of batch norm, each [channels]; the variance is the biased one.
struct BatchStatistics {
  Tensor mean, variance, inv_std;
};

struct BatchNormGradients {
  Tensor dx, dgamma, dbeta;
};

struct PoolResult {
  Tensor y;
  Tensor winner;  ///< u8, the place 2 * dy + dx of each window's maximum
};

/// Batch norm + ReLU + optional pool; `winner` and `selected` exist with a pool only.
struct BatchNormReluPoolResult {
  Tensor y;
  Tensor winner;    ///< u8, y's shape
  Tensor selected;  ///< y's shape: the input element that won
};

struct DistanceGradients {
  Tensor dqueries, dprototypes;
};

/// What the fused loss kernel yields for `rows` queries and `classes` prototypes.
struct LossResult {
  Tensor loss;      ///< [rows], -log p of the true class
  Tensor hit;       ///< [rows], 1 or 0
  Tensor gradient;  ///< [rows, classes], of the mean loss with respect to d_EUC
};

/// What enters the loss, and each query's own gradient (not divided by the number of queries) with
/// respect to the distance that enters the softmax; each [rows, classes].
struct LossDiagnostics {
  Tensor distances;  ///< d_EUC: the tensor that the loss was computed from
  Tensor leaky, leaky_gradient;
};

/// The tensors of one {convolution, batch norm, ReLU, optional 2x2 pool} block.
struct ConvBlockParameters {
  Tensor weight;                          ///< [out, 3, 3, in] (KRSC)
  Tensor gamma, beta;                     ///< [out]
  Tensor running_mean, running_variance;  ///< [out], updated by a training forward pass
  float epsilon = 1e-5F;
  float momentum = 0.1F;  ///< weight of the new batch in the running statistics; 0 leaves them
  bool pool = true;
};

/// What a backend keeps from a block's forward pass for its backward pass.
class ConvBlockContext {
 public:
  virtual ~ConvBlockContext() = default;
};

/// What a backend prepares from a block's parameters for inference with running statistics.
class PreparedConvBlock {
 public:
  virtual ~PreparedConvBlock() = default;
};

struct ConvBlockForward {
  Tensor y;
  std::unique_ptr<ConvBlockContext> context;
};

struct ConvBlockGradients {
  Tensor dx;  ///< undefined when the input needed no gradient
  Tensor dweight, dgamma, dbeta;
};

class KernelBench;

/// The one seam between the engine and a device: every primitive, forward and backward, on tensors
/// of that device. Activations are NHWC, filters KRSC, all f32 unless said otherwise. Results are
/// step memory: they live until the last reference is gone or end_step() is called, whichever
/// comes first. Every function throws Error on shapes, types or devices that do not fit.
class Backend {
 public:
  virtual ~Backend() = default;

  // --- memory ---
  virtual Device device() const = 0;
  /// One line for logs and run records: "cpu, 2 threads, AVX3_ZEN4".
  virtual std::string description() const = 0;
  /// Step memory, contents undefined.
  virtual Tensor empty(Shape shape, DType dtype = DType::f32) = 0;
  /// Zero-filled memory that outlives steps.
  virtual Tensor persistent(Shape shape, DType dtype = DType::f32) = 0;
  /// Ends the step: all step memory becomes invalid.
  virtual void end_step() = 0;
  /// Largest extent of step memory so far, in bytes, and how often it has grown.
  virtual std::size_t step_memory_bytes() const = 0;
  virtual std::uint64_t step_memory_growths() const = 0;
  /// `work` as something to run again and again. It must read nothing back, and whatever differs
  /// between runs must lie in persistent tensors: a backend may record the work once. The default
  /// calls it at each run.
  virtual std::unique_ptr<Replay> make_replay(std::function<void()> work);
  /// Copies between tensors of equal shape and type, to, from or within the device.
  virtual void copy(const Tensor& source, const Tensor& target) = 0;
  /// Fills `target` from `target.bytes()` bytes of host memory; the host may reuse them on return.
  virtual void copy_from_host(const void* source, const Tensor& target) = 0;
  /// Fills `source.bytes()` bytes of host memory from a tensor; waits for its computation.
  virtual void copy_to_host(const Tensor& source, void* target) = 0;
  /// The value of an f32 tensor of one element; waits for its computation.
  float read_scalar(const Tensor& scalar);
  /// A persistent copy of a host tensor on the device.
  Tensor to_device(const Tensor& host);
  /// A copy of a device tensor on the host.
  Tensor to_host(const Tensor& tensor);

  // --- profiling ---
  /// Attaches who is told of every range from now on, or nobody (null). Ranges that are open end
  /// where they began.
  void set_profiler(Profiler* profiler) noexcept { profiler_ = profiler; }
  Profiler* profiler() const noexcept { return profiler_; }
  /// A recorder of what the device does that keeps `capacity` records; null where the host itself
  /// computes. Throws Error when it cannot be had. To be made before the first replay.
  virtual std::unique_ptr<DeviceTrace> make_device_trace(std::size_t /*capacity*/) {
    return nullptr;
  }
  /// Tells a profiler of the device's vendor that is attached to the process (nsys, ncu) to begin,
  /// or to end, capturing. Waits for the device first.
  virtual void capture_for_profiler(bool /*on*/) {}

  // --- element-wise and reductions ---
  virtual void fill(const Tensor& target, float value) = 0;
  virtual Tensor add(const Tensor& a, const Tensor& b) = 0;
  /// target += a.
  virtual void accumulate(const Tensor& target, const Tensor& a) = 0;
  /// Several at once; a backend may do so in one launch.
  virtual void accumulate(std::span<const Accumulation> sums);
  /// a * factor[0]; `factor` is a scalar on the device.
  virtual Tensor scale(const Tensor& a, const Tensor& factor) = 0;
  /// The mean of all elements, shape [1].
  virtual Tensor mean(const Tensor& a) = 0;
  /// Zeros of `shape` but for rows [begin, begin + n), which are the n rows of `dy`.
  virtual Tensor rows_backward(const Tensor& dy, const Shape& shape, std::int64_t begin);
  /// op(a) op(b) of matrices, op transposing where asked; strict f32.
  virtual Tensor matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b) = 0;

  // --- convolution ---
  /// x [N,H,W,C], weight [K,R,S,C] -> [N,P,Q,K].
  virtual Tensor convolution(const Tensor& x, const Tensor& weight, ConvolutionGeometry g) = 0;
  /// dgrad: dy [N,P,Q,K] -> [N,H,W,C] = x_shape.
  virtual Tensor convolution_backward_data(const Tensor& dy, const Tensor& weight,
                                           const Shape& x_shape, ConvolutionGeometry g) = 0;
  /// wgrad: x, dy -> [K,R,S,C] = weight_shape.
  virtual Tensor convolution_backward_weight(const Tensor& x, const Tensor& dy,
                                             const Shape& weight_shape, ConvolutionGeometry g) = 0;

  // --- batch norm, over all but the last axis ---
  virtual BatchStatistics batch_statistics(const Tensor& x, float epsilon) = 0;
  /// running += momentum * (batch - running), the variance made unbiased for `rows` rows.
  virtual void update_running_statistics(const BatchStatistics& batch, std::int64_t rows,
                                         float momentum, const Tensor& running_mean,
                                         const Tensor& running_variance) = 0;
  /// (x - mean) * inv_std * gamma + beta.
  virtual Tensor batch_norm(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                            const BatchStatistics& statistics) = 0;
  /// Running statistics as one multiply-add: scale = gamma / sqrt(running_variance + epsilon),
  /// shift = beta - running_mean * scale, written to `scale` and `shift`.
  virtual void inference_scale_shift(const Tensor& gamma, const Tensor& beta,
                                     const Tensor& running_mean, const Tensor& running_variance,
                                     float epsilon, const Tensor& scale, const Tensor& shift) = 0;
  /// Batch norm with running statistics.
  virtual Tensor batch_norm_inference(const Tensor& x, const Tensor& gamma, const Tensor& beta,
                                      const Tensor& running_mean, const Tensor& running_variance,
                                      float epsilon) = 0;
  /// Through the statistics too.
  virtual BatchNormGradients batch_norm_backward(const Tensor& x, const Tensor& dy,
                                                 const Tensor& gamma,
                                                 const BatchStatistics& statistics) = 0;

  // --- ReLU and 2x2 max-pool, stride 2 ---
  virtual Tensor relu(const Tensor& x) = 0;
  virtual Tensor relu_backward(const Tensor& y, const Tensor& dy) = 0;
  virtual PoolResult max_pool(const Tensor& x) = 0;
  virtual Tensor max_pool_backward(const Tensor& dy, const Tensor& winner,
                                   const Shape& x_shape) = 0;

  // --- batch norm + ReLU + optional pool, fused ---
  virtual BatchNormReluPoolResult batch_norm_relu_pool(const Tensor& x, const Tensor& gamma,
                                                       const Tensor& beta,
                                                       const BatchStatistics& statistics,
                                                       bool pool) = 0;
  /// Inference: relu(x * scale[c] + shift[c]), pooled when asked.
  virtual Tensor affine_relu_pool(const Tensor& x, const Tensor& scale, const Tensor& shift,
                                  bool pool) = 0;
  /// Overwrites x with dx and returns it as dx.
  virtual BatchNormGradients batch_norm_relu_pool_backward(const Tensor& x,
                                                           const BatchNormReluPoolResult& forward,
                                                           const Tensor& dy, const Tensor& gamma,
                                                           const BatchStatistics& statistics) = 0;

  /// The same and then the weight gradient of the 3x3 convolution that made x from `input`, whose
  /// own gradient nobody needs (the first block): dx stays undefined, x is overwritten. The default
  /// composes the two; a backend may do without storing dx.
  virtual ConvBlockGradients batch_norm_relu_pool_backward_weight(
      const Tensor& input, const Tensor& x, const BatchNormReluPoolResult& forward,
      const Tensor& dy, const Tensor& gamma, const BatchStatistics& statistics,
      const Shape& weight_shape);

  // --- the convolution block; the default composes the primitives above ---
  /// Batch statistics; updates the running ones unless momentum is 0.
  virtual ConvBlockForward conv_block_forward(const Tensor& x,
                                              const ConvBlockParameters& parameters);
  /// Consumes the context. `needs_input_grad` false leaves dx undefined.
  virtual ConvBlockGradients conv_block_backward(std::unique_ptr<ConvBlockContext> context,
                                                 const Tensor& dy, bool needs_input_grad);
  /// Inference with running statistics, from weights prepared once per parameter version. The
  /// result is not step memory.
  virtual std::shared_ptr<const PreparedConvBlock> prepare_conv_block(
      const ConvBlockParameters& parameters);
  virtual Tensor conv_block_inference(const Tensor& x, const PreparedConvBlock& prepared);

  // --- prototypes, distances, loss ---
  /// x [segments * length, features] -> [segments, features], means of consecutive rows.
  virtual Tensor segment_mean(const Tensor& x, std::int64_t length) = 0;
  virtual Tensor segment_mean_backward(const Tensor& dmean, std::int64_t length) = 0;
  /// queries [Q, features], prototypes [P, features] -> d_EUC [Q, P].
  virtual Tensor squared_distances(const Tensor& queries, const Tensor& prototypes,
                                   DistanceMethod method) = 0;
  virtual DistanceGradients squared_distances_backward(const Tensor& queries,
                                                       const Tensor& prototypes,
                                                       const Tensor& ddistances) = 0;
  /// Eq. 6, 3, 4 and 5 in one pass. labels: i32 [rows]. Diagnostics only where asked for.
  virtual LossResult leaky_softmax_loss(const Tensor& distances, const Tensor& labels,
                                        LeakyDistance metric, bool needs_gradient,
                                        LossDiagnostics* diagnostics = nullptr) = 0;

  /// Counts an f32 tensor's values, or their magnitudes, in bins [edges[i], edges[i + 1]), the last
  /// one closed: i32 [bins + 3]: below the first edge, the bins, above the last edge, NaN. edges:
  /// [bins + 1], finite, ascending.
  virtual Tensor histogram(const Tensor& values, const Tensor& edges, bool magnitudes) = 0;

  // --- optimizer and data ---
  /// One step over flat buffers, of betas and epsilon in `options` and an AdamSchedule in
  /// `schedule` [2]; changes nothing unless failed[0] is 0.
  virtual void adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& m,
                         const Tensor& v, const AdamOptions& options, const Tensor& schedule,
                         const Tensor& failed) = 0;
  /// The step number `step`, counted from 1.
  void adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& m,
                 const Tensor& v, const AdamOptions& options, std::int64_t step);
  /// scores[slot[0]] = {loss[0], mean of hit}; failed[0] becomes 1 when the loss is not finite or
  /// the slot is outside. scores [any, 2], slot i32 [1], failed [1], all persistent: that is how a
  /// step's results wait on the device until somebody reads them.
  virtual void record_scores(const Tensor& loss, const Tensor& hit, const Tensor& slot,
                             const Tensor& scores, const Tensor& failed) = 0;
  /// table [rows, features], indices i32 [N] -> [N, features].
  virtual Tensor gather_rows(const Tensor& table, const Tensor& indices) = 0;
  /// images u8 [M,H,W,C], indices and turns i32 [N] -> f32 [N,H,W,C]; scale, shift [C].
  virtual Tensor episode_gather(const Tensor& images, const Tensor& indices, const Tensor& turns,
                                const Tensor& scale, const Tensor& shift) = 0;

  // --- measuring ---
  /// The device's kernels one by one (engine/kernel_bench.h); the backend must outlive it.
  virtual std::unique_ptr<KernelBench> kernel_bench() = 0;

 private:
  Profiler* profiler_ = nullptr;
};

/// How the CPU backend computes convolution blocks: by fused kernels (3x3 filters, channels and
/// filters in multiples of 16, or up to 4 input channels; others directly), or all directly.
enum class CpuConvolution : std::uint8_t { winograd, direct };

/// What the factors of a convolution's products are on the CPU; sums are f32 always, and so are
/// tensors and all other operations. bf16 needs direct convolutions and a processor with
/// AVX512-BF16; layers of up to 4 input channels compute in f32 all the same.
enum class CpuPrecision : std::uint8_t { fp32, bf16 };
/// Whether the processor has AVX512-BF16, as far as oneDNN may use it (ONEDNN_MAX_CPU_ISA).
bool cpu_has_bf16();

/// The CPU backend on `threads` threads (0: one for each processor). Throws UsageError when it
/// cannot compute in that precision.
std::unique_ptr<Backend> make_cpu_backend(int threads = 0,
                                          CpuConvolution convolution = CpuConvolution::winograd,
                                          CpuPrecision precision = CpuPrecision::fp32);

/// Who computes a block's batch norm on CUDA: cuDNN, kernels fused with ReLU and pool, or the
/// caller, composing it of single operations.
enum class CudaBatchNorm : std::uint8_t { cudnn, fused, composed };
const char* to_string(CudaBatchNorm batch_norm);

struct CudaOptions {
  int index = 0;              ///< the device's number
  bool tf32 = true;           ///< convolutions may round their inputs to TF32
  bool deterministic = true;  ///< the same bits at every run
  bool graph = true;          ///< replays are CUDA graphs
  CudaBatchNorm batch_norm = CudaBatchNorm::cudnn;
  /// Whether a device without them is a UsageError; else strict fp32 and the fused kernels serve.
  bool needs_tf32 = false, needs_cudnn_batch_norm = false;
  /// Told, once, when cuDNN has batch norm for the device but fails to build it: the fused kernels
  /// compute it then. Empty: such a failure is an Error.
  std::function<void(const std::string&)> warn = {};
};

}  // namespace protolith
