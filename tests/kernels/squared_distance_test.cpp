#include "kernels/cpu/squared_distance.h"

#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

struct Shape {
  std::int64_t queries, prototypes, features;
};
constexpr Shape kShapes[] = {{1, 1, 1}, {3, 2, 5}, {5, 7, 65}, {75, 5, 64}, {41, 21, 577}};

double wide(float value) {
  return static_cast<double>(value);
}

TEST_CASE("row norms: no more roundings than features") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        const Floats x = normal(s.queries * s.features, 91);
        std::vector<double> expected(static_cast<std::size_t>(s.queries), 0.0);
        for (std::size_t i = 0; i < x.size(); ++i) {
          expected[i / static_cast<std::size_t>(s.features)] += wide(x[i]) * wide(x[i]);
        }
        Floats norms = floats(s.queries);
        cpu::row_squared_norms(x.data(), norms.data(), s.queries, s.features);
        // A square and at most as many additions as features.
        check_within(norms, expected, [&](std::size_t i) {
          return static_cast<double>(s.features + 1) * kRounding * expected[i];
        });
      }
    });
  });
}

TEST_CASE("direct distances: exact at zero, no more roundings than features") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        Floats q = normal(s.queries * s.features, 92, 10.0F);
        const Floats c = normal(s.prototypes * s.features, 93, 10.0F);
        std::copy(c.begin(), c.begin() + s.features, q.begin());  // query 0 is prototype 0
        std::vector<double> expected;
        const auto features = static_cast<std::size_t>(s.features);
        for (std::size_t i = 0; i < q.size(); i += features) {
          for (std::size_t j = 0; j < c.size(); j += features) {
            double total = 0.0;
            for (std::size_t k = 0; k < features; ++k) {
              const double difference = wide(q[i + k]) - wide(c[j + k]);
              total += difference * difference;
            }
            expected.push_back(total);
          }
        }
        Floats d(expected.size(), kNan);
        cpu::squared_distance_direct(q.data(), c.data(), d.data(), s.queries, s.prototypes,
                                     s.features);
        CHECK(d[0] == 0.0F);
        // The difference twice, the square and at most as many additions as features.
        check_within(d, expected, [&](std::size_t i) {
          return static_cast<double>(s.features + 3) * kRounding * expected[i];
        });
        // A pair's distance does not depend on where it stands among the others.
        Floats alone = floats(1);
        cpu::squared_distance_direct(q.data() + q.size() - features, c.data() + c.size() - features,
                                     alone.data(), 1, 1, s.features);
        CHECK(alone[0] == d.back());
      }
    });
  });
}

TEST_CASE("distance epilogue: rounded as written, clamped at 0, NaN kept") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        const Floats query_norms = normal(s.queries, 94, 3.0F);
        const Floats prototype_norms = normal(s.prototypes, 95, 3.0F);
        Floats d = normal(s.queries * s.prototypes, 96, 2.5F);
        d.back() = kNan;
        Floats expected;
        for (std::size_t i = 0; i < d.size(); ++i) {
          const auto prototypes = static_cast<std::size_t>(s.prototypes);
          const float value =
              query_norms[i / prototypes] + prototype_norms[i % prototypes] - 2.0F * d[i];
          expected.push_back(value <= 0.0F ? 0.0F : value);
        }
        cpu::distance_epilogue(query_norms.data(), prototype_norms.data(), d.data(), s.queries,
                               s.prototypes);
        CHECK(same(d, expected));
      }
    });
  });
}

TEST_CASE("row and column sums are rounded once") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        const Floats a = normal(s.queries * s.features, 97);
        std::vector<double> rows(static_cast<std::size_t>(s.queries), 0.0);
        std::vector<double> columns(static_cast<std::size_t>(s.features), 0.0);
        double magnitude = 0.0;
        for (std::size_t i = 0; i < a.size(); ++i) {
          rows[i / columns.size()] += wide(a[i]);
          columns[i % columns.size()] += wide(a[i]);
          magnitude += std::abs(wide(a[i]));
        }
        // One f32 rounding; both sums run in double, a relative 2^-53 per addition.
        const double in_double = 2.0 * static_cast<double>(a.size()) * 0x1p-53 * magnitude;
        Floats row_sums = floats(s.queries);
        cpu::row_sums(a.data(), row_sums.data(), s.queries, s.features);
        check_within(row_sums, rows,
                     [&](std::size_t i) { return kRounding * std::abs(rows[i]) + in_double; });
        Floats column_sums = floats(s.features);
        cpu::column_sums(a.data(), column_sums.data(), s.queries, s.features);
        check_within(column_sums, columns,
                     [&](std::size_t i) { return kRounding * std::abs(columns[i]) + in_double; });
      }
    });
  });
}

TEST_CASE("gradient epilogue: the product and the difference are rounded") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const Shape& s : kShapes) {
        const Floats x = normal(s.queries * s.features, 98);
        const Floats weights = normal(s.queries, 99);
        Floats out = normal(s.queries * s.features, 100);
        std::vector<double> expected;
        std::vector<double> magnitude;
        for (std::size_t i = 0; i < x.size(); ++i) {
          const double product =
              wide(weights[i / static_cast<std::size_t>(s.features)]) * wide(x[i]);
          expected.push_back(2.0 * (product - wide(out[i])));
          magnitude.push_back(2.0 * std::abs(product) + std::abs(expected.back()));
        }
        cpu::distance_backward_epilogue(x.data(), weights.data(), out.data(), s.queries,
                                        s.features);
        check_within(out, expected, [&](std::size_t i) { return kRounding * magnitude[i]; });
      }
    });
  });
}

}  // namespace
}  // namespace protolith::test
