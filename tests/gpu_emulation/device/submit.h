// How kernels reach the emulated device, in types that both CUDA's real headers and the shim allow.
#pragma once

#include <functional>

struct CUstream_st;

namespace simt {

/// Takes a launch's work: runs it at once, unless a stand-in for the CUDA runtime queues it on its
/// streams.
void submit(CUstream_st* stream, std::function<void()> work);
void set_submitter(std::function<void(CUstream_st*, std::function<void()>)> submitter);

}  // namespace simt
