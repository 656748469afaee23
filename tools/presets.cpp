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

const char* name_of(MetricKind kind) {
  return kind == MetricKind::sed ? "sed" : "lsed";
}

/// What the protocols of Snell et al. (2017) share. The batch-norm scale starts uniform in [0, 1):
/// the default of the frameworks of the time, and what the published initial distances need.
Config published(MetricKind kind, float s) {
  Config config;
  config.metric.kind = kind;
  config.metric.s = s;
  config.metric.r = 0.01F;
  config.epoch_episodes = 100;
  config.patience = 200;
  config.max_epochs = 10000;
  config.adam = {1e-3F, 0.9F, 0.999F, 1e-8F};
  config.lr_halve_every = 2000;
  config.bn_init = "uniform";
  config.bn_eval = "running";
  return config;
}

std::string describe(const std::string& what, const Config& config) {
  const Metric& metric = config.metric;
  return fmt::format("{}, {}, the published protocol", what,
                     metric.kind == MetricKind::sed
                         ? "SED"
                         : fmt::format("LSED with s = {}, r = {}", metric.s, metric.r));
}

/// 20-way Omniglot with 60-way training and the fourth pool left out.
Preset omniglot(int shot, MetricKind kind) {
  Config config = published(kind, 0.0F);
  config.preset = fmt::format("omniglot-20w{}s-{}", shot, name_of(kind));
  config.data = "omniglot";
  config.train = {60, shot, 5, 0};
  config.val = {20, shot, 15, 100};
  config.test = {20, shot, 15, 1000};
  config.last_pool = false;
  return {describe(fmt::format("Omniglot 20-way {}-shot", shot), config), config};
}

/// 5-way miniImageNet, trained with 30 ways for 1 shot and 20 for 5.
Preset mini_imagenet(int shot, MetricKind kind) {
  Config config = published(kind, 4.0F);
  config.preset = fmt::format("mini-5w{}s-{}", shot, name_of(kind));
  config.data = "mini-imagenet";
  config.train = {shot == 1 ? 30 : 20, shot, 15, 0};
  config.val = {5, shot, 15, 100};
  config.test = {5, shot, 15, 600};
  config.last_pool = true;
  return {describe(fmt::format("miniImageNet 5-way {}-shot", shot), config), config};
}

}  // namespace

const std::vector<Preset>& presets() {
  static const std::vector<Preset> all = {
      demo(),
      omniglot(1, MetricKind::sed),
      omniglot(1, MetricKind::lsed),
      omniglot(5, MetricKind::sed),
      omniglot(5, MetricKind::lsed),
      mini_imagenet(1, MetricKind::sed),
      mini_imagenet(1, MetricKind::lsed),
      mini_imagenet(5, MetricKind::sed),
      mini_imagenet(5, MetricKind::lsed),
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
