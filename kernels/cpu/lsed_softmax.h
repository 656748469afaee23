// The loss of a query row in one pass: leaky squared Euclidean distance (Shen & Liu, eq. 6),
// log-softmax over -d with the maximum subtracted, negative log-likelihood (eq. 3, 4), hit, and
// the gradient. One row of `classes` distances stays in cache.
//   leaky(d) = d <= threshold ? d : threshold + (d - threshold) * slope
//   dl/dd_j  = (1{y = j} - p_j)            with respect to the leaky distance (eq. 5, sign turned)
//            = (1{y = j} - p_j) * leaky'(d_j)  with respect to d; leaky' = 1 up to the threshold,
//              `slope` beyond it; with threshold 0 it is `slope` everywhere, d = 0 included.
// threshold 0 makes leaky(d) exactly d * slope: SED is (0, 1), temperature T is (0, 1 / T).
// Memory traffic: reads the distances, writes the outputs that are asked for.
#pragma once

#include <cstdint>

#include "kernels/traffic.h"

namespace protolith::cpu {

/// Inputs and outputs of lsed_softmax(); a null output is not computed.
struct LsedSoftmax {
  const float* distances;      ///< [rows, classes]
  const std::int32_t* labels;  ///< [rows], each in [0, classes)
  std::int64_t rows, classes;
  float threshold, slope;
  float gradient_scale;  ///< multiplies `gradient` only; 1 / rows for the mean loss
  float* loss;           ///< [rows], -log p_y; never null
  float* hit;  ///< [rows], 1 when the first nearest class is the label, else 0 (0 when a distance
               ///< is NaN)
  float* gradient;        ///< [rows, classes], of the scaled loss with respect to distances
  float* leaky;           ///< [rows, classes], the distances that enter the softmax
  float* leaky_gradient;  ///< [rows, classes], of a row's own loss with respect to `leaky`
};

/// Computes every output that is asked for. NaN distances give NaN losses and gradients.
void lsed_softmax(const LsedSoftmax& arguments);

inline Traffic lsed_softmax_traffic(const LsedSoftmax& s) {
  const std::int64_t elements = s.rows * s.classes;
  const bool gradients = s.gradient != nullptr || s.leaky_gradient != nullptr;
  const int matrices =
      (s.gradient != nullptr) + (s.leaky != nullptr) + (s.leaky_gradient != nullptr);
  // Leaky (2), maximum, difference, exponential and sum; with a gradient three products more.
  return {4 * (elements + s.rows), 4 * (elements * matrices + s.rows * (s.hit != nullptr ? 2 : 1)),
          elements * (gradients ? 9 : 6), 1};
}

}  // namespace protolith::cpu
