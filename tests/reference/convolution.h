// Convolution (cross-correlation, as every framework means it) of NHWC images with KRSC filters:
//   y[n,p,q,k] = sum over r,s,c of x[n, p * stride + r - padding, q * stride + s - padding, c]
//                                  * weight[k,r,s,c],  x = 0 outside the image.
#pragma once

#include "tests/reference/array.h"

namespace protolith::reference {

/// A convolution of images `x` with `filters` filters of kernel_height x kernel_width.
struct Convolution {
  Extents x;
  std::int64_t filters = 0, kernel_height = 3, kernel_width = 3, stride = 1, padding = 1;

  std::int64_t weight_elements() const {
    return filters * kernel_height * kernel_width * x.channels;
  }
  Extents y() const {
    return {x.images, (x.height + 2 * padding - kernel_height) / stride + 1,
            (x.width + 2 * padding - kernel_width) / stride + 1, filters};
  }
};

/// Calls f(y_index, x_index, weight_index) for every product of the convolution's sums.
template <class F>
void for_each_product(const Convolution& shape, F f) {
  const Extents y = shape.y();
  const Extents weight{shape.filters, shape.kernel_height, shape.kernel_width, shape.x.channels};
  for (std::int64_t n = 0; n < y.images; ++n) {
    for (std::int64_t p = 0; p < y.height; ++p) {
      for (std::int64_t q = 0; q < y.width; ++q) {
        for (std::int64_t k = 0; k < y.channels; ++k) {
          for (std::int64_t r = 0; r < shape.kernel_height; ++r) {
            const std::int64_t row = p * shape.stride + r - shape.padding;
            if (row < 0 || row >= shape.x.height) continue;
            for (std::int64_t s = 0; s < shape.kernel_width; ++s) {
              const std::int64_t column = q * shape.stride + s - shape.padding;
              if (column < 0 || column >= shape.x.width) continue;
              for (std::int64_t c = 0; c < shape.x.channels; ++c) {
                f(y.at(n, p, q, k), shape.x.at(n, row, column, c), weight.at(k, r, s, c));
              }
            }
          }
        }
      }
    }
  }
}

/// x, weight -> y.
inline Array convolution(const Array& x, const Array& weight, const Convolution& shape) {
  Array y = zeros(shape.y().elements());
  for_each_product(shape,
                   [&](std::size_t i, std::size_t j, std::size_t k) { y[i] += x[j] * weight[k]; });
  return y;
}

/// dy, weight -> dx.
inline Array convolution_backward_data(const Array& dy, const Array& weight,
                                       const Convolution& shape) {
  Array dx = zeros(shape.x.elements());
  for_each_product(
      shape, [&](std::size_t i, std::size_t j, std::size_t k) { dx[j] += dy[i] * weight[k]; });
  return dx;
}

/// x, dy -> dweight.
inline Array convolution_backward_weight(const Array& x, const Array& dy,
                                         const Convolution& shape) {
  Array dweight = zeros(shape.weight_elements());
  for_each_product(
      shape, [&](std::size_t i, std::size_t j, std::size_t k) { dweight[k] += x[j] * dy[i]; });
  return dweight;
}

}  // namespace protolith::reference
