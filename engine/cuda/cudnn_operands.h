// What the operations on cuDNN share: from our tensors to its bindings and workspaces.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>

#include "engine/cuda/cudnn_plan.h"

namespace protolith::cuda {

/// A tensor as an operand. Throws Error unless it is defined, f32 and aligned as declared.
inline Binding bind(std::int64_t id, const Tensor& tensor, const char* name) {
  PROTOLITH_CHECK(tensor.defined(), "cuDNN: {} is undefined", name);
  const float* pointer = tensor.data<float>();
  PROTOLITH_CHECK(reinterpret_cast<std::uintptr_t>(pointer) % kCudnnAlignment == 0,
                  "cuDNN: {} {} is not aligned to {} bytes", name, to_string(tensor.shape()),
                  kCudnnAlignment);
  return {id, pointer};
}

inline std::array<std::int64_t, 4> four_extents(const Shape& shape) {
  return {shape[0], shape[1], shape[2], shape[3]};
}

/// Queues a plan with a workspace from `workspace`. Freeing the workspace on return is right for
/// memory that only this stream's later work reuses.
inline void execute(const CudnnPlan& plan, const CudnnHandle& handle,
                    std::span<const Binding> bindings,
                    const std::function<Tensor(std::size_t)>& workspace) {
  Tensor scratch;
  if (plan.workspace_bytes() > 0) scratch = workspace(plan.workspace_bytes());
  plan.execute(handle, bindings, scratch.defined() ? scratch.raw() : nullptr);
}

}  // namespace protolith::cuda
