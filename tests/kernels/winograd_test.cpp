// Winograd's passes against convolutions in double: the forward pass with its statistics, inference
// and the whole way back through a block, at odd sizes, with and without a pool.
#include <doctest/doctest.h>

#include <algorithm>

#include "kernels/cpu/batch_norm_relu_pool.h"
#include "kernels/cpu/winograd_backward.h"
#include "kernels/cpu/winograd_filter.h"
#include "kernels/cpu/winograd_forward.h"
#include "tests/kernels/naive.h"
#include "tests/reference/conv_block.h"

namespace protolith::test {
namespace {

using cpu::ConvolutionExtents;
using reference::Array;

const ConvolutionExtents kCases[] = {{1, 1, 1, 16, 16},  {3, 3, 3, 48, 16},   {2, 7, 7, 64, 64},
                                     {2, 10, 5, 16, 48}, {5, 4, 8, 16, 32},   {1, 14, 14, 64, 64},
                                     {7, 2, 2, 16, 16},  {1, 21, 21, 16, 16}, {1, 28, 28, 16, 16},
                                     {2, 5, 11, 16, 16}, {2, 9, 6, 32, 16},   {3, 44, 84, 16, 16},
                                     {84, 8, 8, 16, 16}};

reference::Convolution reference_shape(const ConvolutionExtents& e) {
  return {{e.images, e.height, e.width, e.channels}, e.filters};
}

/// By what factor tiles of one size amplify roundings, along one axis: an output is a sum over the
/// points p of A[p] (B d)[p] (G g)[p]; its terms, for independent inputs and taps, are that much
/// larger than itself (root of the sum of squares, mean over the outputs).
template <int kOutputs>
double amplification() {
  constexpr auto input = cpu::winograd_input_matrix<kOutputs>();
  constexpr auto output = cpu::winograd_output_matrix<kOutputs>();
  constexpr auto filter = cpu::winograd_filter_matrix();
  double total = 0.0;
  for (int p = 0; p < kOutputs + 2; ++p) {
    double inputs = 0.0, taps = 0.0, outputs = 0.0;
    for (int c = 0; c < kOutputs + 2; ++c) inputs += input(p, c) * input(p, c);
    for (int c = 0; c < 3; ++c) taps += filter(p, c) * filter(p, c) / 3.0;
    for (int r = 0; r < kOutputs; ++r) outputs += output(r, p) * output(r, p) / kOutputs;
    total += inputs * taps * outputs;
  }
  return std::sqrt(total);
}

/// That of an axis' largest tiles.
double amplification(std::int64_t size) {
  switch (cpu::TileAxis(size).outputs(0)) {
    case 7:
      return amplification<7>();
    case 6:
      return amplification<6>();
    case 5:
      return amplification<5>();
    case 4:
      return amplification<4>();
    case 3:
      return amplification<3>();
    case 2:
      return amplification<2>();
    default:
      return amplification<1>();
  }
}

/// Sums of K products make a relative 2-norm error of about 0.4 sqrt(K) roundings at most. Here the
/// transforms before and after add some 16 roundings to each, and all are amplified.
double winograd_tolerance(const ConvolutionExtents& e, std::int64_t products) {
  return amplification(e.height) * amplification(e.width) * 0.4 * kRounding *
         std::sqrt(static_cast<double>(products) + 16.0);
}

TEST_CASE("winograd: the matrices make a correlation, exactly but for rounding in double") {
  const auto check = [](auto outputs) {
    constexpr int kOutputs = decltype(outputs)::value;
    constexpr auto input = cpu::winograd_input_matrix<kOutputs>();
    constexpr auto output = cpu::winograd_output_matrix<kOutputs>();
    constexpr auto filter = cpu::winograd_filter_matrix();
    const Array d = doubles(normal(kOutputs + 2, 1)), g = doubles(normal(3, 2));
    for (int row = 0; row < kOutputs; ++row) {
      double got = 0.0, want = 0.0;
      for (int p = 0; p < kOutputs + 2; ++p) {
        double transformed_input = 0.0, transformed_filter = 0.0;
        for (int c = 0; c < kOutputs + 2; ++c) {
          transformed_input += input(p, c) * d[static_cast<std::size_t>(c)];
        }
        for (int c = 0; c < 3; ++c) {
          transformed_filter += filter(p, c) * g[static_cast<std::size_t>(c)];
        }
        got += output(row, p) * transformed_input * transformed_filter;
      }
      for (int c = 0; c < 3; ++c) {
        want += d[static_cast<std::size_t>(row + c)] * g[static_cast<std::size_t>(c)];
      }
      CHECK(std::abs(got - want) <= 1e-13);
    }
  };
  check(std::integral_constant<int, 1>());
  check(std::integral_constant<int, 2>());
  check(std::integral_constant<int, 3>());
  check(std::integral_constant<int, 4>());
  check(std::integral_constant<int, 5>());
  check(std::integral_constant<int, 6>());
  check(std::integral_constant<int, 7>());
}

TEST_CASE("winograd: tiles of an axis") {
  for (std::int64_t size = 1; size <= 100; ++size) {
    CAPTURE(size);
    const cpu::TileAxis axis(size);
    std::int64_t covered = 0, points = 0;
    for (std::int64_t tile = 0; tile < axis.tiles(); ++tile) {
      CHECK(axis.start(tile) == covered);
      CHECK(axis.outputs(tile) <= cpu::kMaxTileSide);
      CHECK(axis.outputs(tile) >= axis.outputs(axis.tiles() - 1));
      covered += axis.outputs(tile);
      points += axis.outputs(tile) + 2;
    }
    CHECK(axis.start(axis.tiles()) == size);
    CHECK(covered == size);
    std::int64_t tiles_with_points = 0;
    for (int point = 0; point < cpu::kMaxPatchSide; ++point) {
      tiles_with_points += axis.with_point(point);
    }
    CHECK(tiles_with_points == points);
    CHECK(points == size + 2 * ((size + 6) / 7));
  }
  CHECK(cpu::TileAxis(14).outputs(0) == 7);
  CHECK(cpu::TileAxis(14).tiles() == 2);
  CHECK(cpu::TileAxis(10).outputs(0) == 5);
  CHECK(cpu::TileAxis(11).outputs(0) == 6);
  CHECK(cpu::TileAxis(11).outputs(1) == 5);
}

/// Inputs and the transformed filters of a convolution.
struct Problem {
  explicit Problem(const ConvolutionExtents& extents, unsigned seed = 1)
      : e(extents),
        x(normal(e.pixels() * e.channels, seed)),
        weight(normal(e.filters * 9 * e.channels, seed + 1, 0.0F, 0.1F)),
        by_filter(floats(cpu::winograd_filter_elements(e.filters, e.channels))),
        by_channel(by_filter) {
    transform();
  }
  /// For training: in the planes that the tiles have; nothing may read the others.
  void transform() {
    std::fill(by_filter.begin(), by_filter.end(), kNan);
    by_channel = by_filter;
    cpu::winograd_transform_filters(weight.data(), nullptr, cpu::TileGrid(e).planes(),
                                    by_filter.data(), by_channel.data(), e.filters, e.channels);
  }
  /// For inference, whose tiles differ with a pool.
  void transform(const float* scale) {
    cpu::winograd_transform_filters(weight.data(), scale, {}, nullptr, by_channel.data(), e.filters,
                                    e.channels);
  }

