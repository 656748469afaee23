// What CpuBackend keeps from a fused block's forward pass for its backward pass, and prepares for
// inference. Which blocks are fused, and how, is fused_block.cpp's business.
#pragma once

#include "engine/backend.h"
#include "kernels/cpu/first_block.h"

namespace protolith {

/// A block of which channels and filters are multiples of 16: all its convolutions by Winograd.
class WinogradContext final : public ConvBlockContext {
 public:
  Tensor x, gamma;
  Tensor filters;    ///< by filter (winograd_filter.h)
  Tensor convolved;  ///< [N,H,W,K]
  BatchStatistics statistics;
  BatchNormReluPoolResult normalized;
};

/// Running statistics folded into the filters and a shift per filter.
class WinogradPrepared final : public PreparedConvBlock {
 public:
  Tensor filters;  ///< by channel (winograd_filter.h)
  Tensor shift;    ///< [K]
  std::int64_t channels = 0;
  bool pool = true;
};

/// A pooled block on few channels: its convolution's output is never stored.
class FirstBlockContext final : public ConvBlockContext {
 public:
  Tensor x;
  ConvBlockParameters parameters;
  cpu::PatchStatistics patches;
  BatchStatistics statistics;
  Tensor winner;  ///< u8, y's shape, as first_block_forward() leaves it
};

class FirstBlockPrepared final : public PreparedConvBlock {
 public:
  Tensor weight;        ///< [K,3,3,C]
  Tensor scale, shift;  ///< [K]
};

}  // namespace protolith
