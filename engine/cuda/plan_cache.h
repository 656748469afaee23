#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <map>
#include <utility>

#include "engine/tensor.h"

namespace protolith::cuda {

enum class PlannedOperation : std::uint8_t {
  convolution,
  convolution_backward_data,
  convolution_backward_weight,
  batch_norm_training,
  batch_norm_training_running,  ///< also updates the running statistics
  batch_norm_inference,
  batch_norm_backward
};

/// All that a plan depends on.
struct PlanKey {
  PlannedOperation operation{};
  std::array<std::int64_t, 4> x{};       ///< [N,H,W,C]
  std::array<std::int64_t, 4> weight{};  ///< [K,R,S,C], zeros where there is none
  std::int64_t stride = 0, padding = 0;
  DType dtype = DType::f32;
  bool tf32 = false, deterministic = false;
  std::size_t workspace_limit = 0;  ///< bytes
  int device = 0;

  auto operator<=>(const PlanKey&) const = default;
};

/// Plans by key, each made once and kept: making one takes milliseconds and must not happen while
/// a stream is captured. Not thread-safe: it belongs to one driving thread, like cuDNN's handle.
template <class Plan>
class PlanCache {
 public:
  /// The plan of `key`; `make()` makes it when there is none yet. The reference stays valid.
  template <class Make>
  const Plan& get(const PlanKey& key, Make make) {
    const auto found = plans_.find(key);
    if (found != plans_.end()) return found->second;
    return plans_.emplace(key, make()).first->second;
  }
  std::size_t size() const noexcept { return plans_.size(); }

 private:
  std::map<PlanKey, Plan> plans_;
};

}  // namespace protolith::cuda
