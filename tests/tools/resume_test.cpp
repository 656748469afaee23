// Training runs that are interrupted, killed or changed, and resumed.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "engine/safetensors.h"
#include "tests/engine/temporary_folder.h"
#include "tests/tools/event_reader.h"
#include "tests/tools/training_run.h"

namespace protolith::testing {

TEST_CASE("20 episodes are 10 + resume + 10, bit for bit") {
  const TemporaryFolder scratch;
  TrainingRun whole(scratch, "whole", small_config());
  whole.train(false);
  Config half = small_config();
  half.train.episodes = 10;
  TrainingRun parts(scratch, "parts", half);
  parts.train(false);
  CHECK(parts.metrics().size() == 2);
  parts.config.train.episodes = 20;
  parts.train(true);
  CHECK(parts.warning.empty());
  CHECK(parts.state == whole.state);
  CHECK(parts.last() == whole.last());
  CHECK(parts.best() == whole.best());
  CHECK(parts.metrics() == whole.metrics());
}

TEST_CASE("an interruption at any episode, mid-epoch too, changes no bit") {
  const TemporaryFolder scratch;
  TrainingRun whole(scratch, "whole", small_config());
  whole.train(false);
  for (const std::int64_t at : {0, 1, 5, 7, 19}) {
    CAPTURE(at);
    TrainingRun parts(scratch, "parts" + std::to_string(at), small_config());
    const auto outcome =
        parts.train(false, [at](const Trainer& t) { return t.state().episodes == at; });
    CHECK(outcome == Trainer::Outcome::interrupted);
    CHECK(parts.state.episodes == at);
    CHECK(parts.train(true) == Trainer::Outcome::finished);
    CHECK(parts.last() == whole.last());
    CHECK(parts.best() == whole.best());
    CHECK(parts.metrics() == whole.metrics());
  }
}

TEST_CASE("a run killed between its metrics line and its checkpoint repeats the epoch once") {
  const TemporaryFolder scratch;
  TrainingRun whole(scratch, "whole", small_config());
  whole.train(false);
  TrainingRun killed(scratch, "killed", small_config());
  killed.train(false, [](const Trainer& t) { return t.state().episodes == 10; });
  killed.folder.append_metrics({{"epoch", 3}, {"val_loss", 0.5}});  // its checkpoint never came
  killed.train(true);
  CHECK(killed.metrics() == whole.metrics());
  CHECK(killed.last() == whole.last());
}

TEST_CASE("a run killed between its checkpoint and its best model has both after a resume") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 5;  // the first epoch is the best so far
  TrainingRun killed(scratch, "killed", config);
  killed.train(false);
  const std::string best = killed.best();
  config.seed = 2;
  TrainingRun other(scratch, "other", config);
  other.train(false);
  const auto evaluated = [&](const std::string& found) {
    spill(killed.folder.best_checkpoint(), found);
    spill(killed.folder.evaluation_file(), "{}");
    killed.train(true);
    CHECK(killed.best() == best);
    return std::filesystem::exists(killed.folder.evaluation_file());
  };
  CHECK_FALSE(evaluated(other.best()));
  CHECK_FALSE(evaluated(best.substr(0, 100)));
  CHECK(evaluated(best));
  std::filesystem::remove(killed.folder.best_checkpoint());
  killed.train(true);
  CHECK(killed.best() == best);

  // In the middle of the next epoch the model is another.
  killed.config.train.episodes = 20;
  killed.train(true, [](const Trainer& t) { return t.state().episodes == 7; });
  killed.train(true, [](const Trainer& t) { return t.state().episodes == 8; });
  CHECK(killed.best() == best);
}

/// Whether TensorBoard shows every line of metrics.jsonl, once, and nothing else.
bool events_are_metrics(const TrainingRun& run) {
  const std::vector<nlohmann::json> lines = run.metrics();
  auto shown = shown_scalars(run.folder.path());
  for (const auto& [tag, key] : {std::pair{"train/loss", "train_loss"},
                                 {"train/accuracy", "train_accuracy"},
                                 {"train/learning_rate", "learning_rate"},
                                 {"val/loss", "val_loss"},
                                 {"val/accuracy", "val_accuracy"}}) {
    std::vector<std::pair<std::int64_t, float>> expected;
    for (const nlohmann::json& line : lines) {
      expected.emplace_back(line["episodes"], static_cast<float>(line[key].get<double>()));
    }
    if (shown[tag] != expected) return false;
  }
  return shown.size() == 5;
}

