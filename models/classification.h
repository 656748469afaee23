#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "models/metric.h"

namespace protolith {

/// Class means of support embeddings [sum of shots, features], class after class, whose numbers of
/// supports may differ -> [classes, features], step memory (Snell et al. 2017, eq. 1). Throws Error
/// when the shots are not the rows, or one is below 1.
Tensor prototypes(Backend& backend, const Tensor& support, std::span<const std::int64_t> shots);

/// p = softmax(-metric(d)) of one query's squared distances to the prototypes (Shen & Liu, eq. 3
/// and 6), in double precision.
std::vector<double> class_probabilities(std::span<const float> distances, const Metric& metric);

}  // namespace protolith
