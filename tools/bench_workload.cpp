#include "tools/bench_workload.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>

#include "engine/random.h"
#include "models/conv4.h"

namespace protolith {

std::span<const Workload> workloads() {
  static const std::array<Workload, 3> all{
      {{"O", "Omniglot, 60-way 1-shot 5-query", 28, 1, {60, 1, 5}, {20, 1, 5}, true},
       {"Op",
        "Omniglot, 60-way 1-shot 5-query, no last pool",
        28,
        1,
        {60, 1, 5},
        {20, 1, 5},
        false},
       {"M", "miniImageNet, 30-way 1-shot 15-query", 84, 3, {30, 1, 15}, {5, 1, 15}, true}}};
  return all;
}

std::vector<BlockShape> blocks_of(const Workload& workload) {
  constexpr std::int64_t kFilters = 64;
  std::vector<BlockShape> blocks;
  std::int64_t side = workload.side;
  std::int64_t channels = workload.channels;
  for (int block = 0; block < Conv4::kBlocks; ++block) {
    const bool last = block + 1 == Conv4::kBlocks;
    blocks.push_back({side, channels, kFilters, !last || workload.last_pool});
    side /= 2;
    channels = kFilters;
  }
  return blocks;
}

Dataset random_images(const Workload& workload) {
  const auto classes = static_cast<std::int32_t>(
      std::max<std::int64_t>({64, workload.training.way, workload.evaluation.way}));
  constexpr std::int32_t kImages = 20;
  Dataset dataset;
  dataset.kind = "random";
  dataset.preprocessing = "none";
  dataset.images =
      Tensor::host({classes * kImages, workload.side, workload.side, workload.channels}, DType::u8);
  Random random(0, Purpose::test);
  for (std::uint8_t& pixel : dataset.images.host_span<std::uint8_t>()) {
    pixel = static_cast<std::uint8_t>(random.bits() >> 24);
  }
  dataset.scale.assign(static_cast<std::size_t>(workload.channels), 1.0F / 255.0F);
  dataset.shift.assign(static_cast<std::size_t>(workload.channels), 0.0F);
  for (std::int32_t c = 0; c < classes; ++c) {
    dataset.splits[0].push_back({fmt::format("class {}", c), c * kImages, kImages, 0});
  }
  return dataset;
}

Timing& Timing::operator+=(const Timing& other) {
  median += other.median;
  min += other.min;
  max += other.max;
  return *this;
}

nlohmann::json to_json(const Timing& timing, double gflop) {
  return {{"median_ms", 1e3 * timing.median},
          {"min_ms", 1e3 * timing.min},
          {"max_ms", 1e3 * timing.max},
          {"gflops", gflop / timing.median}};
}

}  // namespace protolith
