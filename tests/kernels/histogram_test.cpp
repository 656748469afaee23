#include "kernels/cpu/histogram.h"

#include <algorithm>

#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

using Counts = std::vector<std::int32_t>;

Counts counted(const Floats& values, const Floats& edges, bool magnitudes = false) {
  Counts counts(edges.size() + 2, -1);
  cpu::histogram(values.data(), static_cast<std::int64_t>(values.size()), edges.data(),
                 static_cast<std::int64_t>(edges.size()) - 1, magnitudes, counts.data());
  return counts;
}

/// One bin at a time, in double.
Counts recounted(const Floats& values, const Floats& edges, bool magnitudes) {
  const std::size_t bins = edges.size() - 1;
  Counts counts(bins + 3, 0);
  for (const float f : values) {
    const double v = magnitudes ? std::fabs(static_cast<double>(f)) : static_cast<double>(f);
    const auto edge = [&](std::size_t i) { return static_cast<double>(edges[i]); };
    if (std::isnan(v)) ++counts[bins + 2];
    if (v < edge(0)) ++counts[0];
    if (v > edge(bins)) ++counts[bins + 1];
    for (std::size_t i = 0; i < bins; ++i) {
      const bool last = i + 1 == bins;
      if (v >= edge(i) && (v < edge(i + 1) || (last && v == edge(i + 1)))) ++counts[i + 1];
    }
  }
  return counts;
}

TEST_CASE("histogram: bins are half open, the last one closed; what falls outside is counted") {
  const float infinity = std::numeric_limits<float>::infinity();
  const Floats values{-infinity, -1.0F, -0.5F, 0.0F, -0.0F, 0.5F, 1.0F, 2.0F, 2.5F, infinity, kNan};
  for_each_instruction_set([&] {
    CHECK(counted(values, {0.0F, 1.0F, 2.0F}) == Counts{3, 3, 2, 2, 1});
    CHECK(counted(values, {0.0F, 1.0F, 2.0F}, true) == Counts{0, 4, 3, 3, 1});
    CHECK(counted(values, {-1.0F, 2.0F}) == Counts{1, 7, 2, 1});
    CHECK(counted({}, {0.0F, 1.0F}) == Counts{0, 0, 0, 0});
  });
}

TEST_CASE("histogram: equals a recount in double, whatever the number of bins, values, threads") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const std::int64_t bins : {1, 2, 15, 16, 17, 60, 63, 64, 65, 200}) {
        for (const std::int64_t count : {1, 33, 18000, 70001}) {
          CAPTURE(bins);
          CAPTURE(count);
          Floats edges = normal(bins + 1, 5);
          std::sort(edges.begin(), edges.end());
          Floats values = normal(count, 6);
          // Values on an edge and right below one.
          for (std::size_t i = 0; i < values.size(); i += 3) {
            const float edge = edges[i % edges.size()];
            values[i] = i % 2 == 0 ? edge : std::nextafter(edge, -10.0F);
          }
          if (count > 10) values[7] = kNan;
          CHECK(counted(values, edges) == recounted(values, edges, false));
          CHECK(counted(values, edges, true) == recounted(values, edges, true));
        }
      }
    });
  });
}

}  // namespace
}  // namespace protolith::test
