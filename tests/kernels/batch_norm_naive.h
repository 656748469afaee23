// Batch norm's formulas in double, with the size of each result's terms for error bounds.
#pragma once

#include "tests/kernels/naive.h"

namespace protolith::test {

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

/// The sums run in f32 over at most 64 rows and in double across: 64 additions, the deviation's
/// subtraction, the product where it is not fused, and the result.
inline constexpr double kSumRoundings = 67;
/// A data gradient: at most a coefficient, a subtraction, a product and three sums per term.
inline constexpr double kDataRoundings = 6;

inline void check_parameter_gradients(const Floats& dgamma, const Floats& dbeta,
                                      const ParameterGradients& expected) {
  check_within(dbeta, expected.dbeta,
               [&](std::size_t c) { return kSumRoundings * kRounding * expected.beta_terms[c]; });
  check_within(dgamma, expected.dgamma,
               [&](std::size_t c) { return kSumRoundings * kRounding * expected.gamma_terms[c]; });
}

inline void check_data_gradients(const Floats& dx, const DataGradients& expected) {
  check_within(dx, expected.dx,
               [&](std::size_t i) { return kDataRoundings * kRounding * expected.terms[i]; });
}

}  // namespace protolith::test
