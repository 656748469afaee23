#include "tools/presets.h"

#include "engine/check.h"

namespace protolith {
namespace {

/// Training for seconds on generated glyphs; needs no data.
Preset demo() {
  Config config;
  config.preset = "demo";
  config.data = "synthetic";
  config.train = {20, 1, 5, 400};
  config.val = {20, 1, 5, 50};
  config.test = {20, 1, 5, 400};
  config.epoch_episodes = 50;
  config.last_pool = false;
  return {"generated glyphs, 20-way 1-shot, 400 episodes: seconds, no data needed", config};
}

/// 20-way Omniglot as in Snell et al. (2017), with 60-way training and the fourth pool left out.
/// The batch-norm scale starts uniform in [0, 1): the default of the frameworks of the time, and
/// what the published initial distances need.
Preset omniglot(int shot, MetricKind kind) {
  const std::string metric = kind == MetricKind::sed ? "sed" : "lsed";
  Config config;
  config.preset = fmt::format("omniglot-20w{}s-{}", shot, metric);
  config.data = "omniglot";
  config.metric.kind = kind;
  config.metric.s = 0.0F;
  config.metric.r = 0.01F;
  config.train = {60, shot, 5, 0};
  config.val = {20, shot, 15, 100};
  config.test = {20, shot, 15, 1000};
  config.epoch_episodes = 100;
  config.patience = 200;
  config.max_epochs = 10000;
  config.adam = {1e-3F, 0.9F, 0.999F, 1e-8F};
  config.lr_halve_every = 2000;
  config.bn_init = "uniform";
  config.bn_eval = "running";
  config.last_pool = false;
  return {fmt::format("Omniglot 20-way {}-shot, {}, the published protocol", shot,
                      kind == MetricKind::sed ? "SED" : "LSED with s = 0, r = 0.01"),
          config};
}

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {
      demo(),
      omniglot(1, MetricKind::sed),
      omniglot(1, MetricKind::lsed),
      omniglot(5, MetricKind::sed),
      omniglot(5, MetricKind::lsed),
  };
  return all;
}

Config preset_config(const std::string& name) {
  std::string names;
  for (const Preset& preset : presets()) {
    if (preset.config.preset == name) return preset.config;
    names += (names.empty() ? "" : ", ") + preset.config.preset;
  }
  throw UsageError(fmt::format("unknown preset '{}'; use one of {}", name, names));
}

}  // namespace protolith
