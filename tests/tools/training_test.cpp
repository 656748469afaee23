// Training, resuming and evaluating on a small generated data set.
#include <doctest/doctest.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "engine/safetensors.h"
#include "tests/engine/temporary_folder.h"
#include "tests/tools/event_reader.h"
#include "tests/tools/glyphs.h"
#include "tools/session.h"
#include "tools/trainer.h"

namespace {
std::atomic<std::int64_t> aligned_blocks = 0;
}

// The linker sends our libraries' calls of aligned_alloc, which host tensors come from, through
// here (tests/CMakeLists.txt).
extern "C" void* __real_aligned_alloc(std::size_t alignment, std::size_t size);
extern "C" void* __wrap_aligned_alloc(std::size_t alignment, std::size_t size) {
  ++aligned_blocks;
  return __real_aligned_alloc(alignment, size);
}

namespace protolith::testing {
namespace {

/// How many blocks of host memory tensors have taken so far.
std::int64_t host_allocations() {
  return aligned_blocks;
}

Config small_config() {
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

struct Run {
  explicit Run(const TemporaryFolder& parent, const std::string& name, const Config& settings)
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

}  // namespace

TEST_CASE("one seed, two runs: the same bits; another seed: others") {
  const TemporaryFolder scratch;
  Run a(scratch, "a", small_config());
  Run b(scratch, "b", small_config());
  a.train(false);
  b.train(false);
  CHECK(a.last() == b.last());
  CHECK(a.best() == b.best());
  CHECK(a.metrics() == b.metrics());
  CHECK(a.metrics().size() == 4);
  CHECK(a.metrics()[0]["train_loss"] != a.metrics()[1]["train_loss"]);
  Config other = small_config();
  other.seed = 2;
  Run c(scratch, "c", other);
  c.train(false);
  CHECK(c.last() != a.last());
}

TEST_CASE("20 episodes are 10 + resume + 10, bit for bit") {
  const TemporaryFolder scratch;
  Run whole(scratch, "whole", small_config());
  whole.train(false);
  Config half = small_config();
  half.train.episodes = 10;
  Run parts(scratch, "parts", half);
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
  Run whole(scratch, "whole", small_config());
  whole.train(false);
  for (const std::int64_t at : {0, 1, 5, 7, 19}) {
    CAPTURE(at);
    Run parts(scratch, "parts" + std::to_string(at), small_config());
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
  Run whole(scratch, "whole", small_config());
  whole.train(false);
  Run killed(scratch, "killed", small_config());
  killed.train(false, [](const Trainer& t) { return t.state().episodes == 10; });
  killed.folder.append_metrics({{"epoch", 3}, {"val_loss", 0.5}});  // its checkpoint never came
  killed.train(true);
  CHECK(killed.metrics() == whole.metrics());
  CHECK(killed.last() == whole.last());
}

/// Whether TensorBoard shows every line of metrics.jsonl, once, and nothing else.
bool events_are_metrics(const Run& run) {
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
    Run run(scratch, "run" + std::to_string(at), small_config());
    run.train(false, [at](const Trainer& t) { return t.state().episodes == at; });
    CHECK(events_are_metrics(run));
    run.train(true);
    CHECK(run.metrics().size() == 4);
    CHECK(events_are_metrics(run));
    CHECK(event_files(run.folder.path()).size() == 2);
  }
  // A power cut that took the last checkpoints: the run goes on from an older one.
  Run lost(scratch, "lost", small_config());
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
  Run whole(scratch, "whole", small_config());
  whole.train(false);
  Run run(scratch, "run", small_config());
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

TEST_CASE("the best checkpoint is a copy of the best epoch, not of the last") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 200;
  config.epoch_episodes = 2;
  config.adam.learning_rate = 0.3F;
  Run run(scratch, "run", config);
  // As soon as an epoch is worse than one before it.
  run.train(false, [](const Trainer& t) { return t.state().best_epoch < t.state().epoch; });
  double best = 1e30;
  std::int64_t epoch = 0;
  for (const nlohmann::json& line : run.metrics()) {
    CHECK(line["best"] == (line["val_loss"] < best));
    if (line["val_loss"] < best) {
      best = line["val_loss"];
      epoch = line["epoch"];
    }
  }
  CHECK(run.state.best_epoch == epoch);
  CHECK(run.state.best_loss == best);
  REQUIRE(epoch < run.state.epoch);
  const auto best_tensors = read_safetensors(run.folder.best_checkpoint()).tensors;
  const auto last_tensors = read_safetensors(run.folder.last_checkpoint()).tensors;
  const auto tracked = [](const auto& tensors) {
    return *tensors.at("encoder.0.1.num_batches_tracked").template data<std::int64_t>();
  };
  CHECK(tracked(best_tensors) == epoch * 2);
  CHECK(tracked(last_tensors) == run.state.episodes);

  // The best model, evaluated again on its epoch's episodes, gives the recorded loss exactly.
  const auto backend = open_backend(run.config);
  const Checkpoint checkpoint = load_model(*backend, run.folder.best_checkpoint());
  const EpisodeSampler sampler(glyphs().classes(Split::val), {5, 1, 2}, run.config.seed,
                               Split::val);
  const EpisodeScores scores =
      evaluate(*backend, *checkpoint.model, make_resident(*backend, glyphs()), sampler,
               static_cast<std::uint64_t>((epoch - 1) * 4), 4, {.metric = run.config.metric});
  CHECK(estimate(scores.loss).mean == best);
}

TEST_CASE("patience ends a run, also when it is resumed") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 0;
  config.patience = 2;
  config.adam.learning_rate = 0.3F;
  config.max_epochs = 50;
  Run run(scratch, "run", config);
  run.train(false);
  CHECK(run.state.epoch == run.state.best_epoch + 2);
  CHECK(contains(run.shown_lines, "epoch 1: 5 episodes"));
  CHECK(contains(run.shown_lines, "(best); 1.0 episodes/s, at least 10 s left\n"));
  CHECK(run.state.epoch < 50);
  const std::string last = run.last();
  run.train(true);
  CHECK(run.last() == last);
  Config short_run = config;
  short_run.max_epochs = 1;
  Run once(scratch, "once", short_run);
  once.train(false);
  CHECK(once.state.episodes == 5);
  Config known_end = config;
  known_end.train.episodes = 10;
  known_end.max_epochs = 4;
  Run known(scratch, "known", known_end);
  known.train(false);
  CHECK(contains(known.shown_lines, "(best); 1.0 episodes/s, 5 s left\n"));
}

TEST_CASE("fewer episodes than an epoch still leave a validated model") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 3;
  Run run(scratch, "run", config);
  run.train(false);
  CHECK(run.state.epoch == 0);
  CHECK(run.state.best_accuracy > 0);
  CHECK(std::filesystem::exists(run.folder.best_checkpoint()));
  // And going on is as if it had never been reported.
  Run whole(scratch, "whole", small_config());
  whole.train(false);
  run.config.train.episodes = 20;
  run.train(true);
  CHECK(run.last() == whole.last());
  CHECK(run.best() == whole.best());
}

TEST_CASE("a loss that is not finite stops the run, names the episode and keeps the checkpoint") {
  const TemporaryFolder scratch;
  Run run(scratch, "run", small_config());
  run.config.train.episodes = 5;
  run.train(false);
  const std::string last = run.last();
  const std::string best = run.best();
  run.config.train.episodes = 20;
  const auto backend = open_backend(run.config);
  Trainer trainer(*backend, run.config, glyphs(), run.folder);
  trainer.resume();
  // A huge weight makes every loss NaN, but is itself a number that a file may hold.
  auto poisoned = read_safetensors(run.folder.last_checkpoint());
  poisoned.tensors["encoder.0.0.weight"].host_span<float>()[0] = 3e38F;
  write_safetensors(run.folder.last_checkpoint(), poisoned);
  trainer.resume();
  Progress progress(true);
  try {
    trainer.run(progress, [] { return false; });
    FAIL("the run went on");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("training episode 6") != std::string::npos);
    CHECK(std::string(error.what()).find("learning rate") != std::string::npos);
  }
  CHECK(run.best() == best);
  CHECK(run.last() != last);  // the poisoned one, as it was before the run
  CHECK(run.metrics().size() == 1);
}

