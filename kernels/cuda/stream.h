// The stream that a launch goes to, named without CUDA's headers: whoever includes a kernel's
// header need not have them.
#pragma once

struct CUstream_st;

namespace protolith::cuda {

/// cudaStream_t.
using Stream = CUstream_st*;

}  // namespace protolith::cuda
