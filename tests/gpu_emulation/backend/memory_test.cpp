// Device memory that runs out, comes back, and is in use when it goes; copies to and from the host.
#include <doctest/doctest.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "engine/cuda/cuda_backend.h"
#include "tests/backend_ops/support.h"
#include "tests/gpu_emulation/device/device.h"

namespace protolith::test {
namespace {

constexpr std::size_t kMebi = std::size_t{1} << 20U;
constexpr std::size_t kSmallDevice = 48 * kMebi;  // 16 more than cuBLAS's workspace

Shape mebibytes(std::int64_t count) {
  return {count << 18};
}

std::size_t free_bytes() {
  std::size_t free = 0, total = 0;
  REQUIRE(cudaMemGetInfo(&free, &total) == cudaSuccess);
  return free;
}

/// Runs a test on a device with little memory, on which nothing is left or went wrong afterwards.
template <class Test>
void on_small_device(Test test) {
  for (const auto schedule : {emulated::Schedule::latest, emulated::Schedule::soonest}) {
    emulated::set_total_memory(kSmallDevice);
    emulated::set_schedule(schedule);
    {
      CudaBackend backend({});
      test(backend);
      CHECK(emulated::fault() == "");
    }
    emulated::set_total_memory(std::size_t{1} << 30U);
    emulated::reset();
  }
}

template <class F>
std::string failure(F&& f) {
  try {
    f();
  } catch (const Error& error) {
    return error.what();
  }
  return {};
}

void check_usable(Backend& backend) {
  const Tensor ones = backend.persistent({300});
  backend.fill(ones, 1.0F);
  CHECK(download(backend, backend.add(ones, ones)) == Array(300, 2.0));
}

TEST_CASE("out of memory: the message names what was asked for and what is free; work goes on") {
  const std::string message =
      "out of memory on cuda:0: 20 MiB more were asked for, 16 of 48 MiB are free; other "
      "programs may hold some (nvidia-smi), smaller episodes or shapes take less, and --device cpu "
      "none";
  on_small_device([&](Backend& backend) {
    CHECK(failure([&] { backend.persistent(mebibytes(20)); }) == message);
    check_usable(backend);
  });
  on_small_device([&](Backend& backend) {
    CHECK(failure([&] { backend.empty(mebibytes(20)); }) == message);
    CHECK(backend.step_memory_bytes() == 0);
    check_usable(backend);
  });
  on_small_device([&](Backend& backend) {  // more than there are addresses for
    CHECK(failure([&] { backend.empty(mebibytes(60)); }).find("60 MiB more were asked for") !=
          std::string::npos);
    check_usable(backend);
  });
}

TEST_CASE("out of memory in the middle of a step leaves its tensors whole") {
  on_small_device([](Backend& backend) {
    const Tensor first = backend.empty(mebibytes(5)), second = backend.empty(mebibytes(5));
    backend.fill(first, 1.0F);
    backend.fill(second, 2.0F);
    const std::size_t before = free_bytes();
    CHECK_THROWS_AS(backend.empty(mebibytes(8)), Error);
    CHECK(free_bytes() == before);
    const Array sum = download(backend, backend.add(first, second));
    CHECK(std::count(sum.begin(), sum.end(), 3.0) == first.elements());
    backend.end_step();
    CHECK_NOTHROW(backend.empty(mebibytes(15)));
  });
}

TEST_CASE("a device with too little memory for a backend keeps nothing of it") {
  emulated::set_total_memory(16 * kMebi);
  CHECK(failure([] { CudaBackend({}); }).find("32 MiB more were asked for") != std::string::npos);
  CHECK(emulated::live_objects().empty());
  emulated::set_total_memory(std::size_t{1} << 30U);
  emulated::reset();
}

TEST_CASE("step memory that grows half-way is given back, and grows the next time") {
  for (const std::string call : {"cuMemCreate", "cuMemMap", "cuMemSetAccess"}) {
    CAPTURE(call);
    on_small_device([&](Backend& backend) {
      const std::size_t before = free_bytes();
      emulated::fail_driver_call(call);
      CHECK(failure([&] { backend.empty(mebibytes(5)); }).find("out of memory on cuda:0: 6 MiB") !=
            std::string::npos);
      CHECK(free_bytes() == before);
      const Tensor tensor = backend.empty(mebibytes(5));
      backend.fill(tensor, 1.0F);
      CHECK(download(backend, tensor).back() == 1);
    });
  }
}

TEST_CASE("memory whose last tensor goes while work uses it is freed after that work") {
  on_small_device([](Backend& backend) {
    Tensor sum = backend.persistent({300});
    {
      const Tensor ones = backend.persistent({300});
      backend.fill(ones, 1.0F);
      backend.accumulate(sum, ones);
    }
    CHECK(download(backend, sum) == Array(300, 1.0));
    sum = {};
    check_usable(backend);
  });
}

TEST_CASE("tensors that outlive their backend do no harm") {
  Tensor step, lasting;
  {
    CudaBackend backend({});
    step = backend.empty({300}, DType::f32);
    lasting = backend.persistent({300}, DType::f32);
    backend.fill(step, 1.0F);
    backend.copy(step, lasting);
  }
  CHECK(emulated::fault() == "");
  step = {};
  lasting = {};
  CHECK(emulated::live_objects().empty());
  emulated::reset();
}

TEST_CASE("many copies from the host are in flight, and the host's memory is free at once") {
  on_small_device([](Backend& backend) {
    std::vector<Tensor> tensors;
    std::vector<std::int32_t> values(1000);
    for (std::int32_t i = 0; i < 10; ++i) {
      std::fill(values.begin(), values.end(), i);
      tensors.push_back(backend.empty({1000}, DType::i32));
      backend.copy_from_host(values.data(), tensors.back());
    }
    std::fill(values.begin(), values.end(), -1);
    for (std::int32_t i = 0; i < 10; ++i) {
      backend.copy_to_host(tensors[static_cast<std::size_t>(i)], values.data());
      CHECK(std::count(values.begin(), values.end(), i) == 1000);
    }
  });
}

TEST_CASE("a large copy goes through the staging memory many times, both ways") {
  on_small_device([](Backend& backend) {
    std::vector<std::int32_t> values(700'001), copied(values.size());
    std::iota(values.begin(), values.end(), 5);
    const Tensor tensor = backend.empty({700'001}, DType::i32);
    backend.copy_from_host(values.data(), tensor);
    const std::vector<std::int32_t> expected = values;
    std::fill(values.begin(), values.end(), -1);
    backend.copy_to_host(tensor, copied.data());
    CHECK(copied == expected);
  });
}

TEST_CASE("copies to and from the host take a tensor of the device") {
  on_small_device([](Backend& backend) {
    const Tensor host = Tensor::host({3});
    float values[3] = {};
    CHECK(failure([&] { backend.copy_from_host(values, host); }) ==
          "copy target is on cpu, expected cuda:0");
    CHECK(failure([&] { backend.copy_to_host(host, values); }) ==
          "copy source is on cpu, expected cuda:0");
    CHECK(failure([&] { backend.copy_to_host({}, values); }) == "copy source is undefined");
    CHECK_THROWS_AS(backend.copy(host, Tensor::host({3})), Error);
    CHECK_THROWS_AS(backend.copy({}, backend.empty({3})), Error);
    CHECK_THROWS_AS(backend.copy(host, {}), Error);
  });
}

}  // namespace
}  // namespace protolith::test
