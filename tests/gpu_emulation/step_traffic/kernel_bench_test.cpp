// `bench kernels` of the CUDA backend: that every family is there, that a launch moves the bytes
// and makes the launches that its formula states, and that nothing else is launched for it.
#include "engine/kernel_bench.h"

#include "engine/cuda/cuda_backend.h"
#include "tests/gpu_emulation/device/device.h"
#include "tests/gpu_emulation/simt/traffic_recorder.h"
#include "tests/tools/kernel_list.h"

namespace protolith::test {
namespace {

using testing::check_listed;
using testing::kernel_sources;

/// A backend's kernels on a new device.
struct Bench {
  Bench()
      : backend(std::make_unique<CudaBackend>(CudaOptions{})), kernels(backend->kernel_bench()) {}
  ~Bench() {
    kernels.reset();
    backend.reset();
    CHECK(emulated::fault() == "");
    emulated::reset();
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  std::unique_ptr<CudaBackend> backend;
  std::unique_ptr<KernelBench> kernels;
};

/// One that packs of four fit, and one with odd extents that they do not.
std::vector<KernelSizes> shapes_of(KernelDomain domain) {
  switch (domain) {
    case KernelDomain::parameters:
    case KernelDomain::activations:
    case KernelDomain::embeddings:
    case KernelDomain::queries:
      return {{3}, {1025}};
    case KernelDomain::rows:
      return {{700, 64}, {331, 3}};
    case KernelDomain::images:
      return {{3, 7, 7, 64}, {2, 12, 9, 3}};
    case KernelDomain::batch:
      return {{10, 5, 5, 3}, {3, 4, 12, 1}};
    case KernelDomain::table:
      return {{9, 64}, {5, 3}};
    case KernelDomain::placed:
      return {{64, 320}, {301, 1025}};
    case KernelDomain::classes:
      return {{7, 2, 64}, {3, 5, 3}};
    case KernelDomain::sides:
      return {{17, 33, 68}, {3, 2, 5}};
    case KernelDomain::pairs:
      return {{17, 33}, {3, 2}};
    case KernelDomain::histogram:
      return {{100, 10}, {63, 60}};
    default:
      return {};
  }
}

/// The kernels that the device was asked for while work() ran.
template <class F>
std::uint64_t kernels_in(const F& work) {
  const std::uint64_t before = emulated::counters().kernels;
  work();
  return emulated::counters().kernels - before;
}

TEST_CASE("every family of kernels/cuda is registered, and every formula's kernel") {
  const Bench bench;
  check_listed(kernel_sources("cuda", ".cu", {}, {"batch_norm_sums", "batch_norm_gradient_sums"}),
               bench.kernels->entries());
}

TEST_CASE("a launch moves the bytes that its formula states, and is alone") {
  const Bench bench;
  for (const KernelEntry& entry : bench.kernels->entries()) {
    CAPTURE(entry.name);
    const std::vector<KernelSizes> shapes = shapes_of(entry.domain);
    REQUIRE(!shapes.empty());
    for (const KernelSizes& sizes : shapes) {
      CAPTURE(to_string(sizes));
      KernelData data(*bench.backend);
      PreparedKernel kernel;
      CHECK(kernels_in([&] { kernel = entry.prepare(data, sizes); }) == 0);
      simt::TrafficRecorder recorder;
      for (const auto& range : emulated::device_memory()) {
        recorder.add_range(range.data(), range.size());
      }
      double seconds = -1;
      const std::uint64_t launches =
          kernels_in([&] { seconds = bench.kernels->seconds(kernel.launch); });
      CHECK(seconds >= 0);
      CHECK(launches == static_cast<std::uint64_t>(kernel.traffic.launches));
      const Traffic counted = recorder.total();
      CHECK(counted.read == kernel.traffic.read);
      CHECK(counted.written == kernel.traffic.written);
      CHECK(counted.launches == kernel.traffic.launches);
    }
  }
}

TEST_CASE("sizes that do not go together are refused with what would") {
  const Bench bench;
  const auto refusal = [&](const std::string& name, const KernelSizes& sizes) -> std::string {
    for (const KernelEntry& entry : bench.kernels->entries()) {
      if (entry.name != name) continue;
      KernelData data(*bench.backend);
      try {
        entry.prepare(data, sizes);
      } catch (const UsageError& error) {
        return error.what();
      }
    }
    return "";
  };
  CHECK(refusal("histogram", {12, 10}) ==
        "--shape 12x10: VALUES must be at least BINS + 3, so that no count is 0");
  CHECK(refusal("place_rows", {11, 10}) == "--shape 11x10: SOURCE must be TARGET or less");
}

TEST_CASE("the peak is that of the device's clocks, multiprocessors and bus") {
  // The emulated device: 4 multiprocessors at 1.98 GHz, 5,120 bits at 2.619 GHz.
  {
    const Bench bench;
    const DevicePeak peak = bench.kernels->peak();
    CHECK(peak.flops == doctest::Approx(4 * 128 * 2 * 1.98e9));
    CHECK(peak.bandwidth == doctest::Approx(5120 / 8 * 2 * 2.619e9));
  }
  emulated::set_compute_capability(7, 5);
  const Bench turing;
  CHECK(turing.kernels->peak().flops == doctest::Approx(4 * 64 * 2 * 1.98e9));
}

TEST_CASE("flushing writes twice the L2 cache, each time") {
  const Bench bench;
  bench.kernels->flush_caches();
  emulated::reset_counters();
  bench.kernels->flush_caches();
  bench.kernels->flush_caches();
  bench.kernels->seconds([] {});
  CHECK(emulated::counters().fills == 2);
  CHECK(emulated::counters().kernels == 0);
  CHECK(emulated::counters().allocations == 0);
  std::size_t largest = 0;
  for (const auto& range : emulated::device_memory()) largest = std::max(largest, range.size());
  CHECK(largest >= std::size_t{2} * (50 << 20));
}

}  // namespace
}  // namespace protolith::test
