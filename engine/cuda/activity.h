// What the device does, recorded through CUPTI: kernels, those of a graph one by one, copies,
// fills.
#pragma once

#include <memory>

#include "engine/profile.h"

namespace protolith::cuda {

/// A recorder of the current device's work that keeps `capacity` records; at most one at a time in
/// a process. CUPTI records from its making on, so that graphs recorded afterwards show their
/// nodes; it stamps its records with the clock of the ranges, which it is given as its own (it
/// converts the device's clock to that by interpolation). Throws Error where CUPTI is missing or
/// refuses.
std::unique_ptr<DeviceTrace> trace_activity(std::size_t capacity);

}  // namespace protolith::cuda
