// Checks of batch norm's gradients against the formulas in double, with the CUDA kernels' bounds.
#pragma once

#include <algorithm>
#include <cstring>

#include "tests/gpu_emulation/kernels/support.h"
#include "tests/kernels/batch_norm_terms.h"

namespace protolith::test {

/// A sum's roundings: at most 64 additions in f32 in a thread and 8 in the tree over 256 threads,
/// then double; the deviation's subtraction, and the result.
inline constexpr double kSumRoundings = 64 + 8 + 2;
/// A data gradient: at most a coefficient, a subtraction, and the two fused operations per term,
/// each of whose results the other terms have entered.
inline constexpr double kDataRoundings = 6;

inline void check_parameter_gradients(const DeviceArray<float>& dgamma,
                                      const DeviceArray<float>& dbeta,
                                      const ParameterGradients& expected) {
  check_within(dbeta.values(), expected.dbeta,
               [&](std::size_t c) { return kSumRoundings * kRounding * expected.beta_terms[c]; });
  check_within(dgamma.values(), expected.dgamma,
               [&](std::size_t c) { return kSumRoundings * kRounding * expected.gamma_terms[c]; });
}

inline void check_data_gradients(const std::vector<float>& dx, const DataGradients& expected) {
  check_within(dx, expected.dx,
               [&](std::size_t i) { return kDataRoundings * kRounding * expected.terms[i]; });
}

/// Equal bits, NaN included (any NaN equals any other).
inline bool same(const std::vector<float>& a, const std::vector<float>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](float x, float y) {
    return (std::isnan(x) && std::isnan(y)) || std::memcmp(&x, &y, sizeof x) == 0;
  });
}

}  // namespace protolith::test
