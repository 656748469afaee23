#pragma once

#include <string>

#include "engine/backend.h"
#include "tools/bench_workload.h"

namespace protolith {

/// What `protolith bench kernels` is asked for.
struct KernelBenchRequest {
  std::string filter;  ///< a family's or a kernel's name, or a part of kernels' names
  std::string shape;   ///< empty: the workload's
  bool cold = true;    ///< flush the caches before each launch
  bool list = false;   ///< do not run anything
  bool json = false;
  int warm = 3, repeats = 20;
};

/// Runs kernels of the device one by one and prints what they take, move and compute beside the
/// device's peak. Throws UsageError on a filter or shape that fits none.
void bench_kernels(Backend& backend, const Workload& workload, const KernelBenchRequest& request);

}  // namespace protolith
