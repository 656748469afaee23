// The reference itself: hand-made examples, and every backward against central differences in
// double. Step 1e-5: the truncation error h^2 f''' / 6 is about 1e-10, rounding 1e-16 / h = 1e-11
// of a loss of order 1; the bound 1e-7 leaves room for curvature. Kinks stay 1e-3 away.
#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"
#include "tests/reference/adam.h"
#include "tests/reference/conv_block.h"
#include "tests/reference/distance.h"
#include "tests/reference/episode_gather.h"
#include "tests/reference/loss.h"

namespace protolith::test {
namespace {

constexpr double kGradientTolerance = 1e-7;

TEST_CASE("reference: convolution by hand") {
  // A 3x3 image of 1..9, one 2x2 filter of 1, 10, 100, 1000: digits show which pixel went where.
  const Array x{1, 2, 3, 4, 5, 6, 7, 8, 9};
  const Array weight{1, 10, 100, 1000};
  CHECK(reference::convolution(x, weight, {{1, 3, 3, 1}, 1, 2, 2, 1, 0}) ==
        Array{5421, 6532, 8754, 9865});
  CHECK(reference::convolution(x, weight, {{1, 3, 3, 1}, 1, 2, 2, 2, 1}) ==
        Array{1000, 3200, 7040, 9865});
}

TEST_CASE("reference: convolution gradients") {
  const reference::Convolution shapes[] = {
      {{2, 5, 4, 3}, 2, 3, 3, 1, 1}, {{1, 6, 5, 2}, 3, 3, 3, 2, 1}, {{2, 4, 4, 3}, 2, 1, 1, 1, 0},
      {{1, 7, 6, 1}, 2, 5, 5, 1, 2}, {{1, 6, 7, 2}, 2, 5, 5, 2, 2}, {{1, 5, 4, 2}, 2, 3, 2, 1, 0}};
  for (const auto& shape : shapes) {
    const Array x = random_array(shape.x.elements(), 1);
    const Array weight = random_array(shape.weight_elements(), 2);
    const Array dy = random_array(shape.y().elements(), 3);
    const auto of_x = [&](const Array& v) { return dot(convolution(v, weight, shape), dy); };
    const auto of_weight = [&](const Array& v) { return dot(convolution(x, v, shape), dy); };
    check_close(convolution_backward_data(dy, weight, shape), numerical_gradient(of_x, x),
                kGradientTolerance, "dx");
    check_close(convolution_backward_weight(x, dy, shape), numerical_gradient(of_weight, weight),
                kGradientTolerance, "dweight");
  }
}

TEST_CASE("reference: batch norm gradients and running statistics") {
  constexpr double kEpsilon = 1e-5;
  const Array x = random_array(7 * 3, 1), dy = random_array(7 * 3, 2);
  const Array gamma = random_array(3, 3), beta = random_array(3, 4);
  const auto value = [&](const Array& input, const Array& g, const Array& b) {
    return dot(batch_norm(input, g, b, reference::batch_statistics(input, 3), kEpsilon), dy);
  };
  const auto got = batch_norm_backward(x, dy, gamma, reference::batch_statistics(x, 3), kEpsilon);
  check_close(got.dx, numerical_gradient([&](const Array& v) { return value(v, gamma, beta); }, x),
              kGradientTolerance, "dx");
  check_close(got.dgamma,
              numerical_gradient([&](const Array& v) { return value(x, v, beta); }, gamma),
              kGradientTolerance, "dgamma");
  check_close(got.dbeta,
              numerical_gradient([&](const Array& v) { return value(x, gamma, v); }, beta),
              kGradientTolerance, "dbeta");

  const auto statistics = reference::batch_statistics({1, 2, 3, 6}, 1);
  CHECK(statistics.mean == Array{3});
  CHECK(statistics.variance == Array{3.5});
  const auto running = reference::updated_running({{1}, {2}}, {{3}, {3.5}}, 4, 0.5);
  CHECK(running.mean == Array{2});
  CHECK(running.variance[0] == doctest::Approx(2 + 0.5 * (14.0 / 3.0 - 2)).epsilon(1e-15));
}

TEST_CASE("reference: pool winners, ties and NaN") {
  const double nan = std::nan("");
  const reference::Extents window{1, 2, 2, 1};
  CHECK(reference::max_pool({1, 4, 3, 2}, window).winner == Bytes{1});
  CHECK(reference::max_pool({4, 4, 4, 4}, window).winner == Bytes{0});
  CHECK(reference::max_pool({1, 2, 4, 4}, window).winner == Bytes{2});
  CHECK(reference::max_pool({nan, 9, 1, 2}, window).winner == Bytes{0});
  CHECK(reference::max_pool({nan, 9, nan, 2}, window).winner == Bytes{2});
  CHECK(std::isnan(reference::max_pool({1, 9, nan, 2}, window).y[0]));
  CHECK(std::isnan(reference::relu({nan})[0]));
  CHECK(reference::relu_backward(reference::relu({-1, 0, 2}), {5, 5, 5}) == Array{0, 0, 5});
}

TEST_CASE("reference: chain of blocks against central differences") {
  const reference::Extents extents{3, 6, 5, 2};
  std::vector<reference::BlockParameters> blocks(2);
  blocks[0].weight = random_array(3 * 3 * 3 * 2, 11);
  blocks[0].gamma = random_array(3, 12, 0.5, 1.0);
  blocks[0].beta = random_array(3, 13);
  blocks[1].weight = random_array(2 * 3 * 3 * 3, 14);
  blocks[1].gamma = random_array(2, 15, 0.5, 1.0);
  blocks[1].beta = random_array(2, 16);
  blocks[1].pool = false;
  Array x;  // the first picture whose kinks are far away
  std::vector<reference::BlockForward> forward;
  for (std::uint64_t seed = 17;; ++seed) {
    x = random_array(extents.elements(), seed);
    forward = chain_forward(x, extents, blocks);
    if (std::min(forward[0].margin, forward[1].margin) > 1e-3) break;
  }
  const Array dy = random_array(static_cast<std::int64_t>(forward[1].y.size()), 18);
  const auto gradients = chain_backward(forward, blocks, dy);
  const auto check = [&](const Array& got, const Array& at, const auto& set, const char* what) {
    const auto f = [&](const Array& values) {
      Array input = x;
      auto changed = blocks;
      set(input, changed, values);
      return dot(chain_forward(input, extents, changed)[1].y, dy);
    };
    // 1e-6: two batch norms of few rows have third derivatives of the order of 1e3.
    check_close(got, numerical_gradient(f, at, 1e-5), 1e-6, what);
  };
  using Blocks = std::vector<reference::BlockParameters>;
  check(
      gradients[0].dx, x, [](Array& in, Blocks&, const Array& v) { in = v; }, "dx");
  check(
      gradients[0].dweight, blocks[0].weight,
      [](Array&, Blocks& b, const Array& v) { b[0].weight = v; }, "dweight");
  check(
      gradients[1].dweight, blocks[1].weight,
      [](Array&, Blocks& b, const Array& v) { b[1].weight = v; }, "dweight 1");
  check(
      gradients[0].dgamma, blocks[0].gamma,
      [](Array&, Blocks& b, const Array& v) { b[0].gamma = v; }, "dgamma");
  check(
      gradients[1].dbeta, blocks[1].beta, [](Array&, Blocks& b, const Array& v) { b[1].beta = v; },
      "dbeta 1");
}

TEST_CASE("reference: decisions given from outside are taken") {
  const reference::Extents extents{2, 4, 4, 1};
  reference::BlockParameters block{random_array(9, 1), {1.0}, {0.0}};
  const Array x = random_array(extents.elements(), 2);
  auto own = block_forward(x, extents, block);
  CHECK(block_forward(x, extents, block, &own.decisions).y == own.y);
  reference::Decisions turned = own.decisions;
  for (auto& winner : turned.winner) winner = static_cast<std::uint8_t>(3 - winner);
  turned.active.assign(turned.active.size(), 1);
  const auto forced = block_forward(x, extents, block, &turned);
  const Array normalized = batch_norm(own.convolved, {1.0}, {0.0}, own.statistics, 1e-5);
  CHECK(forced.y == pool_select(normalized, turned.winner, extents));
  turned.active.assign(turned.active.size(), 0);
  CHECK(block_forward(x, extents, block, &turned).y == Array(8, 0.0));
}

TEST_CASE("reference: prototypes, distances and loss against central differences") {
  constexpr std::int64_t kFeatures = 4;
  const Array support = random_array(6 * kFeatures, 1), q = random_array(5 * kFeatures, 2);
  const std::vector<std::int32_t> labels{0, 2, 1, 1, 0};
  // Thresholds inside the range of the distances, none within 1e-3 of one.
  for (const reference::Leaky& metric :
       {reference::Leaky{0, 1}, reference::Leaky{0, 0.01}, reference::Leaky{1.7, 0.1}}) {
    const auto loss = [&](const Array& s, const Array& queries) {
      const Array d = reference::squared_distances(
          queries, reference::segment_mean(s, 2, kFeatures), kFeatures);
      return reference::softmax_loss(d, labels, metric).mean;
    };
    const Array c = reference::segment_mean(support, 2, kFeatures);
    const Array d = reference::squared_distances(q, c, kFeatures);
    for (const double distance : d) REQUIRE(std::abs(distance - metric.threshold) > 1e-3);
    const auto result = reference::softmax_loss(d, labels, metric);
    const auto back = reference::squared_distances_backward(q, c, result.gradient, kFeatures);
    check_close(back.dq, numerical_gradient([&](const Array& v) { return loss(support, v); }, q),
                kGradientTolerance, "dq");
    check_close(reference::segment_mean_backward(back.dc, 2, kFeatures),
                numerical_gradient([&](const Array& v) { return loss(v, q); }, support),
                kGradientTolerance, "dsupport");
    const auto of_leaky = [&](const Array& leaky) {  // each row's own loss, summed
      return 5.0 * reference::softmax_loss(leaky, labels, {0, 1}).mean;
    };
    check_close(result.leaky_gradient, numerical_gradient(of_leaky, result.leaky),
                kGradientTolerance, "leaky gradient");
    check_close(reference::squared_distances_by_norms(q, c, kFeatures), d, 1e-14, "by norms");
  }
}

TEST_CASE("reference: loss by hand") {
  const auto result = reference::softmax_loss({0, std::log(3.0), 2, 2}, {0, 1}, {0, 1});
  CHECK(result.p[0] == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(result.loss[0] == doctest::Approx(-std::log(0.75)).epsilon(1e-15));
  CHECK(result.gradient[1] == doctest::Approx(-0.125).epsilon(1e-15));
  CHECK(result.hit == Array{1, 0});  // of equal distances the first is the nearest
  const reference::Leaky leaky{4, 0.01};
  CHECK(leaky(4) == 4);
  CHECK(leaky(104) == doctest::Approx(5).epsilon(1e-15));
  CHECK(leaky.derivative(4) == 1);
  CHECK(leaky.derivative(4.1) == 0.01);
  CHECK(reference::Leaky{0, 0.01}.derivative(0) == 0.01);
}

TEST_CASE("reference: Adam by hand") {
  reference::AdamState state{{1.0}, {0.0}, {0.0}};
  reference::adam_step(state, {4.0}, {0.1, 0.5, 0.75, 0.0}, 1);
  CHECK(state.parameters[0] == doctest::Approx(0.9).epsilon(1e-15));
  reference::adam_step(state, {-2.0}, {0.1, 0.5, 0.75, 0.0}, 2);
  // m = 0, so nothing moves; v = 0.75 * 4 + 0.25 * 4.
  CHECK(state.parameters[0] == doctest::Approx(0.9).epsilon(1e-15));
  CHECK(state.v[0] == 4.0);
}

TEST_CASE("reference: quarter turns by hand") {
  const Bytes image{1, 2, 3, 4};  // rows 1 2 / 3 4
  const auto turned = [&](std::int32_t turns) {
    return reference::episode_gather(image, {1, 2, 2, 1}, {0}, {turns}, {1}, {0});
  };
  CHECK(turned(0) == Array{1, 2, 3, 4});
  CHECK(turned(1) == Array{2, 4, 1, 3});
  CHECK(turned(2) == Array{4, 3, 2, 1});
  CHECK(turned(3) == Array{3, 1, 4, 2});
}

}  // namespace
}  // namespace protolith::test
