#include "models/protonet.h"

namespace protolith {

ops::LeakySoftmaxLoss prototypical_loss(Backend& backend, const Variable& embeddings,
                                        const Tensor& labels, EpisodeLayout layout,
                                        const Metric& metric, DistanceMethod method,
                                        LossDiagnostics* diagnostics) {
  const Shape& shape = embeddings.value().shape();
  PROTOLITH_CHECK(shape.rank() == 2 && shape[0] == layout.images(),
                  "embeddings {} for an episode of {} images", to_string(shape), layout.images());
  const Variable support = ops::rows(backend, embeddings, 0, layout.supports());
  const Variable queries = ops::rows(backend, embeddings, layout.supports(), layout.images());
  const Variable prototypes = ops::segment_mean(backend, support, layout.shot);
  const Variable distances = ops::squared_distances(backend, queries, prototypes, method);
  return ops::leaky_softmax_loss(backend, distances, labels, metric.leaky(), diagnostics);
}

}  // namespace protolith
