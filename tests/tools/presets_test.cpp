#include "tools/presets.h"

#include <doctest/doctest.h>

#include "engine/check.h"
#include "tools/options.h"

namespace protolith {
namespace {

void check_episodes(const EpisodeConfig& actual, int way, int shot, int query,
                    std::int64_t episodes) {
  CHECK(actual.way == way);
  CHECK(actual.shot == shot);
  CHECK(actual.query == query);
  CHECK(actual.episodes == episodes);
}

/// What Snell et al. (2017) do on both data sets.
void check_schedule(const Config& config) {
  CHECK(config.epoch_episodes == 100);
  CHECK(config.patience == 200);
  CHECK(config.max_epochs == 10000);
  CHECK(config.adam.learning_rate == 1e-3F);
  CHECK(config.adam.beta1 == 0.9F);
  CHECK(config.adam.beta2 == 0.999F);
  CHECK(config.adam.epsilon == 1e-8F);
  CHECK(config.lr_halve_every == 2000);
  CHECK(config.bn_init == "uniform");
  CHECK(config.bn_eval == "running");
  CHECK_FALSE(config.trainval);
}

/// Omniglot, 20-way; LSED with s = 0, r = 0.01.
void check_omniglot(const std::string& name, int shot, const std::string& metric) {
  CAPTURE(name);
  const Config config = preset_config(name);
  CHECK(config.preset == name);
  CHECK(config.data == "omniglot");
  CHECK(to_string(config.metric) == metric);
  check_episodes(config.train, 60, shot, 5, 0);
  check_episodes(config.val, 20, shot, 15, 100);
  check_episodes(config.test, 20, shot, 15, 1000);
  CHECK_FALSE(config.last_pool);
  check_schedule(config);
}

/// miniImageNet, 5-way; LSED with s = 4, r = 0.01.
void check_mini_imagenet(const std::string& name, int train_way, int shot,
                         const std::string& metric) {
  CAPTURE(name);
  const Config config = preset_config(name);
  CHECK(config.preset == name);
  CHECK(config.data == "mini-imagenet");
  CHECK(to_string(config.metric) == metric);
  check_episodes(config.train, train_way, shot, 15, 0);
  check_episodes(config.val, 5, shot, 15, 100);
  check_episodes(config.test, 5, shot, 15, 600);
  CHECK(config.last_pool);
  check_schedule(config);
}

TEST_CASE("the Omniglot presets are the published protocol") {
  check_omniglot("omniglot-20w1s-sed", 1, "sed");
  check_omniglot("omniglot-20w1s-lsed", 1, "lsed:0:0.01");
  check_omniglot("omniglot-20w5s-sed", 5, "sed");
  check_omniglot("omniglot-20w5s-lsed", 5, "lsed:0:0.01");
}

TEST_CASE("the miniImageNet presets are the published protocol") {
  check_mini_imagenet("mini-5w1s-sed", 30, 1, "sed");
  check_mini_imagenet("mini-5w1s-lsed", 30, 1, "lsed:4:0.01");
  check_mini_imagenet("mini-5w5s-sed", 20, 5, "sed");
  check_mini_imagenet("mini-5w5s-lsed", 20, 5, "lsed:4:0.01");
}

TEST_CASE("the demo needs no data and ends by itself") {
  const Config config = preset_config("demo");
  CHECK(config.data == "synthetic");
  CHECK(config.train.episodes > 0);
  CHECK(config.train.episodes % config.epoch_episodes == 0);
  CHECK(resolve_config({}, {}).preset == "demo");
}

TEST_CASE("every preset passes its own options' checks") {
  for (const Preset& preset : presets()) {
    Config again;
    for (const ConfigOption& option : config_options()) {
      CHECK_NOTHROW(option.set(again, option.get(preset.config)));
    }
    CHECK(differing_keys(again, preset.config).empty());
    CHECK(!preset.description.empty());
  }
  CHECK_THROWS_WITH_AS(preset_config("x"), doctest::Contains("use one of demo, omniglot-20w1s-sed"),
                       UsageError);
}

}  // namespace
}  // namespace protolith
