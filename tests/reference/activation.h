// ReLU and 2x2 max-pool with stride 2. NaN passes through both. The first maximum in row-major
// order wins; a NaN wins over every number, the last NaN of a window over the others.
#pragma once

#include <cmath>

#include "tests/reference/array.h"

namespace protolith::reference {

/// max(x, 0), NaN for NaN.
inline Array relu(const Array& x) {
  Array y = x;
  for (double& value : y) value = value <= 0.0 ? 0.0 : value;
  return y;
}

/// dy where y > 0 (or NaN), else 0.
inline Array relu_backward(const Array& y, const Array& dy) {
  Array dx = dy;
  for (std::size_t i = 0; i < dx.size(); ++i) {
    if (y[i] <= 0.0) dx[i] = 0.0;
  }
  return dx;
}

/// A pool's outputs and the winner of each window, 2 * dy + dx.
struct Pooled {
  Array y;
  Bytes winner;
};

/// The extents of the pool's output.
inline Extents pooled(const Extents& x) {
  return {x.images, x.height / 2, x.width / 2, x.channels};
}

/// For every output index of a 2x2 pool, f(output, inputs), inputs being the four indices into x.
template <class F>
void for_each_window(const Extents& x, F f) {
  const Extents y = pooled(x);
  for (std::int64_t n = 0; n < y.images; ++n) {
    for (std::int64_t p = 0; p < y.height; ++p) {
      for (std::int64_t q = 0; q < y.width; ++q) {
        for (std::int64_t c = 0; c < y.channels; ++c) {
          const std::size_t inputs[4] = {x.at(n, 2 * p, 2 * q, c), x.at(n, 2 * p, 2 * q + 1, c),
                                         x.at(n, 2 * p + 1, 2 * q, c),
                                         x.at(n, 2 * p + 1, 2 * q + 1, c)};
          f(y.at(n, p, q, c), inputs);
        }
      }
    }
  }
}

/// x -> y and winners.
inline Pooled max_pool(const Array& x, const Extents& extents) {
  const auto outputs = static_cast<std::size_t>(pooled(extents).elements());
  Pooled result{Array(outputs), Bytes(outputs)};
  for_each_window(extents, [&](std::size_t output, const std::size_t* inputs) {
    std::uint8_t winner = 0;
    for (std::uint8_t place = 1; place < 4; ++place) {
      const double value = x[inputs[place]];
      if (value > x[inputs[winner]] || std::isnan(value)) winner = place;
    }
    result.y[output] = x[inputs[winner]];
    result.winner[output] = winner;
  });
  return result;
}

/// The elements of x that won, by winners given from outside.
inline Array pool_select(const Array& x, const Bytes& winner, const Extents& extents) {
  Array y(winner.size());
  for_each_window(extents, [&](std::size_t output, const std::size_t* inputs) {
    y[output] = x[inputs[winner[output]]];
  });
  return y;
}

/// dy at the winners, 0 elsewhere.
inline Array max_pool_backward(const Array& dy, const Bytes& winner, const Extents& x_extents) {
  Array dx = zeros(x_extents.elements());
  for_each_window(x_extents, [&](std::size_t output, const std::size_t* inputs) {
    dx[inputs[winner[output]]] = dy[output];
  });
  return dx;
}

}  // namespace protolith::reference
