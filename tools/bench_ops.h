#pragma once

#include <string>
#include <vector>

#include "engine/backend.h"
#include "tools/bench_workload.h"

namespace protolith {

/// One primitive of the backend at one of a workload's shapes.
struct OpTiming {
  std::string name;  ///< "convolution"
  Shape shape;       ///< of its main input
  Timing timing;
  double gflop = 0;   ///< 1e9 floating-point operations a call; convolutions counted as direct ones
  double mbytes = 0;  ///< 1e6 bytes that it must at least read and write
};

/// Times every primitive whose name contains `filter` at the shapes of the workload's training
/// step, one at a time.
std::vector<OpTiming> time_ops(Backend& backend, const Workload& workload,
                               const std::string& filter, int warm, int repeats);

}  // namespace protolith
