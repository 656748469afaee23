// The bytes that each kernel of a recorded training step moves are those that tools/step_cost.h
// lists.
#include "tests/gpu_emulation/backend/recorded_step.h"
#include "tests/gpu_emulation/simt/traffic_recorder.h"

namespace protolith::test {
namespace {

TEST_CASE("every kernel of a step reads and writes the bytes that are listed") {
  for (const StepCase& c : step_cases()) {
    CAPTURE(c.side);
    CAPTURE(c.batch_norm);
    RecordedStep step(c);
    simt::TrafficRecorder recorder;
    for (const auto& range : emulated::device_memory()) {
      recorder.add_range(range.data(), range.size());
    }
    step.run();
    std::span<const cuda::Traffic> done = recorder.launches();
    for (const WorkCost& work : training_step_cost(step.shape(), c.batch_norm)) {
      if (work.by != WorkBy::kernel) continue;
      CAPTURE(work.name);
      const auto launches = static_cast<std::size_t>(work.traffic.launches);
      REQUIRE(done.size() >= launches);
      cuda::Traffic counted;
      for (const cuda::Traffic& launch : done.first(launches)) counted = counted + launch;
      CHECK(counted.read == work.traffic.read);
      CHECK(counted.written == work.traffic.written);
      done = done.subspan(launches);
    }
    CHECK(done.empty());
  }
}

}  // namespace
}  // namespace protolith::test
