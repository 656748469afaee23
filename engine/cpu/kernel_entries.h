// Every kernel family of kernels/cpu as `protolith bench kernels` runs it: the one place where they
// are registered. Another family's functions go here too; a test counts the headers.
#pragma once

#include <vector>

#include "engine/kernel_bench.h"

namespace protolith {

std::vector<KernelEntry> cpu_kernel_entries();

}  // namespace protolith
