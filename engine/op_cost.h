// What operations compute and must at least move, by formulas: for benchmarks and profiles.
#pragma once

#include <cstdint>

#include "engine/tensor.h"

namespace protolith {

/// Floating-point operations (a multiply-add is two), and bytes read and written when every operand
/// moves once. All 0: not known.
struct OpCost {
  double flops = 0, bytes = 0;
  friend OpCost operator+(OpCost a, OpCost b) { return {a.flops + b.flops, a.bytes + b.bytes}; }
  friend OpCost operator*(double n, OpCost cost) { return {n * cost.flops, n * cost.bytes}; }
};

/// Bytes of f32 tensors of these shapes together.
inline double float_bytes(std::initializer_list<Shape> shapes) {
  double total = 0;
  for (const Shape& shape : shapes) total += 4.0 * static_cast<double>(shape.elements());
  return total;
}

/// One pass with `flops` operations for each element of the first shape; the shapes are those of
/// all f32 operands.
inline OpCost pass_cost(double flops, std::initializer_list<Shape> operands) {
  return {flops * static_cast<double>(operands.begin()->elements()), float_bytes(operands)};
}

/// A convolution y [N,P,Q,K] of x with weight [K,R,S,C], or one of its gradients, which have as
/// many operations and the same three operands; counted as a direct one, the products of the zeros
/// around an image included, however it is computed.
inline OpCost convolution_cost(const Shape& x, const Shape& weight, const Shape& y) {
  const double filter = static_cast<double>(weight.elements()) / static_cast<double>(weight[0]);
  return {2.0 * static_cast<double>(y.elements()) * filter, float_bytes({x, weight, y})};
}

/// A convolution of which only the result after a 2x2 pool leaves the caches.
inline OpCost convolution_block_cost(const Shape& x, const Shape& weight, const Shape& convolved,
                                     const Shape& y) {
  return {convolution_cost(x, weight, convolved).flops, float_bytes({x, weight, y})};
}

inline OpCost batch_statistics_cost(const Shape& x) {
  return pass_cost(3, {x});
}

/// x's shape and, with a pool, y's: a pool writes each winner's value, place (1 byte) and input.
inline OpCost batch_norm_relu_pool_cost(const Shape& x, const Shape& y) {
  const bool pooled = x.elements() != y.elements();
  return {3.0 * static_cast<double>(x.elements()),
          float_bytes({x}) + float_bytes({y}) * (pooled ? 2.25 : 1.0)};
}

inline OpCost batch_norm_relu_pool_backward_cost(const Shape& x, const Shape& y) {
  const bool pooled = x.elements() != y.elements();
  return {8.0 * static_cast<double>(x.elements()),
          2 * float_bytes({x}) + float_bytes({y}) * (pooled ? 3.25 : 2.0)};
}

inline OpCost segment_mean_cost(const Shape& x, const Shape& means) {
  return pass_cost(1, {x, means});
}

/// a [m,k] b [k,n] = c [m,n], each of which may be transposed.
inline OpCost product_cost(std::int64_t m, std::int64_t n, std::int64_t k) {
  return {2.0 * static_cast<double>(m * n) * static_cast<double>(k),
          4.0 * static_cast<double>(m * k + k * n + m * n)};
}

/// queries [Q,F], prototypes [P,F]: by a product, or as sums of squared differences.
inline OpCost squared_distances_cost(const Shape& queries, const Shape& prototypes, bool direct) {
  const OpCost product = product_cost(queries[0], prototypes[0], queries[1]);
  return {(direct ? 1.5 : 1.0) * product.flops, product.bytes};
}

/// Exponentials are not counted.
inline OpCost leaky_softmax_loss_cost(const Shape& distances, bool gradient) {
  return {0, (gradient ? 2 : 1) * float_bytes({distances})};
}

inline OpCost adam_cost(const Shape& parameters) {
  return {12.0 * static_cast<double>(parameters.elements()), 7 * float_bytes({parameters})};
}

/// Bytes in, floats out.
inline OpCost episode_gather_cost(const Shape& batch) {
  const auto values = static_cast<double>(batch.elements());
  return {2 * values, 5 * values};
}

}  // namespace protolith
