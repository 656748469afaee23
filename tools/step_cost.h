// What one recorded training step costs on CUDA, by formulas: everything that it submits, in order,
// with its bytes and operations, and the least time that a device's data sheet allows for them. The
// emulated device checks the list against what a step does (tests/gpu_emulation).
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "data/episode.h"
#include "engine/backend.h"
#include "kernels/cuda/traffic.h"
#include "models/conv4.h"

namespace protolith {

/// What a training step's cost depends on.
struct StepShape {
  EpisodeShape episode;
  Conv4Options encoder;
  DistanceMethod distance = DistanceMethod::gemm;
};

/// Whose work it is: a kernel of ours, a product by cuBLAS, a convolution or batch norm by cuDNN,
/// or a copy.
enum class WorkBy : std::uint8_t { kernel, product, convolution, batch_norm, copy };
/// "kernel", "cuBLAS", "cuDNN" or "copy".
std::string_view to_string(WorkBy by);

/// One operation of a step.
struct WorkCost {
  std::string name;
  WorkBy by;
  /// `launches`: calls, where a library decides how many kernels a call takes. Convolutions count
  /// as direct ones, products of the zeros around an image included; convolutions and products move
  /// each operand once; a batch norm by cuDNN reads its images twice, as it needs sums over all of
  /// them before it can write any.
  cuda::Traffic traffic;
  std::string family;  ///< of a kernel of ours: its header in kernels/cuda
};

/// Everything that one training step submits, the copy of its inputs from the host first. For
/// CudaBatchNorm::cudnn: where cuDNN has a batch norm, which is for compute capability 8.0 or more
/// and filters in multiples of 4; elsewhere the backend takes the fused one.
std::vector<WorkCost> training_step_cost(const StepShape& shape, CudaBatchNorm batch_norm);

struct StepTotals {
  std::int64_t kernels = 0, products = 0, dnn_calls = 0, copies = 0;
  cuda::Traffic traffic;  ///< `launches`: all of those
};
StepTotals totals_of(std::span<const WorkCost> step);

/// A device's rates by NVIDIA's data sheets.
struct DeviceRates {
  std::string_view name;
  double bandwidth;         ///< bytes/s of its memory
  double fp32;              ///< FLOP/s outside tensor cores
  double tf32;              ///< FLOP/s of tensor cores in TF32, dense; 0: has none
  bool dnn_batch_norm;      ///< whether cuDNN has a batch norm for it
  std::string_view source;  ///< the data sheet
  bool has_tf32() const { return tf32 > 0; }
};
std::span<const DeviceRates> device_rates();

/// The larger of bytes / bandwidth and operations / rate, in seconds; `tf32`: convolutions by
/// tensor cores. No overhead of launches.
double floor_seconds(const WorkCost& work, const DeviceRates& device, bool tf32);
/// The sum over a step.
double floor_seconds(std::span<const WorkCost> step, const DeviceRates& device, bool tf32);

}  // namespace protolith
