// Differentiable convolution, batch norm, ReLU and max-pool, one by one and as one block.
#pragma once

#include "engine/autograd.h"

namespace protolith::ops {

/// x [N,H,W,C], weight [K,R,S,C] -> [N,P,Q,K].
Variable convolution(Backend& backend, const Variable& x, const Variable& weight,
                     ConvolutionGeometry geometry = {});

/// Training batch norm over all axes but the last; the statistics used are written to `*used`
/// unless it is null.
Variable batch_norm(Backend& backend, const Variable& x, const Variable& gamma,
                    const Variable& beta, float epsilon, BatchStatistics* used = nullptr);

Variable relu(Backend& backend, const Variable& x);

/// 2x2, stride 2, [N,H,W,C] -> [N, H/2, W/2, C].
Variable max_pool(Backend& backend, const Variable& x);

/// A block's parameters in the graph, and its running statistics.
struct ConvBlock {
  Variable weight, gamma, beta;
  Tensor running_mean, running_variance;
  float epsilon = 1e-5F;
  float momentum = 0.1F;
  bool pool = true;

  ConvBlockParameters parameters() const;
};

/// {3x3 convolution, batch norm, ReLU, optional pool} through the backend's fused block.
Variable conv_block(Backend& backend, const Variable& x, const ConvBlock& block);

/// The same, composed of the four operations above; for comparison and debugging.
Variable conv_block_composed(Backend& backend, const Variable& x, const ConvBlock& block);

}  // namespace protolith::ops
