// What the kernels' headers state of their traffic, checked by the emulation's counters: bytes of
// device memory.
#pragma once

#include "kernels/traffic.h"

namespace protolith::cuda {

using protolith::Traffic;

}  // namespace protolith::cuda