  ConvolutionExtents e;
  Floats x, weight, by_filter, by_channel;
};

struct Forward {
  explicit Forward(const Problem& p)
      : z(floats(p.e.pixels() * p.e.filters)),
        mean(floats(p.e.filters)),
        variance(floats(p.e.filters)) {
    Floats scratch = floats(cpu::winograd_forward_scratch(p.e));
    cpu::winograd_forward(p.x.data(), p.by_channel.data(), z.data(), mean.data(), variance.data(),
                          p.e, scratch.data());
  }
  Floats z, mean, variance;
};

TEST_CASE("winograd: forward and batch statistics") {
  for (const ConvolutionExtents& e : kCases) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    CAPTURE(e.filters);
    const Problem probe(e);
    const Array want = convolution(doubles(probe.x), doubles(probe.weight), reference_shape(e));
    for_each_instruction_set([&] {
      for_each_thread_count([&](int) {
        const Problem p(e);
        const Forward got(p);
        CHECK(relative_error(got.z, want) <= winograd_tolerance(e, e.channels));
        // The statistics are those of what was stored.
        const auto statistics = reference::batch_statistics(doubles(got.z), e.filters);
        for (std::size_t k = 0; k < got.mean.size(); ++k) {
          const double deviation = std::sqrt(statistics.variance[k]);
          const double mean = statistics.mean[k];
          const double slack = 8.0 * kRounding;
          CHECK(std::abs(static_cast<double>(got.mean[k]) - mean) <=
                slack * (std::abs(mean) + deviation));
          CHECK(std::abs(static_cast<double>(got.variance[k]) - statistics.variance[k]) <=
                4.0 * slack * statistics.variance[k] + 1e-12);
        }
        CHECK(same(got.z, Forward(p).z));
        CHECK(same(got.variance, Forward(p).variance));
      });
    });
  }
}

TEST_CASE("winograd: a large mean costs the variance no accuracy") {
  Problem p({4, 8, 8, 16, 16});
  std::fill(p.weight.begin(), p.weight.end(), 0.0F);
  for (std::size_t k = 0; k < 16; ++k) p.weight[(k * 9 + 4) * 16] = 1.0F;  // the centre's channel 0
  p.transform();
  p.x = normal(p.e.pixels() * 16, 3, 1000.0F);
  const Forward got(p);
  const auto want = reference::batch_statistics(doubles(got.z), 16);
  for (std::size_t k = 0; k < 16; ++k) {
    CHECK(static_cast<double>(got.variance[k]) ==
          doctest::Approx(want.variance[k]).epsilon(1e-5).scale(0));
  }
}

TEST_CASE("winograd: inference with scaled filters, ReLU and pool") {
  for (const ConvolutionExtents& e : kCases) {
    Problem p(e);
    const Floats scale = normal(e.filters, 5), shift = normal(e.filters, 6);
    const auto shape = reference_shape(e);
    Array want = convolution(doubles(p.x), doubles(p.weight), shape);
    double largest = 0.0;
    for (std::size_t i = 0; i < want.size(); ++i) {
      const std::size_t k = i % scale.size();
      want[i] = want[i] * static_cast<double>(scale[k]) + static_cast<double>(shift[k]);
      largest = std::max(largest, std::abs(want[i]));
    }
    want = reference::relu(want);
    for (const bool pool : {false, true}) {
      if (pool && e.height < 2) continue;
      if (pool) want = max_pool(want, shape.y()).y;
      for_each_instruction_set([&] {
        p.transform(scale.data());
        for_each_thread_count([&](int) {
          Floats y(want.size(), kNan);
          Floats scratch(static_cast<std::size_t>(cpu::winograd_inference_scratch(e, pool)), kNan);
          cpu::winograd_inference(p.x.data(), p.by_channel.data(), shift.data(), pool, y.data(), e,
                                  scratch.data());
          check_within(y, want, [&](std::size_t) {
            return 4.0 * winograd_tolerance(e, e.channels) * largest;
          });
        });
      });
    }
  }
}

TEST_CASE("winograd: NaN reaches every output that sees it, and only its tiles") {
  Problem p({2, 12, 12, 16, 16});
  p.x[(3 * 12 + 3) * 16 + 5] = kNan;  // pixel (3, 3) is seen by outputs (2, 2) to (4, 4)
  const Forward got(p);
  const auto at = [](std::size_t row, std::size_t column) { return (row * 12 + column) * 16; };
  for (std::size_t row = 0; row < 12; ++row) {
    for (std::size_t column = 0; column < 12; ++column) {
      const bool seen = row >= 2 && row <= 4 && column >= 2 && column <= 4;
      if (seen) CHECK(std::isnan(got.z[at(row, column)]));
      if (row >= 8 || column >= 8) CHECK(!std::isnan(got.z[at(row, column)]));
    }
  }
  CHECK(std::isnan(got.mean[0]));
  CHECK(std::isnan(got.variance[0]));
}

/// A block's forward pass by the f32 kernels, so that the double reference can take its decisions.
struct Block {
  Block(const Problem& problem, const Floats& gamma_, const Floats& beta, bool pooled)
      : p(problem), gamma(gamma_), pool(pooled), forward(p) {
    const ConvolutionExtents& e = p.e;
    inv_std = floats(e.filters);
    Floats scale = inv_std, shift = inv_std;
    for (std::size_t k = 0; k < gamma.size(); ++k) {
      inv_std[k] = 1.0F / std::sqrt(forward.variance[k] + 1e-5F);
      scale[k] = gamma[k] * inv_std[k];
      shift[k] = beta[k] - forward.mean[k] * scale[k];
    }
    const std::int64_t step = pool ? 2 : 1;
    y = floats(e.images * (e.height / step) * (e.width / step) * e.filters);
    winner.resize(y.size());
    selected = y;
    if (pool) {
      cpu::affine_relu_pool_forward(forward.z.data(), scale.data(), shift.data(), y.data(),
                                    winner.data(), selected.data(), extents());
    } else {
      cpu::affine_relu_forward(forward.z.data(), scale.data(), shift.data(), y.data(), extents());
    }
    dy = normal(static_cast<std::int64_t>(y.size()), 9);
  }

