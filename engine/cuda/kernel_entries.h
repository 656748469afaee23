// Every kernel family of kernels/cuda as `protolith bench kernels` runs it: the one place where
// they are registered. Another family's functions go here too; a test counts the headers.
#pragma once

#include <vector>

#include "engine/kernel_bench.h"
#include "kernels/cuda/stream.h"

namespace protolith::cuda {

/// Their launches go to `stream`.
std::vector<KernelEntry> kernel_entries(Stream stream);

}  // namespace protolith::cuda
