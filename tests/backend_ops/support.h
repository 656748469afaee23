// What the tests of the backends' primitives share: the backends under test, random data, copies
// between double arrays and tensors, and comparisons with stated tolerances.
#pragma once

#include <cmath>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "tests/reference/array.h"

namespace protolith::test {

using reference::Array;
using reference::Bytes;
using reference::relative_error;

/// f32's unit roundoff, the largest relative error of one rounding.
inline constexpr double kRoundoff = 0x1p-24;

/// A bound for the relative 2-norm error of f32 sums of `terms` products with random signs. A sum
/// in one sequence makes an error of about 0.4 * sqrt(terms) roundoffs (the k-th of K roundings is
/// relative to a partial sum of size sqrt(k / K), each uniform: sqrt(1/2 * 1/3)); blocked sums
/// make less. The factor of 4 leaves room for a few operations before and after.
inline double sum_tolerance(std::int64_t terms) {
  return 4.0 * kRoundoff * std::sqrt(static_cast<double>(terms));
}

/// Calls `test` with a new instance of each backend that this program tests, with a doctest context
/// that names it. Each test program has its own: of the CPU, of CUDA on emulated or real devices.
void for_each_backend(const std::function<void(Backend&)>& test);

/// `count` numbers, uniform in [low, high), exact in f32; a function of `seed`.
Array random_array(std::int64_t count, std::uint64_t seed, double low = -1.0, double high = 1.0);
/// `count` labels in [0, classes).
std::vector<std::int32_t> random_labels(std::int64_t count, std::int64_t classes,
                                        std::uint64_t seed);

/// A persistent f32 tensor on the backend's device.
Tensor upload(Backend& backend, const Array& values, const Shape& shape);
Tensor upload(Backend& backend, const std::vector<std::int32_t>& values, const Shape& shape);
Tensor upload(Backend& backend, const Bytes& values, const Shape& shape);
/// The elements of an f32 tensor.
Array download(Backend& backend, const Tensor& tensor);
/// The elements of a u8 tensor.
Bytes download_bytes(Backend& backend, const Tensor& tensor);
Shape shape_of(const reference::Extents& extents);

/// Checks that relative_error(got, want) <= tolerance.
void check_close(const Array& got, const Array& want, double tolerance, const std::string& what);
/// Checks |got - want| <= bound, element by element.
void check_within(const Array& got, const Array& want, const Array& bound, const std::string& what);
/// Checks that both hold the same bits.
void check_same_bits(Backend& backend, const Tensor& a, const Tensor& b, const std::string& what);

/// The gradient of `f` at `x` by central differences with step `h`.
Array numerical_gradient(const std::function<double(const Array&)>& f, const Array& x,
                         double h = 1e-5);
/// sum a[i] * b[i].
double dot(const Array& a, const Array& b);

}  // namespace protolith::test