  cpu::ImageExtents extents() const { return {p.e.images, p.e.height, p.e.width, p.e.filters}; }

  void backward() {
    const ConvolutionExtents& e = p.e;
    dgamma = dbeta = floats(e.filters);
    const auto reduce =
        pool ? cpu::pool_relu_batch_norm_backward_reduce : cpu::relu_batch_norm_backward_reduce;
    reduce((pool ? selected : forward.z).data(), y.data(), dy.data(), forward.mean.data(),
           inv_std.data(), dgamma.data(), dbeta.data(), extents());
    const cpu::WinogradBackward inputs{.x = p.x.data(),
                                       .filters = p.by_filter.data(),
                                       .z = forward.z.data(),
                                       .y = y.data(),
                                       .dy = dy.data(),
                                       .winner = pool ? winner.data() : nullptr,
                                       .gamma = gamma.data(),
                                       .mean = forward.mean.data(),
                                       .inv_std = inv_std.data(),
                                       .dgamma = dgamma.data(),
                                       .dbeta = dbeta.data()};
    dweight = floats(static_cast<std::int64_t>(p.weight.size()));
    dx = Floats(p.x.size(), kNan);  // every pixel must be written
    Floats scratch(static_cast<std::size_t>(cpu::winograd_backward_scratch(e)), kNan);
    cpu::winograd_backward(inputs, dweight.data(), dx.data(), e, scratch.data());
    Floats alone = dweight;
    cpu::winograd_backward(inputs, alone.data(), nullptr, e, scratch.data());
    CHECK(same(alone, dweight));
  }

