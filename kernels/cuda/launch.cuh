// Launching a kernel with checked arguments and a checked result, and the grids that launches use.
#pragma once

#include <cuda_runtime.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>

// Shared memory, by macros: a host executor that runs these sources cannot give a plain __shared__
// array the life of a block.
#ifndef SHARED_ARRAY
/// A static shared array: SHARED_ARRAY(float, tile, [16][17]).
#define SHARED_ARRAY(T, name, dims) __shared__ T name dims
/// The block's dynamic shared memory, 16-byte aligned.
#define DYNAMIC_SHARED(T, name)                                    \
  extern __shared__ __align__(16) unsigned char dynamic_shared_[]; \
  T* const name = reinterpret_cast<T*>(dynamic_shared_)
#endif

namespace protolith::cuda {

/// CUDA refused a launch.
class LaunchError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline constexpr int kWarp = 32;
inline constexpr unsigned kFullMask = 0xffffffffU;

/// Blocks of `per_block` items that cover `count` items, at most `limit` (for grid-stride loops).
inline unsigned blocks_for(std::int64_t count, std::int64_t per_block,
                           std::int64_t limit = 0x7fffffff) {
  return static_cast<unsigned>(std::min((count + per_block - 1) / per_block, limit));
}

namespace detail {
template <class... P, std::size_t... I>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, std::tuple<P...> values, std::index_sequence<I...>) {
  void* arguments[] = {static_cast<void*>(&std::get<I>(values))...};
  const cudaError_t status = cudaLaunchKernel(kernel, grid, block, arguments, shared_bytes, stream);
  if (status != cudaSuccess) {
    throw LaunchError(std::string("a kernel was not launched: ") + cudaGetErrorString(status));
  }
}
}  // namespace detail

/// kernel<<<grid, block, shared_bytes, stream>>>(arguments...), arguments converted to the
/// kernel's own types. Throws LaunchError when CUDA refuses.
template <class... P, class... A>
void launch(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared_bytes,
            cudaStream_t stream, A&&... arguments) {
  detail::launch(kernel, grid, block, shared_bytes, stream,
                 std::tuple<P...>(static_cast<P>(arguments)...),
                 std::make_index_sequence<sizeof...(P)>());
}

}  // namespace protolith::cuda
