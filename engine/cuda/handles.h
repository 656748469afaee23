// RAII for what CUDA and cuBLAS hand out. Each belongs to the device that was current when it was
// made and to one driving thread.
#pragma once

#include <memory>
#include <type_traits>

#include "engine/cuda/check.h"

namespace protolith::cuda {

/// A unique_ptr to a library's opaque struct that frees it by `destroy`.
template <class Handle, auto destroy>
struct Destroyer {
  using pointer = Handle;
  // A failure cannot be reported from here; the device's next call repeats it.
  void operator()(Handle handle) const noexcept { static_cast<void>(destroy(handle)); }
};
template <class Handle, auto destroy>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Destroyer<Handle, destroy>>;

using OwnedStream = Owned<cudaStream_t, &cudaStreamDestroy>;
using OwnedEvent = Owned<cudaEvent_t, &cudaEventDestroy>;
using OwnedGraph = Owned<cudaGraph_t, &cudaGraphDestroy>;
using OwnedGraphExec = Owned<cudaGraphExec_t, &cudaGraphExecDestroy>;
using OwnedBlas = Owned<cublasHandle_t, &cublasDestroy>;

/// A stream that does not wait for the default stream.
inline OwnedStream make_stream() {
  cudaStream_t stream = nullptr;
  PROTOLITH_CUDA(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return OwnedStream(stream);
}

/// An event without a time stamp.
inline OwnedEvent make_event() {
  cudaEvent_t event = nullptr;
  PROTOLITH_CUDA(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return OwnedEvent(event);
}

inline OwnedBlas make_blas(cudaStream_t stream) {
  cublasHandle_t handle = nullptr;
  PROTOLITH_CUDA(cublasCreate(&handle));
  OwnedBlas blas(handle);
  PROTOLITH_CUDA(cublasSetStream(handle, stream));
  return blas;
}

}  // namespace protolith::cuda
