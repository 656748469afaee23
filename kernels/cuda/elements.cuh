// Kernels over flat arrays: which elements a thread takes, and the grid that covers them all.
#pragma once

#include <cstdint>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/stream.h"

namespace protolith::cuda {

// Bandwidth-bound kernels of at most 40 registers a thread (Adam's; the others have up to 24): an
// SM of 65,536 registers holds 6 blocks of 256 threads or more, 1536 threads of a warp-load each.
// Occupancy: at least 75 %.
inline constexpr int kElementThreads = 256;

template <int kWidth>
struct Width {};

/// Calls body(Width<kWidth>(), i) for the kWidth elements from i on that are this thread's; at the
/// array's end, where fewer are left, body(Width<1>(), i) for each.
template <int kWidth, class Body>
__device__ __forceinline__ void for_elements(std::int64_t count, const Body& body) {
  const std::int64_t i = kWidth * (std::int64_t{blockIdx.x} * kElementThreads + threadIdx.x);
  if (i + kWidth <= count) {
    body(Width<kWidth>(), i);
  } else if constexpr (kWidth > 1) {
    for (std::int64_t j = i; j < count; ++j) body(Width<1>(), j);
  }
}

/// Launches `four` (a kernel that calls for_elements<4>) when `vectors`, else `one`.
template <class Kernel, class... A>
void launch_elements(bool vectors, Kernel four, Kernel one, std::int64_t count, Stream stream,
                     const A&... arguments) {
  const std::int64_t per_block = vectors ? 4 * kElementThreads : kElementThreads;
  launch(vectors ? four : one, blocks_for(count, per_block), kElementThreads, 0, stream,
         arguments...);
}

}  // namespace protolith::cuda
