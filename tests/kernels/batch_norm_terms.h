// Batch norm's backward formulas in double, with the size of each result's terms for error bounds.
#pragma once

#include <cmath>
#include <cstddef>
#include <vector>

namespace protolith::test {

using Floats = std::vector<float>;
using Doubles = std::vector<double>;

/// Per channel: sum g, sum g * (x - mean) * inv_std and the sums of their absolute terms.
struct ParameterGradients {
  Doubles dbeta, dgamma, beta_terms, gamma_terms;
};

inline ParameterGradients parameter_gradients(const Floats& x, const Doubles& g, const Floats& mean,
                                              const Floats& inv_std) {
  const std::size_t channels = mean.size();
  ParameterGradients r{Doubles(channels), Doubles(channels), Doubles(channels), Doubles(channels)};
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    const double deviation = static_cast<double>(x[i]) - static_cast<double>(mean[c]);
    const double term = g[i] * deviation * static_cast<double>(inv_std[c]);
    r.dbeta[c] += g[i];
    r.dgamma[c] += term;
    r.beta_terms[c] += std::abs(g[i]);
    r.gamma_terms[c] += std::abs(term);
  }
  return r;
}

/// dx and the sum of its terms' absolute values.
struct DataGradients {
  Doubles dx, terms;
};

inline DataGradients data_gradients(const Floats& x, const Doubles& g, const Floats& gamma,
                                    const Floats& mean, const Floats& inv_std, const Floats& dgamma,
                                    const Floats& dbeta) {
  const std::size_t channels = mean.size();
  const auto rows = static_cast<double>(x.size() / channels);
  DataGradients r;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const std::size_t c = i % channels;
    const double deviation = static_cast<double>(inv_std[c]);
    const double factor = static_cast<double>(gamma[c]) * deviation;
    const double x_hat = (static_cast<double>(x[i]) - static_cast<double>(mean[c])) * deviation;
    const double a = factor * g[i];
    const double b = factor * static_cast<double>(dbeta[c]) / rows;
    const double d = factor * x_hat * static_cast<double>(dgamma[c]) / rows;
    r.dx.push_back(a - b - d);
    r.terms.push_back(std::abs(a) + std::abs(b) + std::abs(d));
  }
  return r;
}

}  // namespace protolith::test
