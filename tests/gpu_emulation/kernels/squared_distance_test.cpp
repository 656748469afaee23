#include "kernels/cuda/squared_distance.h"

#include <algorithm>

#include "tests/gpu_emulation/kernels/same.h"
#include "tests/gpu_emulation/kernels/support.h"
#include "tests/reference/distance.h"

namespace protolith::test {
namespace {

using Floats = std::vector<float>;

struct Shape {
  std::int64_t queries, prototypes, features;
};
// Single elements, an episode's shapes, and one less and one more than the kernels' tiles.
constexpr Shape kShapes[] = {{1, 1, 1},     {3, 2, 5},   {5, 7, 65},    {16, 16, 64},
                             {17, 15, 128}, {75, 5, 64}, {31, 8, 63},   {41, 21, 577},
                             {33, 60, 132}, {2, 300, 4}, {257, 33, 12}, {8, 1, 1600}};

// check(shape, skew) with no array skewed (skew 0), then with array 1, 2 ... kArrays alone.
template <int kArrays, class F>
void for_each_shape(F check) {
  for (const Shape& s : kShapes) {
    for (int skew = 0; skew <= kArrays; ++skew) {
      CAPTURE(s.queries);
      CAPTURE(s.prototypes);
      CAPTURE(s.features);
      CAPTURE(skew);
      check(s, skew);
    }
  }
}

std::vector<double> wide(const Floats& values) {
  return {values.begin(), values.end()};
}

TEST_CASE("squared distance: norms of both sides, no more roundings than features") {
  for_each_shape<3>([](const Shape& s, int skew) {
    const DeviceArray<float> q(normal(s.queries * s.features, 91), skew == 1);
    const DeviceArray<float> c(normal(s.prototypes * s.features, 92), skew == 2);
    const reference::Array origin = reference::zeros(s.features);
    std::vector<double> expected =
        reference::squared_distances(wide(q.values()), origin, s.features);
    const auto more = reference::squared_distances(wide(c.values()), origin, s.features);
    expected.insert(expected.end(), more.begin(), more.end());
    for_each_order([&] {
      DeviceArray<float> norms(s.queries + s.prototypes, skew == 3);
      cuda::both_squared_norms(q.data(), s.queries, c.data(), s.prototypes, s.features,
                               norms.data(), nullptr);
      // A square and at most as many additions as features.
      check_within(norms.values(), expected, [&](std::size_t i) {
        return static_cast<double>(s.features + 1) * kRounding * expected[i];
      });
    });
  });
}

TEST_CASE("squared distance: direct is exact at zero, no more roundings than features") {
  for_each_shape<3>([](const Shape& s, int skew) {
    Floats queries = normal(s.queries * s.features, 93, 10.0F);
    const Floats prototypes = normal(s.prototypes * s.features, 94, 10.0F);
    // Query 0 is prototype 0.
    std::copy(prototypes.begin(), prototypes.begin() + s.features, queries.begin());
    const auto expected = reference::squared_distances(wide(queries), wide(prototypes), s.features);
    const DeviceArray<float> q(queries, skew == 1), c(prototypes, skew == 2);
    for_each_order([&] {
      DeviceArray<float> d(s.queries * s.prototypes, skew == 3);
      cuda::squared_distance_direct(q.data(), c.data(), d.data(), s.queries, s.prototypes,
                                    s.features, nullptr);
      CHECK(d.data()[0] == 0.0F);
      // The difference twice, the square and at most as many additions as features.
      check_within(d.values(), expected, [&](std::size_t i) {
        return static_cast<double>(s.features + 3) * kRounding * expected[i];
      });
      // A pair's distance does not depend on where it stands among the others.
      DeviceArray<float> alone(1);
      cuda::squared_distance_direct(q.data() + (s.queries - 1) * s.features,
                                    c.data() + (s.prototypes - 1) * s.features, alone.data(), 1, 1,
                                    s.features, nullptr);
      CHECK(alone.data()[0] == d.values().back());
    });
  });
}

TEST_CASE("squared distance: a NaN or an infinity stays with its rows") {
  const Shape s{20, 18, 70};
  for (const float spoilt : {kNan, std::numeric_limits<float>::infinity()}) {
    Floats queries = normal(s.queries * s.features, 95);
    queries[static_cast<std::size_t>(17 * s.features + 69)] = spoilt;
    const DeviceArray<float> q(queries), c(normal(s.prototypes * s.features, 96));
    DeviceArray<float> d(s.queries * s.prototypes), norms(s.queries + s.prototypes);
    cuda::squared_distance_direct(q.data(), c.data(), d.data(), s.queries, s.prototypes, s.features,
                                  nullptr);
    cuda::both_squared_norms(q.data(), s.queries, c.data(), s.prototypes, s.features, norms.data(),
                             nullptr);
    for (std::int64_t i = 0; i < s.queries * s.prototypes; ++i) {
      REQUIRE((i / s.prototypes == 17) == !std::isfinite(d.data()[i]));
    }
    for (std::int64_t i = 0; i < s.queries + s.prototypes; ++i) {
      REQUIRE((i == 17) == !std::isfinite(norms.data()[i]));
    }
  }
}

TEST_CASE("squared distance: the epilogue is rounded as written, clamped at 0, NaN kept") {
  for_each_shape<3>([](const Shape& s, int skew) {
    const DeviceArray<float> query_norms(normal(s.queries, 94, 3.0F), skew == 1);
    const DeviceArray<float> prototype_norms(normal(s.prototypes, 95, 3.0F), skew == 2);
    Floats products = normal(s.queries * s.prototypes, 96, 2.5F);
    products.back() = kNan;
    Floats expected;
    for (std::size_t i = 0; i < products.size(); ++i) {
      const auto row = static_cast<std::int64_t>(i) / s.prototypes;
      const auto column = static_cast<std::int64_t>(i) % s.prototypes;
      const float value =
          query_norms.data()[row] + prototype_norms.data()[column] - 2.0F * products[i];
      expected.push_back(value <= 0.0F ? 0.0F : value);
    }
    for_each_order([&] {
      DeviceArray<float> d(products, skew == 3);
      cuda::distance_epilogue(query_norms.data(), prototype_norms.data(), d.data(), s.queries,
                              s.prototypes, nullptr);
      CHECK(same(d.values(), expected));
    });
  });
}

TEST_CASE("squared distance: row and column sums are rounded once") {
  for_each_shape<2>([](const Shape& s, int skew) {
    const std::int64_t rows = s.queries, columns = s.features;
    const DeviceArray<float> a(normal(rows * columns, 97), skew == 1);
    std::vector<double> of_rows(static_cast<std::size_t>(rows), 0.0);
    std::vector<double> of_columns(static_cast<std::size_t>(columns), 0.0);
    double magnitude = 0.0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const auto value = static_cast<double>(a.data()[i]);
      of_rows[i / of_columns.size()] += value;
      of_columns[i % of_columns.size()] += value;
      magnitude += std::abs(value);
    }
    // One f32 rounding; both sums run in double, a relative 2^-53 per addition.
    const double in_double = 2.0 * static_cast<double>(rows + columns) * 0x1p-53 * magnitude;
    for_each_order([&] {
      DeviceArray<float> row_sums(rows), column_sums(columns, skew == 2);
      cuda::row_and_column_sums(a.data(), rows, columns, row_sums.data(), column_sums.data(),
                                nullptr);
      check_within(row_sums.values(), of_rows,
                   [&](std::size_t i) { return kRounding * std::abs(of_rows[i]) + in_double; });
      check_within(column_sums.values(), of_columns,
                   [&](std::size_t i) { return kRounding * std::abs(of_columns[i]) + in_double; });
    });
  });
}

// 2 * (weights[row] * x - product) in double.
std::vector<double> finished(const Floats& x, const Floats& weights, const Floats& product,
                             std::int64_t features) {
  std::vector<double> expected;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const auto weight = static_cast<double>(weights[i / static_cast<std::size_t>(features)]);
    expected.push_back(2.0 *
                       (weight * static_cast<double>(x[i]) - static_cast<double>(product[i])));
  }
  return expected;
}

