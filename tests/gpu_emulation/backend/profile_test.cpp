// What the emulated device does, as profiles and NVIDIA's profilers are told of it.
#include <doctest/doctest.h>

#include <algorithm>

#include "engine/cuda/cuda_backend.h"
#include "engine/cuda/cupti.h"
#include "tests/engine/temporary_folder.h"
#include "tests/gpu_emulation/device/device.h"
#include "tests/tools/trace_file.h"
#include "tools/learner.h"
#include "tools/profile_session.h"
#include "tools/session.h"

namespace protolith::test {
namespace {

using testing::contains;

Config small_config() {
  Config config;
  config.train = {3, 1, 2, 0};
  return config;
}

/// A learner on the emulated device whose episodes are profiled.
struct Setup {
  explicit Setup(const ProfileFlags& flags, const CudaOptions& options = {})
      : backend(options), profile(backend, flags) {
    profile.open();
  }
  ~Setup() { CHECK(emulated::fault() == ""); }

  /// Episodes by number, as Trainer does it.
  void train(std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i <= last; ++i) {
      if (profile.starts_with(i)) {
        learner.collect();
        profile.start();
      }
      {
        const ProfileRange range(backend.profiler(), "episode", i);
        learner.submit(sampler.sample(static_cast<std::uint64_t>(i)), sampler.shape());
      }
      if (profile.ends_with(i)) {
        learner.collect();
        profile.stop();
      }
    }
  }

  Config config = small_config();
  Dataset dataset = open_data("synthetic", true);
  CudaBackend backend;
  ProfileSession profile;
  Learner learner{backend, config, dataset};
  EpisodeSampler sampler = training_sampler(config, dataset);
};

std::int64_t count(const std::vector<testing::TraceEvent>& events, int process,
                   const std::string& name) {
  return std::count_if(events.begin(), events.end(), [&](const testing::TraceEvent& e) {
    return e.process == process && (name.empty() || e.is(name));
  });
}

}  // namespace

