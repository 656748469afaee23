#pragma once

#include "tests/gpu_emulation/cudnn/descriptor.h"

namespace protolith::emulated::dnn {

/// Queues a plan on a stream with the pointers of a variant pack.
void execute(cudaStream_t stream, const Descriptor& plan, const Descriptor& pack);

}  // namespace protolith::emulated::dnn