TEST_CASE("squared distance: both gradients are finished with one rounding") {
  for_each_shape<5>([](const Shape& s, int skew) {
    const DeviceArray<float> q(normal(s.queries * s.features, 98), skew == 1);
    const DeviceArray<float> c(normal(s.prototypes * s.features, 99), skew == 2);
    const DeviceArray<float> row_sums(normal(s.queries, 100));
    const DeviceArray<float> column_sums(normal(s.prototypes, 101), skew == 5);
    const Floats q_product = normal(s.queries * s.features, 102);
    const Floats c_product = normal(s.prototypes * s.features, 103);
    const auto for_q = finished(q.values(), row_sums.values(), q_product, s.features);
    const auto for_c = finished(c.values(), column_sums.values(), c_product, s.features);
    for_each_order([&] {
      DeviceArray<float> dq(q_product, skew == 3), dc(c_product, skew == 4);
      cuda::distance_backward_epilogues(q.data(), row_sums.data(), dq.data(), s.queries, c.data(),
                                        column_sums.data(), dc.data(), s.prototypes, s.features,
                                        nullptr);
      // The multiply-add; doubling is exact.
      check_within(dq.values(), for_q,
                   [&](std::size_t i) { return kRounding * std::abs(for_q[i]); });
      check_within(dc.values(), for_c,
                   [&](std::size_t i) { return kRounding * std::abs(for_c[i]); });
    });
  });
}

// op(a) b as a GEMM gives it, exact: small multiples of a power of two.
Floats product(const Floats& a, bool transpose, const Floats& b, std::int64_t rows,
               std::int64_t inner, std::int64_t columns) {
  Floats out(static_cast<std::size_t>(rows * columns), 0.0F);
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      for (std::int64_t k = 0; k < inner; ++k) {
        const auto from = static_cast<std::size_t>(transpose ? k * rows + i : i * inner + k);
        out[static_cast<std::size_t>(i * columns + j)] +=
            a[from] * b[static_cast<std::size_t>(k * columns + j)];
      }
    }
  }
  return out;
}

TEST_CASE("squared distance: the steps together are the gradient of the definition, exactly") {
  const Shape s{21, 10, 36};
  const Floats queries = quarters(s.queries * s.features, 104);
  const Floats prototypes = quarters(s.prototypes * s.features, 105);
  const Floats dd = quarters(s.queries * s.prototypes, 106);
  const auto expected =
      reference::squared_distances_backward(wide(queries), wide(prototypes), wide(dd), s.features);
  const DeviceArray<float> q(queries), c(prototypes), slopes(dd);
  DeviceArray<float> row_sums(s.queries), column_sums(s.prototypes);
  DeviceArray<float> dq(product(dd, false, prototypes, s.queries, s.prototypes, s.features));
  DeviceArray<float> dc(product(dd, true, queries, s.prototypes, s.queries, s.features));
  cuda::row_and_column_sums(slopes.data(), s.queries, s.prototypes, row_sums.data(),
                            column_sums.data(), nullptr);
  cuda::distance_backward_epilogues(q.data(), row_sums.data(), dq.data(), s.queries, c.data(),
                                    column_sums.data(), dc.data(), s.prototypes, s.features,
                                    nullptr);
  CHECK(wide(dq.values()) == expected.dq);
  CHECK(wide(dc.values()) == expected.dc);
}

}  // namespace
}  // namespace protolith::test
