// The way back through a whole block {3x3 convolution, batch norm, ReLU, optional 2x2 max-pool} in
// one pass, given batch norm's parameter gradients: the data and the weight gradient of the
// convolution by Winograd's algorithm, from one transform of the gradient of its output.
// That gradient (batch_norm_relu_pool.h has the formula) exists for one row of tiles at a time: it
// is made where it is needed, from the convolution's output z and the pool's small tensors, and
// transformed at once along the rows, to strips of A dz (winograd_strip.h). Then, one row of planes
// at a time, along the columns to planes of D = A dz A^T and, plane by plane,
//   dU += D^T V        (V: the transformed inputs; gradients of the filters' planes),
//   P = D U,  dx += B P B^T  (the adjoint of the forward pass; patches overlap by two pixels).
// With E elements of tiles in Winograd's domain (winograd_forward.h) it computes 4 E C K FLOPs in
// products (direct: 4 * 9 N H W C K) and reads z, y, dy (and the winners) once, x 1.3 to 1.7 times,
// writes dx once and adds to two rows of it for each row of tiles; dz, which is as large as z, is
// never stored.
#pragma once

#include <cstdint>

#include "kernels/cpu/winograd_tiles.h"
#include "kernels/traffic.h"

namespace protolith::cpu {

/// What the pass reads. K filters, C channels, both multiples of 16.
struct WinogradBackward {
  const float* x;              ///< [N,H,W,C]
  const float* filters;        ///< by filter [81,K,C]
  const float* z;              ///< the convolution's output [N,H,W,K]
  const float* y;              ///< the block's output: [N,H,W,K], pooled [N,H/2,W/2,K]
  const float* dy;             ///< of y's shape
  const std::uint8_t* winner;  ///< of y's shape; null: no pool
  const float *gamma, *mean, *inv_std, *dgamma, *dbeta;  ///< [K]
};

/// Floats of scratch memory that the pass wants with the present number of threads.
std::int64_t winograd_backward_scratch(const ConvolutionExtents& e);

/// dweight [K,3,3,C], and dx [N,H,W,C] unless it is null.
void winograd_backward(const WinogradBackward& inputs, float* dweight, float* dx,
                       const ConvolutionExtents& e, float* scratch);

/// With a pool or without, and with dx or without. Of the transforms about kTransformFlops an
/// element as in the forward pass, the gradient's and the inputs' and back to dx.
inline Traffic winograd_backward_traffic(const ConvolutionExtents& e, bool pool, bool dx) {
  const TileGrid grid(e);
  const std::int64_t pairs = e.channels * e.filters;
  const std::int64_t outputs = (pool ? e.windows() : e.pixels()) * e.filters;
  const std::int64_t inputs = e.pixels() * e.channels;
  return {4 * (inputs + e.pixels() * e.filters + (dx ? grid.planes().count() * pairs : 0)) +
              (pool ? 9 : 8) * outputs + 20 * e.filters,
          4 * (9 * pairs + (dx ? inputs : 0)),
          grid.elements() *
              ((dx ? 4 : 2) * pairs + kTransformFlops * ((dx ? 2 : 1) * e.channels + e.filters)),
          1};
}

}  // namespace protolith::cpu
