// Differentiable prototypes, distances and the few-shot loss, and the views they need.
#pragma once

#include "engine/autograd.h"

namespace protolith::ops {

/// The same elements under another shape.
Variable reshape(Backend& backend, const Variable& x, Shape shape);

/// Rows [begin, end) along the first axis.
Variable rows(Backend& backend, const Variable& x, std::int64_t begin, std::int64_t end);

/// Prototypes: means of runs of `length` consecutive rows (Snell et al. 2017, eq. 1).
Variable segment_mean(Backend& backend, const Variable& x, std::int64_t length);

/// queries [Q, features], prototypes [P, features] -> d_EUC [Q, P].
Variable squared_distances(Backend& backend, const Variable& queries, const Variable& prototypes,
                           DistanceMethod method);

/// The mean over the queries of -log p_y with p = softmax(-leaky(d)) (Shen & Liu, eq. 3, 4, 6).
struct LeakySoftmaxLoss {
  Variable loss;  ///< shape [1]
  Tensor hit;     ///< [Q], 1 where the nearest prototype is the true class
};
LeakySoftmaxLoss leaky_softmax_loss(Backend& backend, const Variable& distances,
                                    const Tensor& labels, LeakyDistance metric,
                                    LossDiagnostics* diagnostics = nullptr);

}  // namespace protolith::ops
