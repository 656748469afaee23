// A learner on the emulated device that has recorded its training step, for comparing the step with
// what tools/step_cost.h lists.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "engine/cuda/cuda_backend.h"
#include "tests/gpu_emulation/device/device.h"
#include "tools/bench_workload.h"
#include "tools/learner.h"
#include "tools/step_cost.h"

namespace protolith::test {

/// A small step: one way of normalising, one of computing distances, with and without a last pool.
struct StepCase {
  std::int64_t side, channels;
  EpisodeShape episode;
  bool last_pool;
  DistanceMethod distance;
  CudaBatchNorm batch_norm;
};

/// Even and odd sides: 12, 6, 3, 1 and 17, 8, 4, 2, 1.
inline std::vector<StepCase> step_cases() {
  std::vector<StepCase> cases;
  for (const CudaBatchNorm batch_norm : {CudaBatchNorm::fused, CudaBatchNorm::cudnn}) {
    cases.push_back({12, 1, {5, 1, 2}, false, DistanceMethod::gemm, batch_norm});
    cases.push_back({17, 3, {3, 2, 1}, true, DistanceMethod::direct, batch_norm});
  }
  return cases;
}

class RecordedStep {
 public:
  explicit RecordedStep(const StepCase& c)
      : workload_{"small", "", c.side, c.channels, c.episode, c.episode, c.last_pool},
        dataset_(random_images(workload_)),
        sampler_(dataset_.classes(Split::train), c.episode, 1, Split::train),
        backend_(std::make_unique<CudaBackend>(CudaOptions{.batch_norm = c.batch_norm})) {
    Config config;
    config.last_pool = c.last_pool;
    config.distance = c.distance;
    learner_ = std::make_unique<Learner>(*backend_, config, dataset_);
    run();  // one by one, then recorded and launched
    run();
    shape_ = {c.episode, learner_->model().options(), c.distance};
  }
  ~RecordedStep() {
    learner_.reset();
    backend_.reset();
    CHECK(emulated::fault() == "");
    emulated::reset();
  }
  RecordedStep(const RecordedStep&) = delete;
  RecordedStep& operator=(const RecordedStep&) = delete;

  /// One step, and the copy of its scores to the host.
  void run() {
    learner_->submit(sampler_.sample(episode_++), workload_.training);
    learner_->collect();
  }
  const StepShape& shape() const { return shape_; }

 private:
  Workload workload_;
  Dataset dataset_;
  EpisodeSampler sampler_;
  std::unique_ptr<CudaBackend> backend_;
  std::unique_ptr<Learner> learner_;
  StepShape shape_;
  std::uint64_t episode_ = 0;
};

}  // namespace protolith::test