TEST_CASE("resuming with other settings is refused and says which") {
  const TemporaryFolder scratch;
  Run run(scratch, "run", small_config());
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
  Run run(scratch, "run", config);
  run.train(false);
  run.config.threads = 2;
  run.config.train.episodes = 10;
  run.train(true);
  CHECK(run.warning.find("1 threads") != std::string::npos);
  CHECK(run.warning.find("2 threads") != std::string::npos);
  CHECK(run.state.episodes == 10);
}

TEST_CASE("LSED(0, 0.01) and temperature 100 train to the same bits") {
  const TemporaryFolder scratch;
  Run leaky(scratch, "leaky", small_config());
  Config config = small_config();
  config.metric = Metric::parse("temperature:100");
  Run warm(scratch, "warm", config);
  leaky.train(false);
  warm.train(false);
  CHECK(leaky.metrics() == warm.metrics());
  const auto a = read_safetensors(leaky.folder.last_checkpoint()).tensors;
  const auto b = read_safetensors(warm.folder.last_checkpoint()).tensors;
  for (const auto& entry : a) {
    const Tensor& tensor = entry.second;
    INFO(entry.first);
    CHECK(std::equal(tensor.raw(), tensor.raw() + tensor.bytes(), b.at(entry.first).raw()));
  }
}

