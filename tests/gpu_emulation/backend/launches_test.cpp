// What must be a launch of its own, because no order holds within one.
#include <doctest/doctest.h>

#include <vector>

#include "engine/cuda/cuda_backend.h"
#include "tests/backend_ops/support.h"
#include "tests/gpu_emulation/device/device.h"

namespace protolith::test {
namespace {

TEST_CASE("sums are one launch, but for a target that comes again: it waits for the first") {
  {
    CudaBackend device({});
    Backend& backend = device;
    const Tensor a = backend.persistent({3}), b = backend.persistent({3});
    const Tensor ones = upload(backend, Array(3, 1.0), {3});
    emulated::reset_counters();
    backend.accumulate(std::vector<Accumulation>{{a, ones}, {b, ones}});
    CHECK(emulated::counters().kernels == 1);
    backend.accumulate(std::vector<Accumulation>{{a, ones}, {b, ones}, {a, ones}});
    CHECK(emulated::counters().kernels == 3);
    CHECK(download(backend, a) == Array(3, 3.0));
    CHECK(download(backend, b) == Array(3, 2.0));
    CHECK(emulated::fault() == "");
  }
  emulated::reset();
}

}  // namespace
}  // namespace protolith::test
