#pragma once

#include <cstdint>
#include <string>

#include "data/folder_options.h"
#include "engine/backend.h"
#include "models/metric.h"

namespace protolith {

/// Ways x (shots + queries) of an episode, and how many episodes.
struct EpisodeConfig {
  int way = 20;
  int shot = 1;
  int query = 15;
  std::int64_t episodes = 100;
};

/// The most episodes, and epochs, that a number in a configuration may ask for.
inline constexpr std::int64_t kMaxEpisodes = 1'000'000'000'000;

/// Everything that a training run depends on. Precedence: defaults < preset < file < flags.
struct Config {
  std::string preset = "demo";
  std::string data = "synthetic";  ///< KIND or KIND:PATH
  FolderOptions folder;            ///< of the data kind `folder`
  Metric metric;
  DistanceMethod distance = DistanceMethod::gemm;

  EpisodeConfig train{60, 1, 5, 0};  ///< episodes: training episodes in all; 0: until patience
  EpisodeConfig val{20, 1, 15, 100};
  EpisodeConfig test{20, 1, 15, 1000};
  std::int64_t epoch_episodes = 100;
  std::int64_t patience = 200;  ///< epochs without a better validation loss
  std::int64_t max_epochs = 10000;
  std::int64_t histogram_every = 0;  ///< episodes between gradient histograms; 0: none

  AdamOptions adam;
  std::int64_t lr_halve_every = 2000;  ///< episodes; 0: never
  bool trainval = false;               ///< train on the training and validation classes together

  std::string bn_init = "uniform";  ///< gamma: "uniform" in [0, 1) or "ones"
  std::string bn_eval = "running";  ///< statistics in evaluation: "running" or "episode"
  /// "fused" (with ReLU and pool), "cudnn", "composed" of single operations, or "auto": cudnn on
  /// CUDA, fused on the CPU.
  std::string batch_norm = "auto";
  bool last_pool = true;  ///< the fourth block's pool

  std::string device = "auto";
  int threads = 0;  ///< 0: one per core
  std::uint64_t seed = 1;
  /// Of convolutions: "fp32", "tf32" (CUDA), "bf16" (CPU), or "auto": tf32 on CUDA, else fp32.
  std::string precision = "auto";
  /// Of blocks, on the CPU: "winograd", "direct", or "auto": direct in bf16, else winograd.
  std::string convolution = "auto";
  bool deterministic = true;
  bool graph = true;  ///< a training step on CUDA is one graph launch
};

}  // namespace protolith
