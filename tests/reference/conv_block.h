// A {3x3 convolution, batch norm, ReLU, optional 2x2 max-pool} block and chains of them. The
// discrete decisions (which element of a pool window wins, where ReLU is active) are explicit, so
// that the reference can take those of an f32 computation: a near tie that rounding decides the
// other way is then no difference.
#pragma once

#include <algorithm>
#include <limits>
#include <utility>

#include "tests/reference/activation.h"
#include "tests/reference/batch_norm.h"
#include "tests/reference/convolution.h"

namespace protolith::reference {

struct BlockParameters {
  Array weight;       ///< [filters, 3, 3, channels]
  Array gamma, beta;  ///< [filters]
  double epsilon = 1e-5;
  bool pool = true;
};

/// Of the shape of the block's output.
struct Decisions {
  Bytes winner;  ///< 2 * dy + dx, also where not active; empty without a pool
  Bytes active;  ///< 1 where the output is positive
};

struct BlockForward {
  Convolution shape;
  Array x, convolved, y;
  Statistics statistics;
  Decisions decisions;
  /// How far the nearest decision is from being taken the other way.
  double margin = 0.0;

  Extents y_extents() const { return decisions.winner.empty() ? shape.y() : pooled(shape.y()); }
};

struct BlockGradients {
  Array dx, dweight, dgamma, dbeta;
};

/// The smallest |t| of the pre-activations t and, with a pool, the smallest lead of a window's
/// positive maximum over its runner-up. Exact ties count as 0.
inline double decision_margin(const Array& t, const Extents& extents, bool pool) {
  double margin = std::numeric_limits<double>::infinity();
  for (const double value : t) margin = std::min(margin, std::abs(value));
  if (!pool) return margin;
  for_each_window(extents, [&](std::size_t, const std::size_t* inputs) {
    double window[4];
    for (int i = 0; i < 4; ++i) window[i] = t[inputs[i]];
    std::sort(window, window + 4);
    if (window[3] > 0.0) margin = std::min(margin, window[3] - window[2]);
  });
  return margin;
}

/// Normalised values -> output, by the decisions given or, where null, its own.
inline void activate(const Array& normalized, bool pool, const Decisions* given,
                     BlockForward& block) {
  const Extents extents = block.shape.y();
  if (given != nullptr) {
    block.decisions = *given;
    block.y = pool ? pool_select(normalized, given->winner, extents) : normalized;
    for (std::size_t i = 0; i < block.y.size(); ++i) {
      if (given->active[i] == 0) block.y[i] = 0.0;
    }
    return;
  }
  block.y = relu(normalized);
  if (pool) {
    Pooled result = max_pool(block.y, extents);
    block.y = std::move(result.y);
    block.decisions.winner = std::move(result.winner);
  }
  for (const double value : block.y) block.decisions.active.push_back(value <= 0.0 ? 0 : 1);
}

/// Training forward pass of x with batch statistics.
inline BlockForward block_forward(const Array& x, const Extents& extents,
                                  const BlockParameters& parameters,
                                  const Decisions* given = nullptr) {
  const auto filters = static_cast<std::int64_t>(parameters.gamma.size());
  BlockForward block;
  block.shape = {extents, filters};
  block.x = x;
  block.convolved = convolution(x, parameters.weight, block.shape);
  block.statistics = batch_statistics(block.convolved, filters);
  const Array normalized = batch_norm(block.convolved, parameters.gamma, parameters.beta,
                                      block.statistics, parameters.epsilon);
  block.margin = decision_margin(normalized, block.shape.y(), parameters.pool);
  activate(normalized, parameters.pool, given, block);
  return block;
}

/// Backward of batch norm, ReLU and pool: dx is the gradient of the convolution's output.
inline BatchNormGradients activation_backward(const BlockForward& forward,
                                              const BlockParameters& parameters, const Array& dy) {
  Array gradient = dy;
  for (std::size_t i = 0; i < dy.size(); ++i) {
    if (forward.decisions.active[i] == 0) gradient[i] = 0.0;
  }
  if (parameters.pool) {
    gradient = max_pool_backward(gradient, forward.decisions.winner, forward.shape.y());
  }
  return batch_norm_backward(forward.convolved, gradient, parameters.gamma, forward.statistics,
                             parameters.epsilon);
}

inline BlockGradients block_backward(const BlockForward& forward, const BlockParameters& parameters,
                                     const Array& dy) {
  BatchNormGradients norm = activation_backward(forward, parameters, dy);
  return {convolution_backward_data(norm.dx, parameters.weight, forward.shape),
          convolution_backward_weight(forward.x, norm.dx, forward.shape), std::move(norm.dgamma),
          std::move(norm.dbeta)};
}

/// Inference with running statistics.
inline Array block_inference(const Array& x, const Extents& extents,
                             const BlockParameters& parameters, const Statistics& running) {
  const Convolution shape{extents, static_cast<std::int64_t>(parameters.gamma.size())};
  const Array convolved = convolution(x, parameters.weight, shape);
  const Array y =
      relu(batch_norm(convolved, parameters.gamma, parameters.beta, running, parameters.epsilon));
  return parameters.pool ? max_pool(y, shape.y()).y : y;
}

/// Training forward pass through a chain of blocks; `given` is empty or holds each block's
/// decisions. The last block's `y` is the embedding.
inline std::vector<BlockForward> chain_forward(const Array& x, const Extents& extents,
                                               const std::vector<BlockParameters>& blocks,
                                               const std::vector<Decisions>& given = {}) {
  std::vector<BlockForward> results;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    const Array& input = i == 0 ? x : results.back().y;
    const Extents input_extents = i == 0 ? extents : results.back().y_extents();
    results.push_back(
        block_forward(input, input_extents, blocks[i], given.empty() ? nullptr : &given[i]));
  }
  return results;
}

/// Backward through the chain: each block's gradients, in the blocks' order.
inline std::vector<BlockGradients> chain_backward(const std::vector<BlockForward>& forward,
                                                  const std::vector<BlockParameters>& blocks,
                                                  Array dy) {
  std::vector<BlockGradients> results(blocks.size());
  for (std::size_t i = blocks.size(); i-- > 0;) {
    results[i] = block_backward(forward[i], blocks[i], dy);
    dy = results[i].dx;
  }
  return results;
}

}  // namespace protolith::reference
