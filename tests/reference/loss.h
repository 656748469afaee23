// Leaky squared Euclidean distances (Shen & Liu, eq. 6), softmax over their negatives and the
// negative log-likelihood (eq. 3, 4), with gradients (eq. 5, sign turned).
#pragma once

#include <algorithm>
#include <cmath>

#include "tests/reference/array.h"

namespace protolith::reference {

/// Threshold s and slope r of eq. 6.
struct Leaky {
  double threshold = 0.0, slope = 1.0;

  double operator()(double d) const {
    return d <= threshold ? d : threshold + (d - threshold) * slope;
  }
  /// 1 for 0 < d <= s, r beyond; with s = 0 it is r everywhere.
  double derivative(double d) const { return threshold > 0.0 && d <= threshold ? 1.0 : slope; }
};

/// Rows of queries, columns of classes.
struct Loss {
  Array loss, hit;       ///< [rows]
  Array p, leaky;        ///< [rows, classes]
  Array leaky_gradient;  ///< of each row's own loss with respect to `leaky`
  Array gradient;        ///< of the mean loss with respect to the distances
  double mean = 0.0;     ///< of the losses
};

/// One row of softmax_loss(): `leaky` and everything from it.
inline void loss_row(std::int64_t row, std::int64_t classes, std::size_t label, Loss& result) {
  const auto begin = result.leaky.begin() + row * classes;
  const auto nearest = std::min_element(begin, begin + classes);
  double sum = 0.0;
  for (auto d = begin; d != begin + classes; ++d) sum += std::exp(*nearest - *d);
  const bool has_nan = std::any_of(begin, begin + classes, [](double d) { return std::isnan(d); });
  const auto i = static_cast<std::size_t>(row);
  result.loss[i] = std::log(sum) + begin[static_cast<std::ptrdiff_t>(label)] - *nearest;
  const bool hit = static_cast<std::size_t>(nearest - begin) == label;
  result.hit[i] = hit && !has_nan ? 1.0 : 0.0;
  for (std::int64_t j = 0; j < classes; ++j) {
    const std::size_t k = at(row, classes, j);
    result.p[k] = std::exp(*nearest - result.leaky[k]) / sum;
    result.leaky_gradient[k] = (static_cast<std::size_t>(j) == label ? 1.0 : 0.0) - result.p[k];
  }
}

/// distances [rows, classes], labels [rows].
inline Loss softmax_loss(const Array& distances, const std::vector<std::int32_t>& labels,
                         const Leaky& metric) {
  const auto rows = static_cast<std::int64_t>(labels.size());
  const auto classes = static_cast<std::int64_t>(distances.size()) / rows;
  const Array matrix = zeros(rows * classes);
  Loss result{zeros(rows), zeros(rows), matrix, matrix, matrix, matrix, 0.0};
  for (std::size_t k = 0; k < distances.size(); ++k) result.leaky[k] = metric(distances[k]);
  for (std::int64_t row = 0; row < rows; ++row) {
    const auto i = static_cast<std::size_t>(row);
    loss_row(row, classes, static_cast<std::size_t>(labels[i]), result);
    result.mean += result.loss[i] / static_cast<double>(rows);
  }
  for (std::size_t k = 0; k < distances.size(); ++k) {
    result.gradient[k] =
        result.leaky_gradient[k] * metric.derivative(distances[k]) / static_cast<double>(rows);
  }
  return result;
}

}  // namespace protolith::reference
