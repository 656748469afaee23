// Batch norm of every backend against the double reference.
#include "tests/reference/batch_norm.h"

#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"

namespace protolith::test {
namespace {

constexpr float kEpsilon = 1e-5F;

struct Case {
  reference::Extents extents;
  double centre = 0.0;  ///< the mean of x, in units of its half range
};

const Case kCases[] = {{{2, 7, 5, 64}},  {{3, 5, 3, 5}},          {{1, 9, 9, 1}},
                       {{2, 1, 1, 3}},   {{4, 28, 28, 17}},       {{2, 6, 5, 3}, 100.0},
                       {{40, 5, 5, 16}}, {{3, 17, 11, 64}, 30.0}, {{1, 1, 1, 7}}};

/// x moved far from 0 keeps only some of its bits: the statistics are those of the rounded x, but
/// x - mean loses `1 + centre` roundoffs, which limits everything computed from it.
double tolerance(const Case& c) {
  return sum_tolerance(1) * (1.0 + c.centre) * 4.0;
}

Array input(const Case& c) {
  return random_array(c.extents.elements(), 1, c.centre - 1.0, c.centre + 1.0);
}

BatchStatistics upload_statistics(Backend& backend, const reference::Statistics& s) {
  const Shape shape{static_cast<std::int64_t>(s.mean.size())};
  return {upload(backend, s.mean, shape), upload(backend, s.variance, shape),
          upload(backend, reference::inverse_deviation(s.variance, double{kEpsilon}), shape)};
}

TEST_CASE("batch norm: statistics") {
  for_each_backend([](Backend& backend) {
    for (const Case& c : kCases) {
      const Array x = input(c);
      const auto want = reference::batch_statistics(x, c.extents.channels);
      const auto got = backend.batch_statistics(upload(backend, x, shape_of(c.extents)), kEpsilon);
      CHECK(got.mean.shape() == Shape{c.extents.channels});
      // About 0 the mean of n values of order 1 is itself only 1 / sqrt(n) large.
      const double rows = static_cast<double>(c.extents.rows());
      check_within(download(backend, got.mean), want.mean,
                   Array(want.mean.size(), 4.0 * kRoundoff * (1.0 + c.centre)), "mean");
      check_close(download(backend, got.variance), want.variance, tolerance(c), "variance");
      if (rows > 1) {
        check_close(download(backend, got.inv_std),
                    reference::inverse_deviation(want.variance, double{kEpsilon}), tolerance(c),
                    "inv_std");
      }
    }
  });
}

TEST_CASE("batch norm: a constant channel has variance 0 and a finite result") {
  for_each_backend([](Backend& backend) {
    const reference::Extents extents{2, 5, 3, 3};
    const Tensor x = upload(backend, Array(90, 0.1F), shape_of(extents));
    const auto statistics = backend.batch_statistics(x, kEpsilon);
    CHECK(download(backend, statistics.variance) == Array(3, 0.0));
    const Tensor y = backend.batch_norm(x, upload(backend, Array{1, 1, 1}, {3}),
                                        upload(backend, Array{0.5, 0.25, 0}, {3}), statistics);
    // shift = beta - mean * scale cancels the mean's 32 deviations of inv_std = 316.
    Array want, bound(90, 4 * kRoundoff * (0.1 / std::sqrt(1e-5)));
    for (int i = 0; i < 90; ++i) want.push_back(i % 3 == 0 ? 0.5 : i % 3 == 1 ? 0.25 : 0.0);
    check_within(download(backend, y), want, bound, "y");
  });
}

TEST_CASE("batch norm: running statistics") {
  for_each_backend([](Backend& backend) {
    for (const std::int64_t rows : {1, 2, 70}) {
      for (const float momentum : {0.1F, 1.0F, 0.0F}) {
        const reference::Statistics before{random_array(5, 1), random_array(5, 2, 0.5, 2.0)};
        const reference::Statistics batch{random_array(5, 3), random_array(5, 4, 0.5, 2.0)};
        const Tensor mean = upload(backend, before.mean, {5});
        const Tensor variance = upload(backend, before.variance, {5});
        backend.update_running_statistics(upload_statistics(backend, batch), rows, momentum, mean,
                                          variance);
        const auto want = updated_running(before, batch, rows, double{momentum});
        // A handful of roundings of numbers up to 3 (4 for the unbiased variance of two rows).
        const Array bound(5, 8.0 * kRoundoff * 4.0);
        check_within(download(backend, mean), want.mean, bound, "mean");
        check_within(download(backend, variance), want.variance, bound, "variance");
      }
    }
  });
}

TEST_CASE("batch norm: forward, inference and its scale and shift") {
  for_each_backend([](Backend& backend) {
    for (const Case& c : kCases) {
      const std::int64_t channels = c.extents.channels;
      const Array x = input(c);
      const Array gamma = random_array(channels, 2, -1.5, 1.5), beta = random_array(channels, 3);
      const Tensor tx = upload(backend, x, shape_of(c.extents));
      const Tensor tgamma = upload(backend, gamma, {channels});
      const Tensor tbeta = upload(backend, beta, {channels});
      reference::Statistics s{random_array(channels, 4, c.centre - 0.1, c.centre + 0.1),
                              random_array(channels, 5, 0.5, 2.0)};
      const Array want = reference::batch_norm(x, gamma, beta, s, double{kEpsilon});
      const auto statistics = upload_statistics(backend, s);
      check_close(download(backend, backend.batch_norm(tx, tgamma, tbeta, statistics)), want,
                  tolerance(c), "forward");
      const Tensor y = backend.batch_norm_inference(tx, tgamma, tbeta, statistics.mean,
                                                    statistics.variance, kEpsilon);
      check_close(download(backend, y), want, tolerance(c), "inference");

      const Tensor scale = backend.persistent({channels}), shift = backend.persistent({channels});
      backend.inference_scale_shift(tgamma, tbeta, statistics.mean, statistics.variance, kEpsilon,
                                    scale, shift);
      Array want_scale = reference::inverse_deviation(s.variance, double{kEpsilon});
      Array want_shift = beta;
      for (std::size_t i = 0; i < want_scale.size(); ++i) {
        want_scale[i] *= gamma[i];
        want_shift[i] -= s.mean[i] * want_scale[i];
      }
      check_close(download(backend, scale), want_scale, sum_tolerance(1), "scale");
      check_close(download(backend, shift), want_shift, sum_tolerance(1), "shift");
    }
  });
}

TEST_CASE("batch norm: backward") {
  for_each_backend([](Backend& backend) {
    for (const Case& c : kCases) {
      const std::int64_t channels = c.extents.channels;
      const Array x = input(c), dy = random_array(c.extents.elements(), 2);
      const Array gamma = random_array(channels, 3, -1.5, 1.5);
      const auto s = reference::batch_statistics(x, channels);
      const auto want = reference::batch_norm_backward(x, dy, gamma, s, double{kEpsilon});
      const auto got = backend.batch_norm_backward(
          upload(backend, x, shape_of(c.extents)), upload(backend, dy, shape_of(c.extents)),
          upload(backend, gamma, {channels}), upload_statistics(backend, s));
      // Sums over the rows of terms with random signs; the data gradient subtracts them.
      const double sums = tolerance(c) + sum_tolerance(c.extents.rows());
      check_close(download(backend, got.dgamma), want.dgamma, sums, "dgamma");
      check_close(download(backend, got.dbeta), want.dbeta, sums, "dbeta");
      if (c.extents.rows() > 2) {
        check_close(download(backend, got.dx), want.dx, sums, "dx");
      } else {  // two rows: dx is 0 up to epsilon, a difference of numbers of order inv_std
        const Array inv_std = reference::inverse_deviation(s.variance, double{kEpsilon});
        Array bound = want.dx;
        for (std::size_t i = 0; i < bound.size(); ++i) {
          bound[i] = 16.0 * kRoundoff * inv_std[i % inv_std.size()];
        }
        check_within(download(backend, got.dx), want.dx, bound, "dx");
      }
    }
  });
}

}  // namespace
}  // namespace protolith::test
