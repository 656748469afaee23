// Work that cannot be recorded, or that throws while it is: an Error, and a backend that goes on.
#include <doctest/doctest.h>

#include <functional>
#include <string>

#include "engine/cuda/cuda_backend.h"
#include "tests/backend_ops/support.h"
#include "tests/gpu_emulation/device/device.h"

namespace protolith::test {
namespace {

/// The message of the error that `f` ends in, empty when there is none.
std::string failure(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

/// A backend with a persistent tensor x [3] of ones and the sum that work adds to.
struct Setup {
  CudaBackend device{{}};
  Backend& backend = device;
  Tensor x = upload(backend, Array(3, 1.0), {3});
  Tensor sum = backend.persistent({3});

  Array result() { return download(backend, sum); }
  /// The backend does work, and records and replays other work.
  void check_usable() {
    backend.end_step();
    const Array before = result();
    const auto replay = backend.make_replay([this] { backend.accumulate(sum, backend.add(x, x)); });
    for (int run = 0; run < 3; ++run) replay->run();
    for (std::size_t i = 0; i < 3; ++i) CHECK(result()[i] == before[i] + 6);
    CHECK(emulated::fault() == "");
  }
};

void for_each_schedule(const std::function<void()>& test) {
  for (const auto schedule : {emulated::Schedule::latest, emulated::Schedule::soonest}) {
    emulated::set_schedule(schedule);
    test();
    CHECK(emulated::live_objects().empty());
    emulated::reset();
  }
}

/// What happens when `forbidden` is part of work that is recorded.
std::string recording_failure(const std::function<void(Backend&, const Tensor& x)>& forbidden) {
  std::string message;
  for_each_schedule([&] {
    Setup s;
    const auto replay = s.backend.make_replay([&] {
      const Tensor twice = s.backend.add(s.x, s.x);
      forbidden(s.backend, twice);
      s.backend.accumulate(s.sum, twice);
    });
    replay->run();  // not recorded yet
    CHECK(s.result() == Array(3, 2.0));
    for (int run = 0; run < 2; ++run) {
      message = failure([&] { replay->run(); });
      CHECK(s.result() == Array(3, 2.0));
    }
    s.check_usable();
  });
  return message;
}

TEST_CASE("recorded work must not wait for the device, nor read the host, nor allocate") {
  const std::string reads = "work that is replayed must not read anything back";
  CHECK(recording_failure([](Backend& b, const Tensor& x) { b.to_host(x); }) == reads);
  CHECK(recording_failure([](Backend& b, const Tensor& x) { b.read_scalar(x.view(0, {1})); }) ==
        reads);
  const std::string writes = "work that is replayed must not copy from the host";
  CHECK(recording_failure([](Backend& b, const Tensor& x) {
          const float values[] = {4, 5, 6};
          b.copy_from_host(values, x);
          b.fill(x, 2);
        }) == writes);
  CHECK(recording_failure([](Backend& b, const Tensor& x) {
          b.copy(Tensor::host({3}), x);
          b.fill(x, 2);
        }) == writes);
  const std::string allocates =
      recording_failure([](Backend& b, const Tensor&) { b.persistent({3}); });
  CHECK(allocates ==
        "CUDA: operation not permitted when stream is capturing "
        "(cudaErrorStreamCaptureUnsupported) in cudaMalloc");
}

TEST_CASE("an exception in recorded work passes; the next run records anew") {
  for_each_schedule([] {
    Setup s;
    int calls = 0;
    const auto replay = s.backend.make_replay([&] {
      const Tensor twice = s.backend.add(s.x, s.x);
      s.backend.accumulate(s.sum, twice);
      if (++calls == 2) throw UsageError("of this call");
      s.backend.accumulate(s.sum, s.x);
    });
    replay->run();
    CHECK_THROWS_AS(replay->run(), UsageError);
    CHECK(s.result() == Array(3, 3.0));  // nothing of the failed recording was done
    for (int run = 0; run < 3; ++run) replay->run();
    CHECK(s.result() == Array(3, 12.0));
    CHECK(calls == 3);
    s.check_usable();
  });
}

TEST_CASE("an exception in the first run passes; a later run is the first one") {
  for_each_schedule([] {
    Setup s;
    int calls = 0;
    const auto replay = s.backend.make_replay([&] {
      if (++calls == 1) throw Error("of this call");
      s.backend.accumulate(s.sum, s.x);
    });
    CHECK_THROWS_AS(replay->run(), Error);
    for (int run = 0; run < 4; ++run) replay->run();
    CHECK(s.result() == Array(3, 4.0));
    CHECK(calls == 3);  // the failed one, the first, the recorded one
    s.check_usable();
  });
}

TEST_CASE("a replay that goes while its last launch is queued does no harm") {
  for_each_schedule([] {
    Setup s;
    {
      const auto replay = s.backend.make_replay([&] { s.backend.accumulate(s.sum, s.x); });
      for (int run = 0; run < 3; ++run) replay->run();
    }
    CHECK(s.result() == Array(3, 3.0));
    s.check_usable();
  });
}

}  // namespace
}  // namespace protolith::test
