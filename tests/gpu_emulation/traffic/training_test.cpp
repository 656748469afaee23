// What is left of a training step: its data, its optimizer, its scores.
#include <numeric>

#include "kernels/cuda/adam.h"
#include "kernels/cuda/episode_gather.h"
#include "kernels/cuda/gather_rows.h"
#include "kernels/cuda/histogram.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/scores.h"
#include "tests/gpu_emulation/traffic/support.h"

namespace protolith::test {
namespace {

/// 0, 1, 2, ...: no image or row twice, which a cache would hold.
std::vector<std::int32_t> ascending(std::int64_t count) {
  std::vector<std::int32_t> values(static_cast<std::size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

TEST_CASE("traffic of Adam") {
  for (const std::int64_t count : {1, 255, 1025, 5003}) {
    CAPTURE(count);
    DeviceArray<float> p(normal(count, 1)), m(normal(count, 2)), v(normal(count, 3, 9.0F));
    const DeviceArray<float> g(normal(count, 4));
    const DeviceArray<float> schedule(std::vector<float>{1e-3F, 1.0F});
    const DeviceArray<float> failed(std::vector<float>{0.0F});
    check_traffic(
        cuda::adam_step_traffic(count),
        [&] {
          cuda::adam_step(p.data(), g.data(), m.data(), v.data(), count, {0.9F, 0.999F, 1e-8F},
                          schedule.data(), failed.data(), nullptr);
        },
        p, g, m, v, schedule, failed);
  }
}

TEST_CASE("traffic of an episode's batch") {
  for (const std::int64_t side : {1, 5, 12}) {
    for (const std::int64_t channels : {1, 3}) {
      CAPTURE(side);
      CAPTURE(channels);
      constexpr std::int64_t kCount = 10;
      const std::int64_t elements = kCount * side * side * channels;
      const DeviceArray<std::uint8_t> images(
          std::vector<std::uint8_t>(static_cast<std::size_t>(elements), 7));
      std::vector<std::int32_t> quarters = ascending(kCount);
      for (std::int32_t& turn : quarters) turn %= 4;
      const DeviceArray<std::int32_t> indices(ascending(kCount)), turns(quarters);
      const DeviceArray<float> scale(normal(channels, 5)), shift(normal(channels, 6));
      DeviceArray<float> out(elements);
      check_traffic(
          cuda::episode_gather_traffic(kCount, side, side, channels),
          [&] {
            cuda::episode_gather(images.data(), kCount, indices.data(), turns.data(), kCount, side,
                                 side, channels, scale.data(), shift.data(), out.data(), nullptr);
          },
          images, indices, turns, scale, shift, out);
    }
  }
}

TEST_CASE("traffic of rows by index") {
  for (const std::int64_t features : {1, 3, 64, 1030}) {
    CAPTURE(features);
    constexpr std::int64_t kCount = 9;
    const DeviceArray<float> table(normal(kCount * features, 7));
    const DeviceArray<std::int32_t> indices(ascending(kCount));
    DeviceArray<float> out(kCount * features);
    check_traffic(
        cuda::gather_rows_traffic(features, kCount),
        [&] {
          cuda::gather_rows(table.data(), kCount, features, indices.data(), kCount, out.data(),
                            nullptr);
        },
        table, indices, out);
  }
}

TEST_CASE("traffic of placed rows") {
  constexpr std::int64_t kOffset = 20;
  for (const std::int64_t count : {1, 64, 300}) {
    for (const std::int64_t all : {320, 1025}) {
      CAPTURE(count);
      CAPTURE(all);
      const DeviceArray<float> source(normal(count, 8));
      DeviceArray<float> target(all);
      check_traffic(
          cuda::place_rows_traffic(count, all),
          [&] { cuda::place_rows(source.data(), count, target.data(), kOffset, all, nullptr); },
          source, target);
    }
  }
}

TEST_CASE("traffic of the scores") {
  for (const std::int64_t rows : {1, 75, 300}) {
    CAPTURE(rows);
    const DeviceArray<float> loss(std::vector<float>{1.5F}), hit(normal(rows, 9));
    const DeviceArray<std::int32_t> slot(std::vector<std::int32_t>{1});
    DeviceArray<float> ring(4), failed(std::vector<float>{0.0F});
    check_traffic(
        cuda::record_scores_traffic(rows),
        [&] {
          cuda::record_scores(loss.data(), hit.data(), rows, slot.data(), ring.data(), 2,
                              failed.data(), nullptr);
        },
        loss, hit, slot, ring, failed);
  }
}

TEST_CASE("traffic of a histogram none of whose counts is 0") {
  for (const std::int64_t bins : {1, 10, 1000, 7000}) {  // the last ones do not fit a block
    CAPTURE(bins);
    std::vector<float> edges, values{-1.0F, kNan, static_cast<float>(bins) + 1.0F};
    for (std::int64_t i = 0; i <= bins; ++i) edges.push_back(static_cast<float>(i));
    for (std::int64_t i = 0; i < bins; ++i) values.push_back(static_cast<float>(i) + 0.5F);
    const DeviceArray<float> all(values), places(edges);
    DeviceArray<std::int32_t> counts(bins + 3);
    const auto count = static_cast<std::int64_t>(values.size());
    check_traffic(
        cuda::histogram_traffic(count, bins),
        [&] {
          cuda::histogram(all.data(), count, places.data(), bins, false, counts.data(), nullptr);
        },
        all, places, counts);
  }
}

}  // namespace
}  // namespace protolith::test
