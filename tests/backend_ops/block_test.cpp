// The fused {batch norm, ReLU, pool} and the whole convolution block of every backend against the
// double reference: forward, backward and inference, with and without a pool.
#include "tests/reference/conv_block.h"

#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"

namespace protolith::test {
namespace {

constexpr float kEpsilon = 1e-5F;

struct Case {
  reference::Extents x;
  std::int64_t filters;
};

const Case kCases[] = {{{2, 7, 5, 3}, 5},   {{1, 2, 2, 1}, 1},   {{3, 9, 8, 1}, 64},
                       {{2, 6, 7, 64}, 64}, {{5, 4, 4, 16}, 16}, {{2, 28, 28, 1}, 64},
                       {{1, 11, 3, 5}, 17}, {{2, 6, 5, 3}, 32}};

/// A block's data and its reference results.
struct Problem {
  reference::Extents x_extents;
  reference::BlockParameters parameters;
  Array x, dy;
  reference::BlockForward forward;
  reference::BlockGradients gradients;
  reference::Statistics running;
};

/// A decision is "near" below this margin; f32 errors of normalised values are some 1e-6.
constexpr double kMargin = 1e-4;

/// dy with zeros where a decision is near, so that taking it the other way changes nothing.
Array gradient_away_from_kinks(const reference::BlockForward& forward, const Array& normalized,
                               bool pool, std::uint64_t seed) {
  Array dy = random_array(static_cast<std::int64_t>(forward.y.size()), seed);
  if (!pool) {
    for (std::size_t i = 0; i < dy.size(); ++i) {
      if (std::abs(normalized[i]) < kMargin) dy[i] = 0.0;
    }
    return dy;
  }
  for_each_window(forward.shape.y(), [&](std::size_t output, const std::size_t* inputs) {
    const double best = normalized[inputs[forward.decisions.winner[output]]];
    for (int place = 0; place < 4; ++place) {
      const bool rival = place != forward.decisions.winner[output];
      if (rival && best > 0.0 && best - normalized[inputs[place]] < kMargin) dy[output] = 0.0;
      if (std::abs(normalized[inputs[place]]) < kMargin) dy[output] = 0.0;
    }
  });
  return dy;
}

Problem make_problem(const Case& c, bool pool, std::uint64_t seed) {
  Problem p;
  p.x_extents = c.x;
  p.parameters.weight = random_array(c.filters * 9 * c.x.channels, seed, -0.5, 0.5);
  p.parameters.gamma = random_array(c.filters, seed + 1, 0.1, 1.0);
  p.parameters.beta = random_array(c.filters, seed + 2, -0.5, 0.5);
  if (c.filters > 2) p.parameters.gamma[1] *= -1.0;
  p.parameters.epsilon = double{kEpsilon};
  p.parameters.pool = pool;
  p.running = {random_array(c.filters, seed + 3), random_array(c.filters, seed + 4, 0.5, 2.0)};
  p.x = random_array(c.x.elements(), seed + 5);
  p.forward = block_forward(p.x, c.x, p.parameters);
  const Array normalized = batch_norm(p.forward.convolved, p.parameters.gamma, p.parameters.beta,
                                      p.forward.statistics, p.parameters.epsilon);
  p.dy = gradient_away_from_kinks(p.forward, normalized, pool, seed + 6);
  p.gradients = block_backward(p.forward, p.parameters, p.dy);
  return p;
}

struct Uploaded {
  Tensor x, dy;
  ConvBlockParameters parameters;
};

Uploaded upload_problem(Backend& backend, const Problem& p) {
  const auto filters = static_cast<std::int64_t>(p.parameters.gamma.size());
  Uploaded u;
  u.x = upload(backend, p.x, shape_of(p.x_extents));
  u.dy = upload(backend, p.dy, shape_of(p.forward.y_extents()));
  u.parameters.weight = upload(backend, p.parameters.weight, {filters, 3, 3, p.x_extents.channels});
  u.parameters.gamma = upload(backend, p.parameters.gamma, {filters});
  u.parameters.beta = upload(backend, p.parameters.beta, {filters});
  u.parameters.running_mean = upload(backend, p.running.mean, {filters});
  u.parameters.running_variance = upload(backend, p.running.variance, {filters});
  u.parameters.epsilon = kEpsilon;
  u.parameters.pool = p.parameters.pool;
  return u;
}

BatchStatistics upload_statistics(Backend& backend, const reference::Statistics& s) {
  const Shape shape{static_cast<std::int64_t>(s.mean.size())};
  return {upload(backend, s.mean, shape), upload(backend, s.variance, shape),
          upload(backend, reference::inverse_deviation(s.variance, double{kEpsilon}), shape)};
}

/// Winners wherever the output is positive; a window of zeros has no winner that matters.
void check_winners(const Bytes& got, const reference::BlockForward& want, const Array& dy) {
  REQUIRE(got.size() == want.decisions.winner.size());
  int wrong = 0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    if (want.decisions.active[i] != 0 && dy[i] != 0.0) {
      wrong += got[i] == want.decisions.winner[i] ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
}

/// Of normalised values: a convolution's sum, then centring, scaling, shifting.
double forward_tolerance(const Case& c) {
  return 4.0 * sum_tolerance(9 * c.x.channels);
}

TEST_CASE("fused batch norm, ReLU and pool: forward and backward") {
  for_each_backend([](Backend& backend) {
    for (const Case& c : kCases) {
      for (const bool pool : {true, false}) {
        CAPTURE(c.filters);
        CAPTURE(pool);
        const Problem p = make_problem(c, pool, 10);
        const Uploaded u = upload_problem(backend, p);
        const auto statistics = upload_statistics(backend, p.forward.statistics);
        const Tensor x = upload(backend, p.forward.convolved, shape_of(p.forward.shape.y()));
        const auto got = backend.batch_norm_relu_pool(x, u.parameters.gamma, u.parameters.beta,
                                                      statistics, pool);
        check_close(download(backend, got.y), p.forward.y, 4.0 * sum_tolerance(1), "y");
        CHECK(got.winner.defined() == pool);
        CHECK(got.selected.defined() == pool);
        if (pool) {
          const Bytes winner = download_bytes(backend, got.winner);
          check_winners(winner, p.forward, p.dy);
          check_close(download(backend, got.selected),
                      pool_select(download(backend, x), winner, p.forward.shape.y()), 0.0,
                      "selected");
        }
        // The reference takes the backend's own decisions, so that even near ties agree.
        reference::BlockForward forced = p.forward;
        forced.decisions.active.clear();
        for (const double y : download(backend, got.y)) {
          forced.decisions.active.push_back(y <= 0.0 ? 0 : 1);
        }
        if (pool) forced.decisions.winner = download_bytes(backend, got.winner);
        const auto want = activation_backward(forced, p.parameters, p.dy);
        const auto gradients =
            backend.batch_norm_relu_pool_backward(x, got, u.dy, u.parameters.gamma, statistics);
        const double tolerance = 4.0 * sum_tolerance(p.forward.shape.y().rows());
        check_close(download(backend, gradients.dgamma), want.dgamma, tolerance, "dgamma");
        check_close(download(backend, gradients.dbeta), want.dbeta, tolerance, "dbeta");
        check_close(download(backend, gradients.dx), want.dx, tolerance, "dx");
        CHECK(gradients.dx.raw() == x.raw());
      }
    }
  });
}

TEST_CASE("affine, ReLU and pool") {
  for_each_backend([](Backend& backend) {
    for (const Case& c : kCases) {
      const Array x = random_array(c.x.elements(), 1);
      const Array scale = random_array(c.x.channels, 2), shift = random_array(c.x.channels, 3);
      Array affine = x;
      for (std::size_t i = 0; i < x.size(); ++i) {
        affine[i] = x[i] * scale[i % scale.size()] + shift[i % shift.size()];
      }
      const Array activated = reference::relu(affine);
      for (const bool pool : {true, false}) {
        const Tensor y = backend.affine_relu_pool(upload(backend, x, shape_of(c.x)),
                                                  upload(backend, scale, {c.x.channels}),
                                                  upload(backend, shift, {c.x.channels}), pool);
        CHECK(y.shape() == shape_of(pool ? reference::pooled(c.x) : c.x));
        check_close(download(backend, y), pool ? max_pool(activated, c.x).y : activated,
                    sum_tolerance(1), "y");
      }
    }
  });
}

TEST_CASE("fused operations: a NaN wins its window from any place, and no other window") {
  for_each_backend([](Backend& backend) {
    const reference::Extents extents{1, 4, 4, 19};
    const Tensor ones = upload(backend, Array(19, 1.0), {19});
    const Tensor zeros = upload(backend, Array(19, 0.0), {19});
    for (std::int64_t place = 0; place < 4; ++place) {
      Array x = random_array(extents.elements(), 1);
      for (std::int64_t c = 0; c < 19; ++c) {
        x[extents.at(0, 2 + place / 2, place % 2, c)] = std::nan("");
      }
      const Array normalized = reference::relu(x);
      const auto want = max_pool(normalized, extents);
      const Tensor tx = upload(backend, x, shape_of(extents));
      const auto got = backend.batch_norm_relu_pool(tx, ones, zeros, {zeros, ones, ones}, true);
      check_close(download(backend, got.y), want.y, 0.0, "pooled");
      CHECK(download_bytes(backend, got.winner) == want.winner);
      CHECK(std::isnan(download(backend, got.selected)[2 * 2 * 19 - 19 - 1]));
      check_close(download(backend, backend.affine_relu_pool(tx, ones, zeros, true)), want.y, 0.0,
                  "pooled inference");
      check_close(download(backend, backend.affine_relu_pool(tx, ones, zeros, false)), normalized,
                  0.0, "inference");
      const auto flat = backend.batch_norm_relu_pool(tx, ones, zeros, {zeros, ones, ones}, false);
      check_close(download(backend, flat.y), normalized, 0.0, "without a pool");
    }
  });
}

void check_block(Backend& backend, const Case& c, bool pool, bool needs_input_grad) {
  const std::string name =
      fmt::format("{}x{}x{}x{} -> {}, pool {}, input gradient {}", c.x.images, c.x.height,
                  c.x.width, c.x.channels, c.filters, pool, needs_input_grad);
  CAPTURE(name);
  const Problem p = make_problem(c, pool, 20);
  const Uploaded u = upload_problem(backend, p);
  ConvBlockForward forward = backend.conv_block_forward(u.x, u.parameters);
  CHECK(forward.y.shape() == shape_of(p.forward.y_extents()));
  check_close(download(backend, forward.y), p.forward.y, forward_tolerance(c), "y");
  const auto running =
      updated_running(p.running, p.forward.statistics, p.forward.shape.y().rows(), double{0.1F});
  check_close(download(backend, u.parameters.running_mean), running.mean, forward_tolerance(c),
              "running mean");
  check_close(download(backend, u.parameters.running_variance), running.variance,
              forward_tolerance(c), "running variance");
  CHECK(download(backend, u.x) == p.x);

  const auto got = backend.conv_block_backward(std::move(forward.context), u.dy, needs_input_grad);
  const std::int64_t rows = p.forward.shape.y().rows();
  const double tolerance = forward_tolerance(c) + 8.0 * sum_tolerance(rows);
  check_close(download(backend, got.dgamma), p.gradients.dgamma, tolerance, "dgamma");
  check_close(download(backend, got.dbeta), p.gradients.dbeta, tolerance, "dbeta");
  check_close(download(backend, got.dweight), p.gradients.dweight, tolerance, "dweight");
  CHECK(got.dx.defined() == needs_input_grad);
  if (needs_input_grad) {
    check_close(download(backend, got.dx), p.gradients.dx, tolerance, "dx");
  }
}

TEST_CASE("convolution block: training") {
  for_each_backend([](Backend& backend) {
    for (const Case& c : kCases) {
      for (const bool pool : {true, false}) check_block(backend, c, pool, true);
    }
    for (const Case& c : kCases) check_block(backend, c, true, false);
    check_block(backend, kCases[2], false, false);
  });
}

TEST_CASE("convolution block: momentum 0 leaves the running statistics alone") {
  for_each_backend([](Backend& backend) {
    const Problem p = make_problem(kCases[0], true, 30);
    Uploaded u = upload_problem(backend, p);
    u.parameters.momentum = 0.0F;
    backend.conv_block_forward(u.x, u.parameters);
    CHECK(download(backend, u.parameters.running_mean) == p.running.mean);
    CHECK(download(backend, u.parameters.running_variance) == p.running.variance);
  });
}

TEST_CASE("convolution block: inference with running statistics") {
  for_each_backend([](Backend& backend) {
    for (const Case& c : kCases) {
      for (const bool pool : {true, false}) {
        const Problem p = make_problem(c, pool, 40);
        const Uploaded u = upload_problem(backend, p);
        const auto prepared = backend.prepare_conv_block(u.parameters);
        const Array want = block_inference(p.x, p.x_extents, p.parameters, p.running);
        check_close(download(backend, backend.conv_block_inference(u.x, *prepared)), want,
                    forward_tolerance(c), "y");
        backend.end_step();  // prepared weights outlive steps, and later changes of parameters
        backend.fill(u.parameters.weight, 0.0F);
        backend.fill(u.parameters.beta, 9.0F);
        check_close(download(backend, backend.conv_block_inference(u.x, *prepared)), want,
                    forward_tolerance(c), "y again");
      }
    }
  });
}

TEST_CASE("convolution block: a gamma of 0, and a channel that ReLU silences") {
  for_each_backend([](Backend& backend) {
    Problem p = make_problem(kCases[0], true, 50);
    p.parameters.gamma[0] = 0.0;
    p.parameters.beta[0] = 0.25;
    p.parameters.gamma[2] = 0.5;
    p.parameters.beta[2] = -1000.0;
    p.forward = block_forward(p.x, p.x_extents, p.parameters);
    p.gradients = block_backward(p.forward, p.parameters, p.dy);
    const Uploaded u = upload_problem(backend, p);
    ConvBlockForward forward = backend.conv_block_forward(u.x, u.parameters);
    const auto got = backend.conv_block_backward(std::move(forward.context), u.dy, true);
    const double tolerance = 8.0 * sum_tolerance(p.forward.shape.y().rows());
    // gamma = 0 makes a window one exact tie at beta: the first place wins, in both.
    check_close(download(backend, got.dgamma), p.gradients.dgamma, tolerance, "dgamma");
    check_close(download(backend, got.dbeta), p.gradients.dbeta, tolerance, "dbeta");
    check_close(download(backend, got.dx), p.gradients.dx, tolerance, "dx");
    CHECK(download(backend, got.dgamma)[2] == 0.0);
    CHECK(download(backend, got.dbeta)[2] == 0.0);
  });
}

TEST_CASE("convolution block: one NaN pixel makes every output NaN in training") {
  for_each_backend([](Backend& backend) {
    for (const bool pool : {true, false}) {
      Problem p = make_problem(kCases[0], pool, 60);
      p.x[0] = std::nan("");
      const Uploaded u = upload_problem(backend, p);
      const ConvBlockForward forward = backend.conv_block_forward(u.x, u.parameters);
      for (const double y : download(backend, forward.y)) CHECK(std::isnan(y));
      // In inference only where the pixel is seen; the running statistics took up the NaN.
      CHECK(std::isnan(download(backend, u.parameters.running_mean)[0]));
      backend.copy(upload(backend, p.running.mean, {5}), u.parameters.running_mean);
      backend.copy(upload(backend, p.running.variance, {5}), u.parameters.running_variance);
      const auto prepared = backend.prepare_conv_block(u.parameters);
      const Array y = download(backend, backend.conv_block_inference(u.x, *prepared));
      CHECK(std::isnan(y[0]));
      CHECK(!std::isnan(y.back()));
    }
  });
}

}  // namespace
}  // namespace protolith::test
