// Prototypes, distances and the fused loss of every backend against the double reference, and the
// identities of the leaky distance.
#include <doctest/doctest.h>

#include <algorithm>

#include "tests/backend_ops/support.h"
#include "tests/reference/distance.h"
#include "tests/reference/loss.h"

namespace protolith::test {
namespace {

struct Sizes {
  std::int64_t queries, prototypes, features;
};

const Sizes kSizes[] = {{1, 1, 1},   {5, 1, 7},    {1, 5, 64},  {7, 3, 1},
                        {15, 5, 33}, {60, 60, 65}, {9, 20, 577}};

TEST_CASE("segment mean: forward and backward") {
  for_each_backend([](Backend& backend) {
    for (const std::int64_t length : {1, 2, 5}) {
      for (const std::int64_t features : {1, 7, 64, 577}) {
        const Array x = random_array(3 * length * features, 1);
        const Array dmean = random_array(3 * features, 2);
        const Tensor mean =
            backend.segment_mean(upload(backend, x, {3 * length, features}), length);
        CHECK(mean.shape() == Shape{3, features});
        check_close(download(backend, mean), reference::segment_mean(x, length, features),
                    sum_tolerance(length), "mean");
        const Tensor dx =
            backend.segment_mean_backward(upload(backend, dmean, {3, features}), length);
        CHECK(dx.shape() == Shape{3 * length, features});
        check_close(download(backend, dx),
                    reference::segment_mean_backward(dmean, length, features), sum_tolerance(1),
                    "dx");
      }
    }
  });
}

/// |q_i|^2 + |c_j|^2 for every pair: the GEMM way's error is relative to this, not to d.
Array norm_sums(const Array& q, const Array& c, std::int64_t features) {
  const Array origin = reference::zeros(features);
  const Array q_norms = reference::squared_distances(q, origin, features);
  const Array c_norms = reference::squared_distances(c, origin, features);
  Array sums;
  for (const double a : q_norms) {
    for (const double b : c_norms) sums.push_back(a + b);
  }
  return sums;
}

TEST_CASE("distances: direct and GEMM against the reference and each other") {
  for_each_backend([](Backend& backend) {
    for (const Sizes& s : kSizes) {
      const Array q = random_array(s.queries * s.features, 1, -1.0, 3.0);
      Array c = random_array(s.prototypes * s.features, 2, -1.0, 3.0);
      std::copy(q.begin(), q.begin() + s.features, c.begin());  // one pair at distance 0
      const Tensor tq = upload(backend, q, {s.queries, s.features});
      const Tensor tc = upload(backend, c, {s.prototypes, s.features});
      const Array want = reference::squared_distances(q, c, s.features);
      const Tensor direct = backend.squared_distances(tq, tc, DistanceMethod::direct);
      CHECK(direct.shape() == Shape{s.queries, s.prototypes});
      check_close(download(backend, direct), want, sum_tolerance(s.features), "direct");
      CHECK(download(backend, direct)[0] == 0.0);
      const Array gemm = download(backend, backend.squared_distances(tq, tc, DistanceMethod::gemm));
      Array bound = norm_sums(q, c, s.features);
      for (double& value : bound) value *= sum_tolerance(s.features);
      check_within(gemm, want, bound, "gemm");
      CHECK(*std::min_element(gemm.begin(), gemm.end()) >= 0.0);
    }
  });
}

TEST_CASE("distances: backward") {
  for_each_backend([](Backend& backend) {
    for (const Sizes& s : kSizes) {
      const Array q = random_array(s.queries * s.features, 1);
      const Array c = random_array(s.prototypes * s.features, 2);
      const Array dd = random_array(s.queries * s.prototypes, 3);
      const auto got =
          backend.squared_distances_backward(upload(backend, q, {s.queries, s.features}),
                                             upload(backend, c, {s.prototypes, s.features}),
                                             upload(backend, dd, {s.queries, s.prototypes}));
      const auto want = reference::squared_distances_backward(q, c, dd, s.features);
      // sum(dd) * q - dd c: a sum of as many terms as there are partners, twice, subtracted; the
      // difference may be smaller than its parts, by little with partners on all sides.
      check_close(download(backend, got.dqueries), want.dq, 4 * sum_tolerance(s.prototypes), "dq");
      check_close(download(backend, got.dprototypes), want.dc, 4 * sum_tolerance(s.queries), "dc");
    }
  });
}

TEST_CASE("distances: NaN reaches exactly its row or column") {
  for_each_backend([](Backend& backend) {
    Array q = random_array(5 * 33, 1), c = random_array(3 * 33, 2);
    q[33 + 7] = std::nan("");
    c[2 * 33] = std::nan("");
    const Tensor tq = upload(backend, q, {5, 33}), tc = upload(backend, c, {3, 33});
    for (const auto method : {DistanceMethod::direct, DistanceMethod::gemm}) {
      const Array d = download(backend, backend.squared_distances(tq, tc, method));
      for (std::size_t i = 0; i < d.size(); ++i) {
        CHECK(std::isnan(d[i]) == (i / 3 == 1 || i % 3 == 2));
      }
    }
  });
}

struct LossCase {
  std::int64_t rows, classes;
  double distance;  ///< the largest one
};

const LossCase kLossCases[] = {{1, 1, 5.0},      {7, 1, 50.0},    {1, 5, 5.0},   {5, 17, 20.0},
                               {300, 60, 160.0}, {75, 5, 1500.0}, {3, 1000, 4.0}};

const LeakyDistance kMetrics[] = {{0.0F, 1.0F}, {0.0F, 0.01F}, {4.0F, 0.01F},
                                  {2.0F, 0.5F}, {1.0F, 0.0F},  {4.0F, 1.0F}};

/// Bounds of one element's error: the rounding of the leaky distance (an absolute error of its
/// size times a roundoff or two) goes into the exponent, where it is a relative error of p.
double loss_bound(const reference::Loss& want) {
  return 8.0 * kRoundoff * (1.0 + *std::max_element(want.leaky.begin(), want.leaky.end()));
}

void check_loss(Backend& backend, const LossCase& c, const LeakyDistance& metric) {
  const std::string name = fmt::format("{} x {}, d < {}, s = {}, r = {}", c.rows, c.classes,
                                       c.distance, metric.threshold, metric.slope);
  CAPTURE(name);
  const Shape shape{c.rows, c.classes};
  const Array d = random_array(c.rows * c.classes, 1, 0.0, c.distance);
  const auto labels = random_labels(c.rows, c.classes, 2);
  const auto want =
      reference::softmax_loss(d, labels, {double{metric.threshold}, double{metric.slope}});
  LossDiagnostics diagnostics;
  const Tensor td = upload(backend, d, shape), tl = upload(backend, labels, {c.rows});
  const LossResult got = backend.leaky_softmax_loss(td, tl, metric, true, &diagnostics);

  const double bound = loss_bound(want);
  check_within(download(backend, got.loss), want.loss, Array(want.loss.size(), bound), "loss");
  check_close(download(backend, got.hit), want.hit, 0.0, "hit");
  check_close(download(backend, diagnostics.leaky), want.leaky, 4.0 * kRoundoff, "leaky");
  Array row_bounds = want.p, mean_bounds = want.p;
  for (std::size_t k = 0; k < row_bounds.size(); ++k) {
    // For the label 1 - p is subtracted from 1; 1e-37: f32 underflow.
    const auto classes = static_cast<std::size_t>(c.classes);
    const bool label = static_cast<std::size_t>(labels[k / classes]) == k % classes;
    row_bounds[k] = bound * (label ? 1.0 : want.p[k]) + 1e-37;
    const double derivative =
        reference::Leaky{double{metric.threshold}, double{metric.slope}}.derivative(d[k]);
    mean_bounds[k] = row_bounds[k] * derivative / static_cast<double>(c.rows) + 1e-37;
  }
  check_within(download(backend, diagnostics.leaky_gradient), want.leaky_gradient, row_bounds,
               "leaky gradient");
  check_within(download(backend, got.gradient), want.gradient, mean_bounds, "gradient");
  check_same_bits(backend, diagnostics.distances, td, "distances");
  for (const double distance : d) {
    const reference::Leaky exact{double{metric.threshold}, double{metric.slope}};
    CHECK(double{metric.derivative(static_cast<float>(distance))} == exact.derivative(distance));
  }

  const LossResult bare = backend.leaky_softmax_loss(td, tl, metric, false);
  check_same_bits(backend, bare.loss, got.loss, "loss without a gradient");
  check_same_bits(backend, bare.hit, got.hit, "hit without a gradient");
}

TEST_CASE("loss: values and gradients") {
  for_each_backend([](Backend& backend) {
    for (const LossCase& c : kLossCases) {
      for (const LeakyDistance& metric : kMetrics) check_loss(backend, c, metric);
    }
  });
}

TEST_CASE("loss: the kink belongs to the first case, and to the slope where s = 0") {
  for_each_backend([](Backend& backend) {
    const Tensor d = upload(backend, Array{4.0, 0.0, 5.0}, {1, 3});
    const Tensor label = upload(backend, std::vector<std::int32_t>{1}, {1});
    for (const LeakyDistance metric : {LeakyDistance{4.0F, 0.01F}, LeakyDistance{0.0F, 0.01F}}) {
      LossDiagnostics diagnostics;
      const auto got = backend.leaky_softmax_loss(d, label, metric, true, &diagnostics);
      const Array gradient = download(backend, got.gradient);
      const Array leaky = download(backend, diagnostics.leaky_gradient);
      const bool leaks = metric.threshold == 0.0F;
      const double slope = double{metric.slope};
      check_close(
          gradient,
          {leaky[0] * (leaks ? slope : 1), leaky[1] * (leaks ? slope : 1), leaky[2] * slope},
          2.0 * kRoundoff, "gradient");
    }
  });
}

TEST_CASE("histogram: values and magnitudes, of step memory and of a view") {
  for_each_backend([](Backend& backend) {
    const Tensor edges = upload(backend, Array{0.0, 0.5, 1.0, 4.0}, {4});
    const Tensor values = upload(
        backend, Array{9.0, -0.25, 0.0, 0.5, 1.0, 4.0, 5.0, std::nan(""), -3.0, 9.0}, {2, 5});
    const auto counts = [&](const Tensor& of, bool magnitudes) {
      const Tensor host = backend.to_host(backend.histogram(of, edges, magnitudes));
      const auto span = host.host_span<const std::int32_t>();
      return std::vector<std::int32_t>(span.begin(), span.end());
    };
    CHECK(counts(values, false) == std::vector<std::int32_t>{2, 1, 1, 2, 3, 1});
    CHECK(counts(values, true) == std::vector<std::int32_t>{0, 2, 1, 3, 3, 1});
    CHECK(counts(values.view(1, {7}), true) == std::vector<std::int32_t>{0, 2, 1, 2, 1, 1});
    const Tensor sum = backend.add(values, values);
    CHECK(counts(sum, true) == std::vector<std::int32_t>{0, 1, 1, 2, 5, 1});
  });
}

LossResult loss_of(Backend& backend, const Array& d, const LeakyDistance& metric,
                   LossDiagnostics* diagnostics = nullptr) {
  const std::int64_t rows = static_cast<std::int64_t>(d.size()) / 20;
  const Tensor labels = upload(backend, random_labels(rows, 20, 5), {rows});
  return backend.leaky_softmax_loss(upload(backend, d, {rows, 20}), labels, metric, true,
                                    diagnostics);
}

void check_same_loss(Backend& backend, const Array& d, const LeakyDistance& a,
                     const LeakyDistance& b) {
  LossDiagnostics da, db;
  const LossResult la = loss_of(backend, d, a, &da), lb = loss_of(backend, d, b, &db);
  check_same_bits(backend, la.loss, lb.loss, "loss");
  check_same_bits(backend, la.hit, lb.hit, "hit");
  check_same_bits(backend, la.gradient, lb.gradient, "gradient");
  check_same_bits(backend, da.leaky, db.leaky, "leaky");
  check_same_bits(backend, da.leaky_gradient, db.leaky_gradient, "leaky gradient");
}

TEST_CASE("identities: LSED(0, 0.01) is temperature 100, bit for bit") {
  for_each_backend([](Backend& backend) {
    Array d = random_array(20 * 20, 1, 0.0, 200.0);
    d[3] = d[21] = 0.0;
    check_same_loss(backend, d, {0.0F, 0.01F}, {0.0F, 1.0F / 100.0F});
    // And it is the SED of distances a hundredth as large.
    Array hundredth = d;
    for (double& value : hundredth) {
      value = static_cast<float>(value) * 0.01F;
    }
    const LossResult a = loss_of(backend, d, {0.0F, 0.01F});
    const LossResult b = loss_of(backend, hundredth, {0.0F, 1.0F});
    check_same_bits(backend, a.loss, b.loss, "loss of scaled distances");
  });
}

TEST_CASE("identities: r = 1 is SED; beyond s everywhere, LSED is a temperature") {
  for_each_backend([](Backend& backend) {
    // Multiples of 1/8 up to 200: s + (d - s) is exact, so that r = 1 gives the same bits.
    Array d = random_array(20 * 20, 1, 0.0, 1600.0);
    for (double& value : d) value = std::floor(value) / 8.0;
    check_same_loss(backend, d, {4.0F, 1.0F}, {0.0F, 1.0F});

    for (double& value : d) value += 8.0;
    const LossResult leaky = loss_of(backend, d, {4.0F, 0.01F});
    const LossResult cooled = loss_of(backend, d, {0.0F, 0.01F});
    // leaky = 4 * 0.99 + d / 100 < 7: absolute errors of a few roundoffs of 8.
    check_within(download(backend, leaky.loss), download(backend, cooled.loss),
                 Array(20, 8.0 * kRoundoff * 8.0), "loss");
    check_close(download(backend, leaky.gradient), download(backend, cooled.gradient),
                8.0 * kRoundoff * 8.0, "gradient");
  });
}

TEST_CASE("loss: NaN, infinite and far distances") {
  for_each_backend([](Backend& backend) {
    Array d = random_array(3 * 20, 1, 0.0, 10.0);
    d[25] = std::nan("");
    for (const LeakyDistance& metric : kMetrics) {
      const LossResult got = loss_of(backend, d, metric);
      const Array loss = download(backend, got.loss), hit = download(backend, got.hit);
      const Array gradient = download(backend, got.gradient);
      CHECK(!std::isnan(loss[0]));
      CHECK(std::isnan(loss[1]));
      CHECK(!std::isnan(loss[2]));
      CHECK(hit[1] == 0.0);
      // Whatever the slope, the row of a NaN has no finite gradient where the slope is not 0.
      for (std::size_t k = 0; k < gradient.size(); ++k) {
        if (metric.slope != 0.0F) CHECK(std::isnan(gradient[k]) == (k / 20 == 1));
      }
    }
    // The largest distances f32 can square-sum to: the maximum is subtracted, nothing overflows.
    const Array far = random_array(3 * 20, 2, 1e37, 1e38);
    for (const double value : download(backend, loss_of(backend, far, {0.0F, 1.0F}).loss)) {
      CHECK(std::isfinite(value));
    }
  });
}

}  // namespace
}  // namespace protolith::test
