#pragma once

#include "engine/ops/distance.h"
#include "models/conv4.h"
#include "models/metric.h"

namespace protolith {

/// Rows of an episode's embeddings: way * shot supports, then way * query queries, class-major.
struct EpisodeLayout {
  std::int64_t way = 0, shot = 0, query = 0;
  std::int64_t supports() const noexcept { return way * shot; }
  std::int64_t queries() const noexcept { return way * query; }
  std::int64_t images() const noexcept { return supports() + queries(); }
};

/// The prototypical loss of an episode (Snell et al. 2017; Shen & Liu, eq. 2 to 4 and 6):
/// prototypes are class means of the support embeddings, p = softmax(-metric(d_EUC)), and the loss
/// is the mean of -log p_y over the queries.
/// embeddings [way * (shot + query), features], labels i32 [way * query].
ops::LeakySoftmaxLoss prototypical_loss(Backend& backend, const Variable& embeddings,
                                        const Tensor& labels, EpisodeLayout layout,
                                        const Metric& metric,
                                        DistanceMethod method = DistanceMethod::gemm,
                                        LossDiagnostics* diagnostics = nullptr);

}  // namespace protolith
