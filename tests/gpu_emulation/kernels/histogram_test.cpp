#include "kernels/cuda/histogram.h"

#include <algorithm>

#include "tests/gpu_emulation/kernels/support.h"

namespace protolith::test {
namespace {

using Floats = std::vector<float>;
using Counts = std::vector<std::int32_t>;

Counts counted(const Floats& values, const Floats& edges, bool magnitudes = false, int skew = 0) {
  const DeviceArray<float> v(values, skew), e(edges, skew);
  DeviceArray<std::int32_t> counts(static_cast<std::int64_t>(edges.size()) + 2, skew);
  cuda::histogram(v.data(), static_cast<std::int64_t>(values.size()), e.data(),
                  static_cast<std::int64_t>(edges.size()) - 1, magnitudes, counts.data(), nullptr);
  return counts.values();
}

/// One edge after the other, in double.
Counts recounted(const Floats& values, const Floats& edges, bool magnitudes) {
  const std::size_t bins = edges.size() - 1;
  Counts counts(bins + 3, 0);
  for (const float f : values) {
    const double v = magnitudes ? std::fabs(static_cast<double>(f)) : static_cast<double>(f);
    std::size_t place = 0;
    while (place <= bins && v >= static_cast<double>(edges[place])) ++place;
    if (v == static_cast<double>(edges[bins])) place = bins;
    ++counts[std::isnan(v) ? bins + 2 : place];
  }
  return counts;
}

TEST_CASE("histogram: bins are half open, the last one closed; what falls outside is counted") {
  const float infinity = std::numeric_limits<float>::infinity();
  const Floats values{-infinity, -1.0F, -0.5F, 0.0F, -0.0F, 0.5F, 1.0F, 2.0F, 2.5F, infinity, kNan};
  CHECK(counted(values, {0.0F, 1.0F, 2.0F}) == Counts{3, 3, 2, 2, 1});
  CHECK(counted(values, {0.0F, 1.0F, 2.0F}, true) == Counts{0, 4, 3, 3, 1});
  CHECK(counted(values, {-1.0F, 2.0F}) == Counts{1, 7, 2, 1});
  CHECK(counted({}, {0.0F, 1.0F}) == Counts{0, 0, 0, 0});
}

void check_recount(std::int64_t bins, std::int64_t count) {
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
  for (const bool magnitudes : {false, true}) {
    const Counts expected = recounted(values, edges, magnitudes);
    for_each_order([&] {
      CHECK(counted(values, edges, magnitudes, 0) == expected);
      CHECK(counted(values, edges, magnitudes, 1) == expected);
    });
  }
}

TEST_CASE("histogram: equals a recount in double, whatever the number of bins and values") {
  for (const std::int64_t bins : {1, 2, 3, 16, 60, 63, 64, 255, 256, 700}) {
    for (const std::int64_t count : {1, 33, 4096, 18001}) check_recount(bins, count);
  }
  // The most bins that fit shared memory, and one more.
  for (const std::int64_t bins : {6142, 6143}) check_recount(bins, 300);
}

TEST_CASE("histogram: more values than one round of all blocks takes") {
  const std::int64_t count = 1024 * 4096 + 4096 + 3;
  Floats values(static_cast<std::size_t>(count), 0.5F);
  values.back() = 2.0F;
  const Floats edges{0.0F, 1.0F};
  CHECK(counted(values, edges) == Counts{0, static_cast<std::int32_t>(count) - 1, 1, 0});
}

}  // namespace
}  // namespace protolith::test
