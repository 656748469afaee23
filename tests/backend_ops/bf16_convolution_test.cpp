// Convolutions of the CPU backend in bf16: exact for factors that bf16 holds but for the sums'
// roundings, off by the factors' roundings for others.
#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>

#include "tests/backend_ops/support.h"
#include "tests/reference/convolution.h"

namespace protolith::test {
namespace {

/// bf16's unit roundoff: 8 bits of mantissa with the leading one.
constexpr double kBf16Roundoff = 0x1p-8;

constexpr reference::Convolution kShapes[] = {
    {{2, 7, 5, 5}, 5},
    {{2, 7, 5, 64}, 64},
    {{3, 14, 14, 64}, 64},
    {{17, 2, 3, 6}, 3},
    {{1, 1, 1, 8}, 1},
    {{2, 9, 6, 8}, 5, 1, 1, 1, 0},
    {{2, 9, 6, 8}, 5, 1, 1, 2, 1},
    {{2, 9, 6, 8}, 5, 3, 3, 2, 1},
    {{2, 9, 6, 8}, 5, 5, 5, 1, 2},
    {{2, 9, 6, 8}, 5, 5, 5, 2, 0},
    {{2, 6, 5, 8}, 4, 3, 1, 1, 1},
    {{1, 9, 6, 8}, 5, 3, 3, 1, 2},
};

bool has_bf16() {
  if (!cpu_has_bf16()) MESSAGE("skipped: the processor has no AVX512-BF16");
  return cpu_has_bf16();
}

std::unique_ptr<Backend> bf16_backend(int threads = 2) {
  return make_cpu_backend(threads, CpuConvolution::direct, CpuPrecision::bf16);
}

/// The nearest number that bf16 holds, of two the even one. Finite arguments, exact in f32.
double rounded(double value) {
  auto bits = std::bit_cast<std::uint32_t>(static_cast<float>(value));
  bits += 0x7FFFU + ((bits >> 16U) & 1U);
  return std::bit_cast<float>(bits & 0xFFFF0000U);
}

Array each(Array values, double (*f)(double)) {
  std::transform(values.begin(), values.end(), values.begin(), f);
  return values;
}
Array scaled(Array values, double factor) {
  for (double& value : values) value *= factor;
  return values;
}

/// What the three passes make of x, weight and dy.
struct Passes {
  Array y, dx, dweight;
};

/// A convolution's shape and random operands.
struct Case {
  explicit Case(const reference::Convolution& s)
      : shape(s),
        x(random_array(s.x.elements(), 1)),
        weight(random_array(s.weight_elements(), 2)),
        dy(random_array(s.y().elements(), 3)) {}

  Passes by(Backend& backend) const {
    const Shape weight_shape{shape.filters, shape.kernel_height, shape.kernel_width,
                             shape.x.channels};
    const ConvolutionGeometry g{shape.stride, shape.padding};
    const Tensor tx = upload(backend, x, shape_of(shape.x));
    const Tensor tw = upload(backend, weight, weight_shape);
    const Tensor tdy = upload(backend, dy, shape_of(shape.y()));
    return {download(backend, backend.convolution(tx, tw, g)),
            download(backend, backend.convolution_backward_data(tdy, tw, tx.shape(), g)),
            download(backend, backend.convolution_backward_weight(tx, tdy, weight_shape, g))};
  }
  /// In double, of f of each operand.
  Passes expected(double (*f)(double)) const {
    const Array fx = each(x, f), fw = each(weight, f), fdy = each(dy, f);
    return {reference::convolution(fx, fw, shape),
            reference::convolution_backward_data(fdy, fw, shape),
            reference::convolution_backward_weight(fx, fdy, shape)};
  }
  std::int64_t area() const { return shape.kernel_height * shape.kernel_width; }

