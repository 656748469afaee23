// Prototypes (Snell et al. 2017, eq. 1) and squared Euclidean distances.
#pragma once

#include "tests/reference/array.h"

namespace protolith::reference {

/// x [segments * length, features] -> [segments, features], means of consecutive rows.
inline Array segment_mean(const Array& x, std::int64_t length, std::int64_t features) {
  Array mean = zeros(static_cast<std::int64_t>(x.size()) / length);
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / features;
    const auto column = static_cast<std::int64_t>(i) % features;
    mean[at(row / length, features, column)] += x[i] / static_cast<double>(length);
  }
  return mean;
}

/// dmean [segments, features] -> dx [segments * length, features].
inline Array segment_mean_backward(const Array& dmean, std::int64_t length, std::int64_t features) {
  Array dx = zeros(static_cast<std::int64_t>(dmean.size()) * length);
  for (std::size_t i = 0; i < dx.size(); ++i) {
    const auto row = static_cast<std::int64_t>(i) / features;
    const auto column = static_cast<std::int64_t>(i) % features;
    dx[i] = dmean[at(row / length, features, column)] / static_cast<double>(length);
  }
  return dx;
}

/// q [queries, features], c [prototypes, features] -> sums of squared differences.
inline Array squared_distances(const Array& q, const Array& c, std::int64_t features) {
  const auto queries = static_cast<std::int64_t>(q.size()) / features;
  const auto prototypes = static_cast<std::int64_t>(c.size()) / features;
  Array d = zeros(queries * prototypes);
  for (std::int64_t i = 0; i < queries; ++i) {
    for (std::int64_t j = 0; j < prototypes; ++j) {
      for (std::int64_t k = 0; k < features; ++k) {
        const double difference = q[at(i, features, k)] - c[at(j, features, k)];
        d[at(i, prototypes, j)] += difference * difference;
      }
    }
  }
  return d;
}

/// The same by |q|^2 + |c|^2 - 2 q.c, clamped at 0 (NaN stays NaN).
inline Array squared_distances_by_norms(const Array& q, const Array& c, std::int64_t features) {
  const auto queries = static_cast<std::int64_t>(q.size()) / features;
  const auto prototypes = static_cast<std::int64_t>(c.size()) / features;
  Array d = zeros(queries * prototypes);
  for (std::int64_t i = 0; i < queries; ++i) {
    for (std::int64_t j = 0; j < prototypes; ++j) {
      double q_norm = 0.0, c_norm = 0.0, product = 0.0;
      for (std::int64_t k = 0; k < features; ++k) {
        q_norm += q[at(i, features, k)] * q[at(i, features, k)];
        c_norm += c[at(j, features, k)] * c[at(j, features, k)];
        product += q[at(i, features, k)] * c[at(j, features, k)];
      }
      const double distance = q_norm + c_norm - 2.0 * product;
      d[at(i, prototypes, j)] = distance < 0.0 ? 0.0 : distance;
    }
  }
  return d;
}

struct DistanceGradients {
  Array dq, dc;
};

/// Gradients with respect to both sides, from dd [queries, prototypes].
inline DistanceGradients squared_distances_backward(const Array& q, const Array& c, const Array& dd,
                                                    std::int64_t features) {
  const auto queries = static_cast<std::int64_t>(q.size()) / features;
  const auto prototypes = static_cast<std::int64_t>(c.size()) / features;
  DistanceGradients result{zeros(queries * features), zeros(prototypes * features)};
  for (std::int64_t i = 0; i < queries; ++i) {
    for (std::int64_t j = 0; j < prototypes; ++j) {
      for (std::int64_t k = 0; k < features; ++k) {
        const double slope = 2.0 * (q[at(i, features, k)] - c[at(j, features, k)]);
        result.dq[at(i, features, k)] += slope * dd[at(i, prototypes, j)];
        result.dc[at(j, features, k)] -= slope * dd[at(i, prototypes, j)];
      }
    }
  }
  return result;
}

}  // namespace protolith::reference
