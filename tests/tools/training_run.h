// A small training run, for tests of training and of resuming.
#pragma once

#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "tests/engine/temporary_folder.h"
#include "tests/tools/glyphs.h"
#include "tools/session.h"
#include "tools/trainer.h"

namespace protolith::testing {

/// 20 episodes of 5 ways in 4 epochs.
inline Config small_config() {
  Config config;
  config.train = {5, 1, 2, 20};
  config.val = {5, 1, 2, 4};
  config.test = {5, 1, 2, 10};
  config.epoch_episodes = 5;
  config.patience = 100;
  config.last_pool = false;
  config.metric = Metric::parse("lsed");
  return config;
}

/// A run on generated glyphs, made, trained and read back.
struct TrainingRun {
  explicit TrainingRun(const TemporaryFolder& parent, const std::string& name,
                       const Config& settings)
      : config(settings), folder(RunFolder::create(settings, (parent / name).string())) {}

  /// Trains on a fresh backend; stops when `stop` says so.
  Trainer::Outcome train(bool resume, const std::function<bool(const Trainer&)>& stop = {}) {
    const auto backend = open_backend(config);
    Trainer trainer(*backend, config, glyphs(), folder);
    if (resume) warning = trainer.resume();
    std::ostringstream shown;
    Progress progress(shown, Progress::Style::plain, [&] {  // an episode takes a second
      return static_cast<double>(trainer.state().episodes);
    });
    const Trainer::Outcome outcome = trainer.run(progress, [&] { return stop && stop(trainer); });
    state = trainer.state();
    shown_lines = shown.str();
    return outcome;
  }
  std::string last() const { return slurp(folder.last_checkpoint()); }
  std::string best() const { return slurp(folder.best_checkpoint()); }
  /// metrics.jsonl without times and memory.
  std::vector<nlohmann::json> metrics() const {
    std::vector<nlohmann::json> lines;
    std::istringstream file(slurp(folder.metrics_file()));
    for (std::string line; std::getline(file, line);) {
      lines.push_back(nlohmann::json::parse(line));
      lines.back().erase("seconds");
      lines.back().erase("peak_memory_mb");
    }
    return lines;
  }

  Config config;
  RunFolder folder;
  std::string warning;
  std::string shown_lines;  ///< by the last training
  TrainingState state;
};

}  // namespace protolith::testing