  reference::Convolution shape;
  Array x, weight, dy;
};

/// The lengths of sums as in convolution_test.cpp.
void check_passes(const Case& c, const Passes& got, const Passes& want) {
  check_close(got.y, want.y, sum_tolerance(c.area() * c.shape.x.channels), "y");
  check_close(got.dx, want.dx, sum_tolerance(c.area() * c.shape.filters), "dx");
  check_close(got.dweight, want.dweight, sum_tolerance(c.shape.y().rows()), "dweight");
}

TEST_CASE("bf16 convolution: factors rounded to nearest, products exact, sums f32") {
  if (!has_bf16()) return;
  const auto backend = bf16_backend();
  for (const reference::Convolution& shape : kShapes) {
    const Case c(shape);
    CAPTURE(to_string(shape_of(shape.x)));
    CAPTURE(shape.kernel_height);
    CAPTURE(shape.stride);
    check_passes(c, c.by(*backend), c.expected(rounded));
  }
}

// |rounded(a) rounded(b) - a b| <= (2 u + u^2) |a b|, product by product.
TEST_CASE("bf16 convolution: off by the factors' roundings, and not by less") {
  if (!has_bf16()) return;
  constexpr double kFactors = kBf16Roundoff * (2 + kBf16Roundoff);
  const auto backend = bf16_backend();
  for (const reference::Convolution& shape : kShapes) {
    const Case c(shape);
    CAPTURE(to_string(shape_of(shape.x)));
    const Passes got = c.by(*backend);
    const Passes exact = c.expected([](double v) { return v; });
    const Passes all = c.expected([](double v) { return std::abs(v); });
    // Sums of up to 600 terms: their own roundings, 600 * 2^-24, are a hundredth of the factors'.
    constexpr double kBound = 1.01 * kFactors;
    check_within(got.y, exact.y, scaled(all.y, kBound), "y");
    check_within(got.dx, exact.dx, scaled(all.dx, kBound), "dx");
    check_within(got.dweight, exact.dweight, scaled(all.dweight, kBound), "dweight");
    for (const auto& [a, b] :
         {std::pair{&got.y, &exact.y}, {&got.dx, &exact.dx}, {&got.dweight, &exact.dweight}}) {
      CHECK(relative_error(*a, *b) > kBf16Roundoff / 64);
    }
  }
}

TEST_CASE("bf16 convolution: up to 4 input channels are f32") {
  if (!has_bf16()) return;
  const auto backend = bf16_backend();
  for (const std::int64_t channels : {1, 3, 4}) {
    const Case c({{2, 7, 5, channels}, 16});
    CAPTURE(channels);
    check_passes(c, c.by(*backend), c.expected([](double v) { return v; }));
  }
  // The data gradient of 3 channels from 64 filters is a convolution from 64 to 3 channels, in f32
  // where the forward one of that shape is in bf16.
  const Case few({{2, 7, 5, 3}, 64}), many({{2, 7, 5, 64}, 3});
  check_passes(many, many.by(*backend), many.expected(rounded));
  check_passes(few, few.by(*backend), few.expected([](double v) { return v; }));
}

TEST_CASE("bf16: a pooled block of few channels is the fused one in f32, bit for bit") {
  if (!has_bf16()) return;
  const auto bf16 = bf16_backend(), fp32 = make_cpu_backend(2);
  for (const std::int64_t channels : {1, 3}) {
    CAPTURE(channels);
    const auto results = [channels](Backend& backend) {
      ConvBlockParameters p;
      p.weight =
          upload(backend, random_array(16 * 9 * channels, 1, -0.5, 0.5), {16, 3, 3, channels});
      p.gamma = upload(backend, random_array(16, 2, 0.1, 1.0), {16});
      p.beta = upload(backend, random_array(16, 3, -0.5, 0.5), {16});
      p.running_mean = upload(backend, random_array(16, 4), {16});
      p.running_variance = upload(backend, random_array(16, 5, 0.5, 2.0), {16});
      p.pool = true;
      const Tensor x = upload(backend, random_array(3 * 8 * 6 * channels, 6), {3, 8, 6, channels});
      const Tensor inference = backend.conv_block_inference(x, *backend.prepare_conv_block(p));
      auto [y, context] = backend.conv_block_forward(x, p);
      const Tensor dy = upload(backend, random_array(y.elements(), 7), y.shape());
      const auto g = backend.conv_block_backward(std::move(context), dy, false);
      return std::vector{download(backend, inference), download(backend, y),
                         download(backend, g.dweight), download(backend, g.dgamma),
                         download(backend, g.dbeta)};
    };
    CHECK(results(*bf16) == results(*fp32));
  }
}

/// One number a pixel, all other channels 0, and filters of 1: y is the numbers as rounded.
Array round_by_convolution(Backend& backend, const Array& values) {
  constexpr std::int64_t kChannels = 8;
  const auto count = static_cast<std::int64_t>(values.size());
  Array x(values.size() * kChannels, 0.0);
  for (std::size_t i = 0; i < values.size(); ++i) x[i * kChannels] = values[i];
  const Tensor y = backend.convolution(upload(backend, x, {1, 1, count, kChannels}),
                                       upload(backend, Array(kChannels, 1.0), {1, 1, 1, kChannels}),
                                       {.stride = 1, .padding = 0});
  return download(backend, y);
}

TEST_CASE("bf16 rounding: ties to even, overflow to infinity, infinities and NaN as they are") {
  if (!has_bf16()) return;
  const auto backend = bf16_backend();
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const Array got = round_by_convolution(
      *backend, {1 + 0x1p-8, 1 + 0x3p-8, -(1 + 0x1p-8), 1 + 0x1p-8 + 0x1p-23, 1 + 0x1p-8 - 0x1p-23,
                 0x1.fffffep127, 0x1.fep127, kInfinity, -kInfinity, 0x1p-126});
  CHECK(got == Array{1, 1 + 0x1p-6, -1, 1 + 0x1p-7, 1, kInfinity, 0x1.fep127, kInfinity, -kInfinity,
                     0x1p-126});
}

TEST_CASE("bf16 convolution: NaN, of whatever payload, reaches exactly what its kernel covers") {
  if (!has_bf16()) return;
  const auto backend = bf16_backend();
  const reference::Convolution s{{1, 6, 6, 8}, 3};
  Case c(s);
  c.x[s.x.at(0, 2, 4, 1)] = std::nan("");
  // Inside: the weight gradient may multiply what meets the padding by 0, which leaves a NaN one.
  c.dy[s.y().at(0, 3, 1, 2)] = std::nan("");
  check_passes(c, c.by(*backend),
               c.expected(+[](double v) { return std::isnan(v) ? v : rounded(v); }));

  // Cut off after 16 bits, this one would be an infinity.
  const Tensor x = upload(*backend, Array(8, 0.0), {1, 1, 1, 8});
  const auto bits = std::uint32_t{0x7F800001};
  std::memcpy(x.raw(), &bits, sizeof bits);
  const Tensor ones = upload(*backend, Array(8, 1.0), {1, 1, 1, 8});
  CHECK(std::isnan(download(*backend, backend->convolution(x, ones, {1, 0}))[0]));
}

TEST_CASE("bf16 convolution: the same bits at every run") {
  if (!has_bf16()) return;
  const Case c({{9, 14, 14, 64}, 64});
  const auto one = bf16_backend(), other = bf16_backend();
  const Passes first = c.by(*one);
  for (Backend* backend : {one.get(), other.get()}) {
    const Passes again = c.by(*backend);
    CHECK(again.y == first.y);
    CHECK(again.dx == first.dx);
    CHECK(again.dweight == first.dweight);
  }
}

TEST_CASE("bf16 with Winograd is refused with the remedy") {
  CHECK_THROWS_WITH_AS(make_cpu_backend(1, CpuConvolution::winograd, CpuPrecision::bf16),
                       doctest::Contains("--convolution direct"), UsageError);
}

}  // namespace
}  // namespace protolith::test