TEST_CASE("fused and composed blocks train to the same accuracy, within rounding at the start") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 5;
  Run fused(scratch, "fused", config);
  config.batch_norm = "composed";
  Run composed(scratch, "composed", config);
  fused.train(false);
  composed.train(false);
  const double a = fused.metrics()[0]["train_loss"];
  const double b = composed.metrics()[0]["train_loss"];
  // They really are two paths: their gradients round differently.
  const auto moments = [](const Run& run) {
    const Tensor m =
        read_safetensors(run.folder.last_checkpoint()).tensors.at("optimizer.first_moment");
    const auto span = m.host_span<const float>();
    return std::vector<float>(span.begin(), span.end());
  };
  CHECK(moments(fused) != moments(composed));
  CHECK(a == doctest::Approx(b).epsilon(1e-2));
}

TEST_CASE("train + val training needs no validation and writes no best model") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.trainval = true;
  config.train.episodes = 10;
  Run run(scratch, "run", config);
  run.train(false);
  CHECK(run.state.episodes == 10);
  CHECK(std::filesystem::exists(run.folder.last_checkpoint()));
  CHECK_FALSE(std::filesystem::exists(run.folder.best_checkpoint()));
  CHECK_FALSE(run.metrics()[0].contains("val_loss"));
}

TEST_CASE("a model that became infinite is not saved over a good one") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.trainval = true;  // no validation that would notice
  config.train.episodes = 1;
  config.epoch_episodes = 1;
  config.adam.learning_rate = 3e38F;  // the first step's loss is still finite
  Run run(scratch, "run", config);
  try {
    run.train(false);
    FAIL("the run went on");
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("training episode 1") != std::string::npos);
  }
  CHECK_FALSE(std::filesystem::exists(run.folder.last_checkpoint()));
}

TEST_CASE("nor is it the best model, though its validation loss is finite") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 2;
  config.epoch_episodes = 2;
  config.adam.learning_rate = 1e12F;  // infinite variances make all embeddings one
  Run run(scratch, "run", config);
  CHECK_THROWS_WITH_AS(run.train(false), doctest::Contains("the model became infinite"), Error);
  CHECK_FALSE(std::filesystem::exists(run.folder.best_checkpoint()));
}

TEST_CASE("a run that was killed before its first checkpoint resumes from the start") {
  const TemporaryFolder scratch;
  Run whole(scratch, "whole", small_config());
  whole.train(false);
  Run killed(scratch, "killed", small_config());
  killed.folder.append_metrics({{"epoch", 1}, {"val_loss", 0.5}});
  killed.train(true);
  CHECK(killed.warning.find("anew") != std::string::npos);
  CHECK(killed.last() == whole.last());
  CHECK(killed.metrics() == whole.metrics());
}

TEST_CASE("a training state that does not fit its run is refused") {
  const TemporaryFolder scratch;
  Run run(scratch, "run", small_config());
  run.train(false);
  auto file = read_safetensors(run.folder.last_checkpoint());
  auto state = nlohmann::json::parse(file.metadata["training_state"]);
  state["episodes"] = 12;  // and 4 epochs of 5
  file.metadata["training_state"] = state.dump();
  write_safetensors(run.folder.last_checkpoint(), file);
  CHECK_THROWS_AS(run.train(true), Error);
}

TEST_CASE("no step after the first takes tensor memory") {
  const auto backend = open_backend(small_config());
  Learner learner(*backend, small_config(), glyphs());
  const EpisodeSampler sampler(glyphs().classes(Split::train), {5, 1, 2}, 1, Split::train);
  learner.step(sampler.sample(0), sampler.shape());
  const std::uint64_t growths = backend->step_memory_growths();
  const std::size_t bytes = backend->step_memory_bytes();
  CHECK(growths > 0);
  const std::int64_t host_blocks = host_allocations();
  CHECK(host_blocks > 0);
  for (std::uint64_t i = 1; i < 4; ++i) learner.step(sampler.sample(i), sampler.shape());
  CHECK(host_allocations() == host_blocks);
  CHECK(backend->step_memory_growths() == growths);
  CHECK(backend->step_memory_bytes() == bytes);
}

}  // namespace protolith::testing
