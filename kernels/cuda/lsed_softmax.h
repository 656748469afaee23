// The loss of a query row in one pass: leaky squared Euclidean distance (Shen & Liu, eq. 6),
// log-softmax over -d with the minimum subtracted, negative log-likelihood (eq. 3, 4), hit, and the
// gradient (eq. 5, sign turned); all as kernels/cpu/lsed_softmax.h defines them. One launch: fused,
// because each step alone would move the matrix again for a few operations an element.
// A warp takes a row of up to 1,024 classes, whose distances it keeps in registers; a block takes a
// longer one and reads it again from cache.
// Memory traffic: rows * classes * 4 bytes read, as much written for each matrix asked for.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

/// Inputs and outputs of lsed_softmax(), in device memory; a null output is not computed.
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

/// Computes every output that is asked for. NaN distances give NaN losses and gradients; so does a
/// label outside [0, classes), whose hit is 0.
void lsed_softmax(const LsedSoftmax& arguments, Stream stream);

inline Traffic lsed_softmax_traffic(const LsedSoftmax& s) {
  const std::int64_t elements = s.rows * s.classes;
  const bool gradients = s.gradient != nullptr || s.leaky_gradient != nullptr;
  const int matrices =
      (s.gradient != nullptr) + (s.leaky != nullptr) + (s.leaky_gradient != nullptr);
  // Leaky (2), minimum, difference, exponential and sum; with a gradient three products more.
  return {4 * (elements + s.rows), 4 * (elements * matrices + s.rows * (s.hit != nullptr ? 2 : 1)),
          elements * (gradients ? 9 : 6), 1};
}

}  // namespace protolith::cuda