  reference::BlockGradients reference(const Floats& beta) const {
    reference::BlockParameters parameters{doubles(p.weight), doubles(gamma), doubles(beta),
                                          static_cast<double>(1e-5F), pool};
    reference::Decisions decisions;
    if (pool) decisions.winner = winner;
    for (const float value : y) decisions.active.push_back(value <= 0.0F ? 0 : 1);
    const auto shape = reference_shape(p.e);
    const auto result = block_forward(doubles(p.x), shape.x, parameters, &decisions);
    return block_backward(result, parameters, doubles(dy));
  }

  const Problem& p;
  Floats gamma;
  bool pool;
  Forward forward;
  Floats inv_std, y, selected, dy, dgamma, dbeta, dweight, dx;
  std::vector<std::uint8_t> winner;
};

TEST_CASE("winograd: the way back through a block") {
  for (const ConvolutionExtents& e : kCases) {
    // One row has no variance: gradients through batch norm are rounding times 1 / sqrt(epsilon).
    if (e.pixels() == 1) continue;
    for (const bool pool : {true, false}) {
      if (pool && e.height < 2) continue;
      CAPTURE(e.height);
      CAPTURE(e.channels);
      CAPTURE(e.filters);
      CAPTURE(pool);
      Floats gamma = normal(e.filters, 7, 1.0F, 0.5F);
      const Floats beta = normal(e.filters, 8);
      gamma[0] = 0.0F;
      gamma[1] = 1e-30F;
      gamma[2] = -1e-6F;
      for_each_instruction_set([&] {
        for_each_thread_count([&](int) {
          const Problem p(e);
          Block block(p, gamma, beta, pool);
          block.backward();
          const auto want = block.reference(beta);
          const double products = winograd_tolerance(e, e.channels + e.filters);
          // Each sum is over the images' pixels, and every term has the error of z in it.
          const double sums = products + winograd_tolerance(e, e.pixels());
          CHECK(relative_error(block.dx, want.dx) <= 2.0 * products);
          CHECK(relative_error(block.dweight, want.dweight) <= 2.0 * sums);
          CHECK(relative_error(block.dgamma, want.dgamma) <= sums);
          CHECK(relative_error(block.dbeta, want.dbeta) <= sums);
          for (std::size_t i = 0; i < 9 * static_cast<std::size_t>(e.channels); ++i) {
            REQUIRE(block.dweight[i] == 0.0F);
          }
          Block again(p, gamma, beta, pool);
          again.backward();
          CHECK(same(again.dx, block.dx));
          CHECK(same(again.dweight, block.dweight));
        });
      });
    }
  }
}

}  // namespace
}  // namespace protolith::test