TEST_CASE("a trace holds the device's work, graphs node by node, on the clock of the ranges") {
  const testing::TemporaryFolder folder;
  const std::string file = (folder / "t.json").string();
  {
    Setup s({.trace = file, .episodes = "3:5", .table = true});
    s.train(1, 2);  // the second one is recorded as a graph
    CHECK(emulated::is_observed());
    s.learner.collect();
    emulated::reset_counters();
    s.train(3, 5);
    const emulated::Counters& done = emulated::counters();
    const auto kernels = done.kernels + done.cublas_calls + done.cudnn_calls;
    CHECK(done.graph_launches == 3);
    CHECK_FALSE(emulated::is_observed());  // what comes after them is not recorded
    const ProfileReport report = s.profile.finish();
    std::int64_t calls = 0;
    for (const ProfileRow& row : report.device) calls += row.calls;
    CHECK(calls == static_cast<std::int64_t>(kernels + done.copies + done.fills));
    CHECK(report.dropped == 0);

    const auto events = testing::read_trace(file);
    CHECK(count(events, 1, "episode") == 3);
    CHECK(count(events, 1, "graph launch") == 3);
    CHECK(count(events, 2, "") == calls);
    CHECK(count(events, 2, "copy from host") == 3);
    CHECK(count(events, 2, "copy to host") == 1);
    // One clock: the device works after the first episode was begun, and before the profile ended.
    std::int64_t first = -1, last = 0;
    for (const testing::TraceEvent& e : events) {
      if (e.process == 1 && e.is("episode") && first < 0) first = e.begin;
      last = std::max(last, e.end);
    }
    for (const testing::TraceEvent& e : events) {
      if (e.process == 2) CHECK(e.begin >= first);
    }
    CHECK(last - first < 60'000'000'000);
    const auto json = nlohmann::json::parse(testing::slurp(file));
    std::int64_t in_graphs = 0;
    for (const auto& event : json["traceEvents"]) {
      in_graphs += event["pid"] == 2 && event["args"].contains("graph") ? 1 : 0;
    }
    CHECK(in_graphs == calls - 4);  // all but the copies of inputs and results
  }
  emulated::reset();
}

TEST_CASE("sums have all of the device's work, however little of it is kept one by one") {
  {
    CudaBackend backend({});
    const Tensor target = backend.persistent({300}, DType::f32);
    const auto trace = backend.make_device_trace(10);
    trace->start();
    for (int i = 0; i < 20; ++i) backend.fill(target, 1.0F);
    for (int i = 0; i < 3; ++i) backend.copy(target, backend.persistent({300}, DType::f32));
    const std::vector<DeviceEvent> kept = trace->stop();
    CHECK(kept.size() == 10);
    CHECK(trace->unkept() == 20 + 3 + 3 - 10);  // persistent memory is filled too
    CHECK(trace->lost() == 0);
    std::int64_t calls = 0;
    for (const ProfileRow& row : trace->rows()) {
      calls += row.calls;
      CHECK(row.self > 0);
      if (row.name == "copy on device") CHECK(row.cost.bytes == 3 * 1200);
    }
    CHECK(calls == 26);
  }
  emulated::reset();
}

TEST_CASE("--profile-episodes brackets those episodes for a profiler that is attached") {
  {
    Setup s({.trace = "", .episodes = "3:4", .table = false});
    s.train(1, 2);
    s.learner.collect();
    emulated::reset_counters();
    s.train(3, 4);
    const emulated::Counters within = emulated::counters();
    CHECK(within.profiler_starts == 1);
    CHECK(within.profiler_stops == 1);
    // All of their work is done in between: whoever stops waits for it first.
    CHECK(within.profiled_work ==
          within.kernels + within.cublas_calls + within.cudnn_calls + within.copies + within.fills);
    s.train(5, 5);
    s.learner.collect();
    CHECK(emulated::counters().profiled_work == within.profiled_work);
  }
  emulated::reset();
}

TEST_CASE("capturing begins and ends with a device that has done all its work") {
  {
    CudaBackend device({});
    Backend& backend = device;
    const Tensor x = backend.persistent({3});
    emulated::reset_counters();
    backend.fill(x, 1);
    backend.capture_for_profiler(true);
    CHECK(emulated::counters().profiled_work == 0);
    backend.fill(x, 2);
    backend.capture_for_profiler(false);
    backend.fill(x, 3);
    CHECK(backend.to_host(x).host_span<float>()[0] == 3);
    CHECK(emulated::counters().profiled_work == 1);
  }
  emulated::reset();
}

TEST_CASE("step by step, without a graph, ranges hold the operations and no work has a graph") {
  const testing::TemporaryFolder folder;
  const std::string file = (folder / "t.json").string();
  {
    Setup s({.trace = file, .episodes = "", .table = false}, {.graph = false});
    s.train(1, 2);
    s.profile.finish();
    const auto events = testing::read_trace(file);
    CHECK(count(events, 1, "conv_block_forward") == 8);
    CHECK(count(events, 1, "conv_block_backward") == 8);
    CHECK(count(events, 1, "adam_step") == 2);
    CHECK(count(events, 2, "") > 20);
    CHECK_FALSE(contains(testing::slurp(file), "\"graph\""));
  }
  emulated::reset();
}

TEST_CASE("a CUPTI that refuses or is missing is named, with what to do") {
  {
    CudaBackend backend({});
    const auto failure = [&](const char* call) {
      emulated::fail_driver_call(call);
      try {
        backend.make_device_trace(1000);
      } catch (const Error& error) {
        return std::string(error.what());
      }
      return std::string("no error");
    };
    for (const char* call : {"cuptiActivityRegisterTimestampCallback",
                             "cuptiActivityRegisterCallbacks", "cuptiActivityEnable"}) {
      CAPTURE(call);
      const std::string message = failure(call);
      CHECK(contains(message, "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"));
      CHECK(contains(message, "ERR_NVGPUCTRPERM"));
    }
    const auto one = backend.make_device_trace(1000);  // after a refusal it may be tried again
    CHECK(one != nullptr);
    CHECK_THROWS_WITH_AS(backend.make_device_trace(1000),
                         doctest::Contains("a device's work is being recorded already"), Error);
    CHECK_THROWS_WITH_AS(cuda::load_cupti("libcupti.so.none"),
                         doctest::Contains("libcupti.so.none cannot be loaded"), Error);
    CHECK_THROWS_WITH_AS(cuda::load_cupti("libm.so.6"), doctest::Contains("it has no cupti"),
                         Error);
  }
  emulated::reset();
}

}  // namespace protolith::test
