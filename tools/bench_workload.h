// The fixed workloads that `protolith bench` times, and how it times.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "data/episode.h"
#include "data/image_set.h"

namespace protolith {

struct Workload {
  std::string name;
  std::string description;
  std::int64_t side, channels;  ///< of an image
  EpisodeShape training, evaluation;
  bool last_pool;
};

/// O: Omniglot; Op: without the last pool; M: miniImageNet.
std::span<const Workload> workloads();

/// A workload's four convolution blocks.
struct BlockShape {
  std::int64_t side, channels, filters;  ///< of the input, square
  bool pool;
};
std::vector<BlockShape> blocks_of(const Workload& workload);

/// Random images of the workload's size: 20 of each of 64 classes, or of as many as an episode has.
Dataset random_images(const Workload& workload);

/// How long calls took, in seconds.
struct Timing {
  double median = 0, min = 0, max = 0;

  /// One after the other.
  Timing& operator+=(const Timing& other);
};

/// `median_ms`, `min_ms` and `max_ms`, and `gflops`: what `gflop` in the median time are a second.
nlohmann::json to_json(const Timing& timing, double gflop);

/// Times `repeats` calls of call(i) after `warm` untimed ones, i counting both.
template <class F>
Timing time_calls(int warm, int repeats, F&& call) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  for (int i = 0; i < warm + repeats; ++i) {
    const auto start = Clock::now();
    call(static_cast<std::uint64_t>(i));
    if (i >= warm) {
      seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
    }
  }
  std::sort(seconds.begin(), seconds.end());
  return {seconds[seconds.size() / 2], seconds.front(), seconds.back()};
}

}  // namespace protolith
