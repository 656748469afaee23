// What tools/step_cost.h lists is what a recorded training step does on the emulated device.
#include "tests/gpu_emulation/backend/recorded_step.h"

namespace protolith::test {
namespace {

using emulated::Done;
using emulated::WorkKind;

WorkKind kind_of(WorkBy by) {
  switch (by) {
    case WorkBy::kernel:
      return WorkKind::kernel;
    case WorkBy::product:
      return WorkKind::cublas;
    case WorkBy::copy:
      return WorkKind::copy;
    default:
      return WorkKind::cudnn;
  }
}

/// "batch norm" of "block 1: batch norm".
std::string without_block(const std::string& name) {
  const std::size_t colon = name.find(": ");
  return colon == std::string::npos ? name : name.substr(colon + 2);
}

/// What the list counts beyond each operand once: cuDNN's batch norm reads its images again.
std::int64_t read_again(const WorkCost& work, std::int64_t filters) {
  if (work.by != WorkBy::batch_norm) return 0;
  const bool gradient = work.name.ends_with("gradient");
  const std::int64_t images = work.traffic.written - 4 * filters * (gradient ? 2 : 4);
  return gradient ? 2 * images : images;
}

/// The list's entry against as much of the work that was done from `first` on.
void check_entry(const WorkCost& work, std::span<const Done> done, std::int64_t filters) {
  CAPTURE(work.name);
  std::int64_t read = 0, written = 0;
  for (const Done& one : done) {
    CHECK(one.kind == kind_of(work.by));
    if (one.kind == WorkKind::cudnn) CHECK(one.name.ends_with(without_block(work.name)));
    read += static_cast<std::int64_t>(one.read);
    written += static_cast<std::int64_t>(one.written);
  }
  if (work.by == WorkBy::kernel) return;  // what a kernel moves, another test counts
  CHECK(read == work.traffic.read - read_again(work, filters));
  CHECK(written == work.traffic.written);
}

TEST_CASE(
    "a step does what is listed of it: kinds in order, and the bytes of libraries' operands") {
  for (const StepCase& c : step_cases()) {
    CAPTURE(c.side);
    CAPTURE(c.batch_norm);
    RecordedStep step(c);
    emulated::reset_counters();
    emulated::counters().record_work = true;
    step.run();
    const emulated::Counters counters = emulated::counters();
    CHECK(counters.graph_launches == 1);

    const std::vector<WorkCost> list = training_step_cost(step.shape(), c.batch_norm);
    const StepTotals totals = totals_of(list);
    CHECK(counters.kernels == static_cast<std::uint64_t>(totals.kernels));
    CHECK(counters.cublas_calls == static_cast<std::uint64_t>(totals.products));
    CHECK(counters.cudnn_calls == static_cast<std::uint64_t>(totals.dnn_calls));
    CHECK(counters.fills == 0);
    // The last copy is that of the scores to the host.
    CHECK(counters.copies == static_cast<std::uint64_t>(totals.copies) + 1);
    std::span<const Done> done = counters.done;
    REQUIRE(done.size() == static_cast<std::size_t>(totals.traffic.launches) + 1);
    for (const WorkCost& work : list) {
      const auto launches = static_cast<std::size_t>(work.traffic.launches);
      check_entry(work, done.first(launches), step.shape().encoder.filters);
      done = done.subspan(launches);
    }
  }
}

}  // namespace
}  // namespace protolith::test
