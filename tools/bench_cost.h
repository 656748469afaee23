#pragma once

#include "engine/backend.h"
#include "tools/bench_workload.h"

namespace protolith {

/// How `protolith bench cost` prints.
enum class CostFormat : std::uint8_t { text, json, markdown };

/// Prints what a workload's training step costs on CUDA, by formulas (tools/step_cost.h): every
/// operation, the totals with either batch norm, and the least time on some devices.
void print_step_cost(const Workload& workload, CudaBatchNorm batch_norm, CostFormat format);

}  // namespace protolith
