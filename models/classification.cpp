#include "models/classification.h"

#include <algorithm>
#include <cmath>

namespace protolith {

Tensor prototypes(Backend& backend, const Tensor& support, std::span<const std::int64_t> shots) {
  const Shape& shape = support.shape();
  const Tensor means = backend.empty({static_cast<std::int64_t>(shots.size()), shape[1]});
  std::int64_t first = 0;
  std::int64_t row = 0;
  for (const std::int64_t shot : shots) {
    PROTOLITH_CHECK(shot >= 1 && first + shot <= shape[0], "{} supports from row {} of {}", shot,
                    first, to_string(shape));
    backend.copy(backend.segment_mean(support.rows(first, first + shot), shot),
                 means.rows(row, row + 1));
    first += shot;
    ++row;
  }
  PROTOLITH_CHECK(first == shape[0], "{} supports in {}", first, to_string(shape));
  return means;
}

std::vector<double> class_probabilities(std::span<const float> distances, const Metric& metric) {
  const LeakyDistance leaky = metric.leaky();
  std::vector<double> p;
  for (const float d : distances) p.push_back(-leaky_distance(static_cast<double>(d), leaky));
  const double most = *std::max_element(p.begin(), p.end());
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - most);
  for (double& value : p) value /= sum;
  return p;
}

}  // namespace protolith
