// Checks of batch norm's gradients against batch_norm_terms.h, with the CPU kernels' bounds.
#pragma once

#include "tests/kernels/batch_norm_terms.h"
#include "tests/kernels/naive.h"

namespace protolith::test {

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