TEST_CASE("TensorBoard's events follow metrics.jsonl through interruptions and lost checkpoints") {
  const TemporaryFolder scratch;
  for (const std::int64_t at : {0, 1, 5, 7, 19, 20}) {
    CAPTURE(at);
    TrainingRun run(scratch, "run" + std::to_string(at), small_config());
    run.train(false, [at](const Trainer& t) { return t.state().episodes == at; });
    CHECK(events_are_metrics(run));
    run.train(true);
    CHECK(run.metrics().size() == 4);
    CHECK(events_are_metrics(run));
    CHECK(event_files(run.folder.path()).size() == 2);
  }
  // A power cut that took the last checkpoints: the run goes on from an older one.
  TrainingRun lost(scratch, "lost", small_config());
  std::string checkpoint;
  lost.train(false, [&](const Trainer& t) {
    if (t.state().episodes == 10) checkpoint = lost.last();
    return false;
  });
  spill(lost.folder.last_checkpoint(), checkpoint);
  lost.train(true);
  CHECK(lost.metrics().size() == 4);
  CHECK(events_are_metrics(lost));
}

TEST_CASE("events that cannot be written stop the run after its checkpoint; a resume has them") {
  const TemporaryFolder scratch;
  TrainingRun whole(scratch, "whole", small_config());
  whole.train(false);
  TrainingRun run(scratch, "run", small_config());
  std::filesystem::path events;
  const auto block = [&](const Trainer& t) {
    if (t.state().episodes == 9) {
      events = event_files(run.folder.path()).at(0);
      std::filesystem::rename(events, scratch / "aside");
      std::filesystem::create_directory(events);
    }
    return false;
  };
  CHECK_THROWS_WITH_AS(run.train(false, block), doctest::Contains("tfevents"), Error);
  CHECK(run.metrics().size() == 2);
  CHECK(read_training_state(run.folder.last_checkpoint()).episodes == 10);
  std::filesystem::remove(events);
  std::filesystem::rename(scratch / "aside", events);
  run.train(true);
  CHECK(run.last() == whole.last());
  CHECK(run.metrics() == whole.metrics());
  CHECK(events_are_metrics(run));
}

TEST_CASE("resuming with other settings is refused and says which") {
  const TemporaryFolder scratch;
  TrainingRun run(scratch, "run", small_config());
  run.train(false);
  const auto refused = [&](const std::function<void(Config&)>& change, const char* named) {
    Config config = small_config();
    change(config);
    const auto backend = open_backend(config);
    Trainer trainer(*backend, config, glyphs(), run.folder);
    try {
      trainer.resume();
      FAIL("accepted");
    } catch (const UsageError& error) {
      CHECK_MESSAGE(std::string(error.what()).find(named) != std::string::npos, error.what());
    }
  };
  refused([](Config& c) { c.seed = 2; }, "seed = 2");
  refused([](Config& c) { c.last_pool = true; }, "last_pool = true");
  refused([](Config& c) { c.metric = Metric::parse("sed"); }, "metric");
  refused([](Config& c) { c.train.way = 6; }, "train_way = 6");
  refused([](Config& c) { c.adam.learning_rate = 2e-3F; }, "lr = ");
  refused([](Config& c) { c.convolution = "direct"; }, "convolution");
  if (cpu_has_bf16()) refused([](Config& c) { c.precision = "bf16"; }, "precision = \"bf16\"");
}

TEST_CASE("another number of threads resumes with a warning") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 5;
  config.threads = 1;
  TrainingRun run(scratch, "run", config);
  run.train(false);
  run.config.threads = 2;
  run.config.train.episodes = 10;
  run.train(true);
  CHECK(run.warning.find("1 threads") != std::string::npos);
  CHECK(run.warning.find("2 threads") != std::string::npos);
  CHECK(run.state.episodes == 10);
}

TEST_CASE("a run that was killed before its first checkpoint resumes from the start") {
  const TemporaryFolder scratch;
  TrainingRun whole(scratch, "whole", small_config());
  whole.train(false);
  TrainingRun killed(scratch, "killed", small_config());
  killed.folder.append_metrics({{"epoch", 1}, {"val_loss", 0.5}});
  killed.train(true);
  CHECK(killed.warning.find("anew") != std::string::npos);
  CHECK(killed.last() == whole.last());
  CHECK(killed.metrics() == whole.metrics());
}

TEST_CASE("a run whose last checkpoint is gone is not begun anew over its best one") {
  const TemporaryFolder scratch;
  TrainingRun run(scratch, "run", small_config());
  run.train(false);
  const std::string best = run.best();
  std::filesystem::remove(run.folder.last_checkpoint());
  CHECK_THROWS_WITH_AS(run.train(true), doctest::Contains("records more than one epoch"), Error);
  CHECK(run.best() == best);
  CHECK(run.metrics().size() == 4);
}

TEST_CASE("a training state that does not fit its run is refused") {
  const TemporaryFolder scratch;
  TrainingRun run(scratch, "run", small_config());
  run.train(false);
  auto file = read_safetensors(run.folder.last_checkpoint());
  auto state = nlohmann::json::parse(file.metadata["training_state"]);
  state["episodes"] = 12;  // and 4 epochs of 5
  file.metadata["training_state"] = state.dump();
  write_safetensors(run.folder.last_checkpoint(), file);
  CHECK_THROWS_AS(run.train(true), Error);
}

}  // namespace protolith::testing
