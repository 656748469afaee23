// The sizes at which `protolith bench kernels` runs a kernel: those of a workload's training step,
// or what --shape says.
#pragma once

#include <string>
#include <vector>

#include "engine/kernel_bench.h"
#include "tools/bench_workload.h"

namespace protolith {

/// One number for each of axes_of(domain).
using KernelSizes = std::vector<std::int64_t>;

/// Those that a training step of the workload has, at least one; in ascending order of blocks.
std::vector<KernelSizes> model_shapes(KernelDomain domain, const Workload& workload);

/// "300x64" for a kernel of this domain. Throws UsageError naming the value, what is wrong with it
/// and what would be right.
KernelSizes parse_shape(const std::string& text, const KernelEntry& entry);

/// "300x64".
std::string to_string(const KernelSizes& sizes);

/// What --shape means for every family of both devices, as lines for --help.
std::string shape_help();

}  // namespace protolith
