// Training and evaluating on a small generated data set.
#include <doctest/doctest.h>

#include <atomic>
#include <nlohmann/json.hpp>

#include "engine/safetensors.h"
#include "tests/engine/temporary_folder.h"
#include "tests/tools/training_run.h"

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

}  // namespace

TEST_CASE("one seed, two runs: the same bits; another seed: others") {
  const TemporaryFolder scratch;
  TrainingRun a(scratch, "a", small_config());
  TrainingRun b(scratch, "b", small_config());
  a.train(false);
  b.train(false);
  CHECK(a.last() == b.last());
  CHECK(a.best() == b.best());
  CHECK(a.metrics() == b.metrics());
  CHECK(a.metrics().size() == 4);
  CHECK(a.metrics()[0]["train_loss"] != a.metrics()[1]["train_loss"]);
  Config other = small_config();
  other.seed = 2;
  TrainingRun c(scratch, "c", other);
  c.train(false);
  CHECK(c.last() != a.last());
}

TEST_CASE("the best checkpoint is a copy of the best epoch, not of the last") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 200;
  config.epoch_episodes = 2;
  config.adam.learning_rate = 0.3F;
  TrainingRun run(scratch, "run", config);
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
  TrainingRun run(scratch, "run", config);
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
  TrainingRun once(scratch, "once", short_run);
  once.train(false);
  CHECK(once.state.episodes == 5);
  Config known_end = config;
  known_end.train.episodes = 10;
  known_end.max_epochs = 4;
  TrainingRun known(scratch, "known", known_end);
  known.train(false);
  CHECK(contains(known.shown_lines, "(best); 1.0 episodes/s, 5 s left\n"));
}

TEST_CASE("fewer episodes than an epoch still leave a validated model") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 3;
  TrainingRun run(scratch, "run", config);
  run.train(false);
  CHECK(run.state.epoch == 0);
  CHECK(run.state.best_accuracy > 0);
  CHECK(std::filesystem::exists(run.folder.best_checkpoint()));
  // And going on is as if it had never been reported.
  TrainingRun whole(scratch, "whole", small_config());
  whole.train(false);
  run.config.train.episodes = 20;
  run.train(true);
  CHECK(run.last() == whole.last());
  CHECK(run.best() == whole.best());
}

TEST_CASE("a loss that is not finite stops the run, names the episode and keeps the checkpoint") {
  const TemporaryFolder scratch;
  TrainingRun run(scratch, "run", small_config());
  run.config.train.episodes = 5;
  run.train(false);
  const std::string last = run.last();
  run.config.train.episodes = 20;
  const auto backend = open_backend(run.config);
  Trainer trainer(*backend, run.config, glyphs(), run.folder);
  trainer.resume();
  // A huge weight makes every loss NaN, but is itself a number that a file may hold.
  auto poisoned = read_safetensors(run.folder.last_checkpoint());
  poisoned.tensors["encoder.0.0.weight"].host_span<float>()[0] = 3e38F;
  write_safetensors(run.folder.last_checkpoint(), poisoned);
  trainer.resume();
  const std::string best = run.best();
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

TEST_CASE("LSED(0, 0.01) and temperature 100 train to the same bits") {
  const TemporaryFolder scratch;
  TrainingRun leaky(scratch, "leaky", small_config());
  Config config = small_config();
  config.metric = Metric::parse("temperature:100");
  TrainingRun warm(scratch, "warm", config);
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

TEST_CASE("fused and composed blocks are two paths that start to train alike, within a percent") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.train.episodes = 5;
  TrainingRun fused(scratch, "fused", config);
  config.batch_norm = "composed";
  TrainingRun composed(scratch, "composed", config);
  fused.train(false);
  composed.train(false);
  const double a = fused.metrics()[0]["train_loss"];
  const double b = composed.metrics()[0]["train_loss"];
  // They really are two paths: their gradients round differently.
  const auto moments = [](const TrainingRun& run) {
    const Tensor m =
        read_safetensors(run.folder.last_checkpoint()).tensors.at("optimizer.first_moment");
    const auto span = m.host_span<const float>();
    return std::vector<float>(span.begin(), span.end());
  };
  CHECK(moments(fused) != moments(composed));
  CHECK(a == doctest::Approx(b).epsilon(1e-2).scale(0));
}

TEST_CASE("train + val training needs no validation and writes no best model") {
  const TemporaryFolder scratch;
  Config config = small_config();
  config.trainval = true;
  config.train.episodes = 10;
  TrainingRun run(scratch, "run", config);
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
  TrainingRun run(scratch, "run", config);
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
  TrainingRun run(scratch, "run", config);
  CHECK_THROWS_WITH_AS(
      run.train(false),
      doctest::Contains(
          "the model became infinite or NaN; use a lower learning rate (--lr) (nothing "
          "is saved yet; remove "),
      Error);
  CHECK_FALSE(std::filesystem::exists(run.folder.best_checkpoint()));
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
