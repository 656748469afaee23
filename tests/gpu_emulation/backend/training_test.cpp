// The whole CUDA backend trains on the emulated device, beside the CPU backend.
#include "tests/cuda/training.h"

#include <doctest/doctest.h>

#include <sstream>

#include "engine/cuda/cuda_backend.h"
#include "tests/engine/temporary_folder.h"
#include "tests/gpu_emulation/device/device.h"
#include "tools/checkpoint.h"
#include "tools/trainer.h"

namespace protolith::test {
namespace {

/// Calls `test` with a backend on a new emulated device, which must stay without a fault.
template <class Test>
void on_emulated_device(CudaOptions options, Test test,
                        emulated::Schedule schedule = emulated::Schedule::latest) {
  options.tf32 = false;
  emulated::set_schedule(schedule);
  {
    CudaBackend backend(options);
    test(backend);
    CHECK(emulated::fault() == "");
  }
  emulated::reset();
}

// The address sanitizer slows the executor six times: fewer steps, for it looks at memory only.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSlow = true;
#else
constexpr bool kSlow = false;
#endif

constexpr CudaBatchNorm kBatchNorms[] = {CudaBatchNorm::fused, CudaBatchNorm::cudnn};

TEST_CASE(
    "50 episodes, each from the CPU's state: loss and gradients agree, the update is Adam's") {
  for (const CudaBatchNorm batch_norm : kBatchNorms) {
    CAPTURE(batch_norm);
    on_emulated_device({.batch_norm = batch_norm},
                       [](Backend& backend) { check_parity(backend, kSlow ? 10 : 50); });
  }
}

TEST_CASE("recorded steps are eager steps, bit for bit, whatever runs between them and whenever") {
  for (const CudaBatchNorm batch_norm : kBatchNorms) {
    CAPTURE(batch_norm);
    const auto train = [&](bool graph, emulated::Schedule schedule) {
      std::vector<std::vector<double>> results;
      on_emulated_device(
          {.graph = graph, .batch_norm = batch_norm},
          [&](Backend& backend) { results = train_with_evaluation(backend, 6); }, schedule);
      return results;
    };
    const auto recorded = train(true, emulated::Schedule::latest);
    CHECK(recorded == train(false, emulated::Schedule::latest));
    CHECK(recorded == train(true, emulated::Schedule::soonest));
    CHECK(recorded == train(false, emulated::Schedule::soonest));
  }
}

TEST_CASE("a recorded step is one graph launch and one small copy; up to 60 things in the graph") {
  const EpisodeSampler episodes = small_episodes();
  for (const CudaBatchNorm batch_norm : kBatchNorms) {
    CAPTURE(batch_norm);
    on_emulated_device({.batch_norm = batch_norm}, [&](Backend& backend) {
      Learner learner(backend, small_config(), patterns());
      learner.submit(episodes.sample(0), kSmallEpisode);
      emulated::reset_counters();
      for (std::uint64_t i = 1; i < 3; ++i) learner.submit(episodes.sample(i), kSmallEpisode);
      CHECK(emulated::counters().allocations == 0);  // not even when it is recorded
      learner.collect();
      emulated::reset_counters();
      constexpr std::uint64_t kSteps = 4;
      for (std::uint64_t i = 0; i < kSteps; ++i) learner.submit(episodes.sample(i), kSmallEpisode);
      const emulated::Counters before = emulated::counters();
      CHECK(before.graph_launches == kSteps);
      CHECK(before.host_submissions == kSteps);  // the copy of the inputs
      CHECK(before.allocations == 0);
      learner.collect();  // waits, so that all work has run
      const emulated::Counters after = emulated::counters();
      // Indices, turns, labels, slot, schedule.
      CHECK(after.bytes_to_device == kSteps * 4 * (15 + 15 + 10 + 1 + 2));
      const std::uint64_t in_graph =
          (after.kernels + after.cublas_calls + after.cudnn_calls + after.fills) / kSteps;
      CHECK(in_graph <= 60);
    });
  }
}

TEST_CASE("a step leaves nothing behind in the gradients") {
  for (const CudaBatchNorm batch_norm : kBatchNorms) {
    on_emulated_device({.batch_norm = batch_norm}, check_fresh_gradients);
  }
}

TEST_CASE("200 episodes on the emulated device learn, and stay finite" * doctest::skip(kSlow)) {
  on_emulated_device({}, [](Backend& backend) { check_learning(backend, 200); });
}

TEST_CASE("a loss that is not finite stops the optimizer on the device") {
  on_emulated_device({}, [](Backend& backend) { check_stopping(backend); });
}

TEST_CASE("where cuDNN fails to build its batch norm, the fused one takes over with a warning") {
  const EpisodeSampler episodes = small_episodes();
  const auto train = [&](Backend& backend) {
    Learner learner(backend, small_config(), patterns());
    for (std::uint64_t i = 0; i < 3; ++i) learner.submit(episodes.sample(i), kSmallEpisode);
    return learner.collect().back().loss;
  };
  double fused = 0;
  on_emulated_device({.batch_norm = CudaBatchNorm::fused},
                     [&](Backend& backend) { fused = train(backend); });
  std::vector<std::string> warnings;
  const auto warn = [&](const std::string& text) { warnings.push_back(text); };
  emulated::fail_driver_call("nvrtcCompileProgram");
  on_emulated_device({.warn = warn}, [&](Backend& backend) {
    CHECK(testing::contains(backend.description(), "cudnn batch norm"));
    CHECK(train(backend) == fused);
    CHECK(testing::contains(backend.description(), "fused batch norm"));
  });
  REQUIRE(warnings.size() == 1);
  CHECK(testing::contains(warnings[0], "a kernel was not compiled; the fused kernels compute"));
  // A run's checkpoints name who computed in the end, for a resume to compare with.
  emulated::fail_driver_call("nvrtcCompileProgram");
  on_emulated_device({.warn = warn}, [&](Backend& backend) {
    const testing::TemporaryFolder folder;
    Config config = small_config();
    config.train = {5, 1, 2, 2};
    config.epoch_episodes = 2;
    config.trainval = true;  // there are no classes to validate with
    const RunFolder run = RunFolder::create(config, (folder / "run").string());
    Trainer trainer(backend, config, patterns(), run);
    std::ostringstream shown;
    Progress progress(shown, Progress::Style::plain, [] { return 0.0; });
    trainer.run(progress, [] { return false; });
    const std::string machine = read_training_state(run.last_checkpoint()).machine;
    CHECK_MESSAGE(testing::contains(machine, "fused batch norm"), machine);
  });
  // Asked for by name it must not be another.
  emulated::fail_driver_call("nvrtcCompileProgram");
  on_emulated_device({}, [&](Backend& backend) {
    CHECK_THROWS_WITH_AS(train(backend), doctest::Contains("without it: --batch-norm fused"),
                         Error);
  });
}

}  // namespace
}  // namespace protolith::test
