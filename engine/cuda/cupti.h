// CUPTI, NVIDIA's interface for profilers, loaded when a trace is wanted: who does not trace needs
// no CUPTI, and linking it would make it a need of all.
#pragma once

#include <cuda.h>
#include <cupti.h>

#include <string>

#include "engine/check.h"

namespace protolith::cuda {

/// The functions that are used of it.
struct Cupti {
  decltype(&cuptiActivityRegisterTimestampCallback) register_timestamp_callback;
  decltype(&cuptiActivityRegisterCallbacks) register_callbacks;
  decltype(&cuptiActivityEnable) enable;
  decltype(&cuptiActivityDisable) disable;
  decltype(&cuptiActivityFlushAll) flush_all;
  decltype(&cuptiActivityGetNextRecord) next_record;
  decltype(&cuptiActivityGetNumDroppedRecords) dropped_records;
  decltype(&cuptiGetResultString) result_string;
};

/// From a library file; empty: from what is in the process already. Throws Error naming what is
/// missing.
Cupti load_cupti(const std::string& file);

/// CUPTI of the version that this was built with, loaded once. Throws Error saying where it was
/// looked for and what to do.
const Cupti& cupti();

/// Throws Error naming the call unless it succeeded.
void check_cupti(CUptiResult result, const char* call);

}  // namespace protolith::cuda
