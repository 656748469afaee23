// The stand-in for the CUDA runtime: copies, streams and events.
#include <cmath>
#include <cstring>

#include "tests/gpu_emulation/standins/buffers.h"

namespace protolith::test {
namespace {

using emulated::counters;
using emulated::fault;
using emulated::Schedule;

TEST_CASE_FIXTURE(Buffers, "work is done only after a synchronising call") {
  REQUIRE(upload(device, stream) == cudaSuccess);
  add_one(stream, device);
  REQUIRE(download(device, stream) == cudaSuccess);
  CHECK(pinned[3] == 3);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(pinned[3] == 4);
  REQUIRE(download(device, stream) == cudaSuccess);
  CHECK(std::isnan(pinned[3]));
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(pinned[3] == 4);
}

TEST_CASE_FIXTURE(Buffers, "a pinned source that the host changes too early changes the copy") {
  REQUIRE(upload(device, stream) == cudaSuccess);
  pinned[3] = -1;
  CHECK(fetched(device)[3] == -1);

  std::vector<float> pageable(kCount, 7.0F);
  REQUIRE(cudaMemcpyAsync(device, pageable.data(), kBytes, cudaMemcpyHostToDevice, stream) ==
          cudaSuccess);
  pageable[3] = -1;
  CHECK(fetched(device)[3] == 7);
}

TEST_CASE_FIXTURE(Buffers, "a copy into pageable memory is done when the call returns") {
  REQUIRE(upload(device, stream) == cudaSuccess);
  std::vector<float> pageable(kCount);
  REQUIRE(cudaMemcpyAsync(pageable.data(), device, kBytes, cudaMemcpyDeviceToHost, stream) ==
          cudaSuccess);
  CHECK(pageable[3] == 3);
}

TEST_CASE_FIXTURE(Buffers, "synchronous copies follow the legacy default stream") {
  // Neither the staged upload nor the copy inside the device makes a non-blocking stream wait.
  std::vector<float> pageable(kCount, 7.0F);
  REQUIRE(cudaMemcpy(device, pageable.data(), kBytes, cudaMemcpyHostToDevice) == cudaSuccess);
  REQUIRE(cudaMemcpy(other, device, kBytes, cudaMemcpyDeviceToDevice) == cudaSuccess);
  REQUIRE(download(other, stream) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(std::isnan(pinned[3]));
  REQUIRE(cudaMemcpy(pinned, other, kBytes, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(pinned[3] == 7);
  // A blocking stream does.
  cudaStream_t blocking;
  REQUIRE(cudaStreamCreateWithFlags(&blocking, cudaStreamDefault) == cudaSuccess);
  REQUIRE(cudaMemset(device, 0, kBytes) == cudaSuccess);
  REQUIRE(download(device, blocking) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(blocking) == cudaSuccess);
  CHECK(pinned[3] == 0);
  add_one(blocking, device);
  REQUIRE(cudaMemcpy(pinned, device, kBytes, cudaMemcpyDeviceToHost) == cudaSuccess);
  CHECK(pinned[3] == 1);
  REQUIRE(cudaStreamDestroy(blocking) == cudaSuccess);
}

TEST_CASE_FIXTURE(Buffers, "streams are ordered by events alone, in both schedules") {
  REQUIRE(set(device, 0, stream) == cudaSuccess);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  SUBCASE("late: a reader that does not wait reads the old value") {
    add_one(stream, device);
    REQUIRE(download(device, second) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(second) == cudaSuccess);
    CHECK(pinned[3] == 0);
  }
  SUBCASE("soon: a writer that does not wait overtakes the reader") {
    REQUIRE(cudaMemcpyAsync(other, device, kBytes, cudaMemcpyDeviceToDevice, stream) ==
            cudaSuccess);
    emulated::set_schedule(Schedule::soonest);
    add_one(second, device);
    CHECK(fetched(other)[3] == 1);
  }
  for (const Schedule schedule : {Schedule::latest, Schedule::soonest}) {
    emulated::set_schedule(schedule);
    REQUIRE(set(device, 0, stream) == cudaSuccess);
    add_one(stream, device);
    REQUIRE(cudaEventRecord(event, stream) == cudaSuccess);
    add_one(stream, other);
    REQUIRE(cudaStreamWaitEvent(second, event, 0) == cudaSuccess);
    REQUIRE(download(device, second) == cudaSuccess);
    REQUIRE(cudaStreamSynchronize(second) == cudaSuccess);
    CHECK(pinned[3] == 1);
  }
}

TEST_CASE_FIXTURE(Buffers, "pollers see pending work and come to its end") {
  CHECK(cudaEventQuery(event) == cudaSuccess);  // nothing recorded
  CHECK(cudaStreamQuery(stream) == cudaSuccess);
  for (int i = 0; i < 10; ++i) add_one(stream, device);
  REQUIRE(cudaEventRecord(event, stream) == cudaSuccess);
  CHECK(cudaEventQuery(event) == cudaErrorNotReady);
  CHECK(cudaPeekAtLastError() == cudaErrorNotReady);
  CHECK(cudaGetLastError() == cudaErrorNotReady);
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(cudaStreamQuery(stream) == cudaErrorNotReady);
  int questions = 0;
  while (cudaEventQuery(event) == cudaErrorNotReady) ++questions;
  CHECK(questions > 0);
  CHECK(questions < 10);
  CHECK(cudaStreamQuery(stream) == cudaSuccess);
}

TEST_CASE_FIXTURE(Buffers, "elapsed time needs completed events that keep time") {
  float milliseconds = -1;
  cudaEvent_t start, end;
  REQUIRE(cudaEventCreate(&start) == cudaSuccess);
  REQUIRE(cudaEventCreate(&end) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaErrorInvalidResourceHandle);
  REQUIRE(cudaEventRecord(start, stream) == cudaSuccess);
  REQUIRE(cudaEventRecord(end, stream) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaErrorNotReady);
  REQUIRE(cudaEventSynchronize(end) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, start, end) == cudaSuccess);
  CHECK(milliseconds >= 0);
  REQUIRE(cudaEventRecord(event, stream) == cudaSuccess);
  CHECK(cudaEventElapsedTime(&milliseconds, start, event) == cudaErrorInvalidResourceHandle);
  cudaEventDestroy(start);
  cudaEventDestroy(end);
}

TEST_CASE_FIXTURE(Buffers, "copies whose direction or range is wrong are refused") {
  std::vector<float> host(kCount);
  const auto copy = [&](void* to, const void* from, cudaMemcpyKind kind,
                        std::size_t bytes = kBytes) {
    return cudaMemcpyAsync(to, from, bytes, kind, stream);
  };
  CHECK(copy(device, host.data(), cudaMemcpyDeviceToHost) == cudaErrorInvalidValue);
  CHECK(copy(host.data(), device, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(copy(device, pinned, cudaMemcpyDeviceToDevice) == cudaErrorInvalidValue);
  CHECK(copy(device, pinned, static_cast<cudaMemcpyKind>(7)) == cudaErrorInvalidMemcpyDirection);
  CHECK(copy(device, pinned, cudaMemcpyHostToDevice, kBytes + 1) == cudaErrorInvalidValue);
  CHECK(copy(device + kCount, pinned, cudaMemcpyHostToDevice, 4) == cudaErrorInvalidValue);
  CHECK(copy(nullptr, pinned, cudaMemcpyHostToDevice) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(pinned, 0, kBytes, stream) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(device, 0, kBytes + 1, stream) == cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(device, pinned, kBytes, cudaMemcpyDefault,
                        reinterpret_cast<cudaStream_t>(&host)) == cudaErrorInvalidResourceHandle);
  CHECK(fault().empty());
  CHECK(copy(device, pinned, cudaMemcpyDefault) == cudaSuccess);
  CHECK(copy(host.data(), device, cudaMemcpyDefault) == cudaSuccess);
  CHECK(host[3] == 3);
}

TEST_CASE_FIXTURE(Buffers, "handles that are not live are refused") {
  cudaStream_t gone;
  REQUIRE(cudaStreamCreateWithFlags(&gone, cudaStreamNonBlocking) == cudaSuccess);
  add_one(gone, device);
  REQUIRE(cudaStreamDestroy(gone) == cudaSuccess);
  CHECK(cudaStreamSynchronize(gone) == cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamDestroy(gone) == cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamDestroy(nullptr) == cudaErrorInvalidResourceHandle);
  CHECK(cudaEventRecord(nullptr, stream) == cudaErrorInvalidResourceHandle);
  CHECK(cudaStreamCreateWithFlags(&gone, 2) == cudaErrorInvalidValue);
  CHECK(cudaEventCreateWithFlags(nullptr, 0) == cudaErrorInvalidValue);
  CHECK_THROWS(launch(gone, [] {}));
}

TEST_CASE_FIXTURE(Buffers, "counters tell what was asked for") {
  emulated::reset_counters();
  counters().record_work = true;
  REQUIRE(upload(device, stream) == cudaSuccess);
  add_one(stream, device);
  REQUIRE(set(other, 0, stream) == cudaSuccess);
  REQUIRE(download(device, stream) == cudaSuccess);
  CHECK(counters().done.empty());
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  std::vector<std::string> names;
  std::uint64_t read = 0, written = 0;
  for (const emulated::Done& done : counters().done) {
    names.push_back(done.name);
    read += done.read;
    written += done.written;
  }
  CHECK(names == std::vector<std::string>{"copy", "kernel", "fill", "copy"});
  CHECK(read == kBytes);         // the download; what a kernel reads is not known
  CHECK(written == 2 * kBytes);  // the upload and the fill
  CHECK(counters().kernels == 1);
  CHECK(counters().copies == 2);
  CHECK(counters().fills == 1);
  CHECK(counters().bytes_to_device == kBytes);
  CHECK(counters().bytes_to_host == kBytes);
  CHECK(counters().host_submissions == 4);
  CHECK(counters().synchronisations == 1);
  CHECK(counters().allocations == 0);
}

TEST_CASE_FIXTURE(FreshDevice, "a machine without a device refuses everything") {
  int count = -1, version = -1;
  emulated::set_machine(cudaErrorNoDevice, 0, 13000);
  CHECK(cudaGetDeviceCount(&count) == cudaErrorNoDevice);
  CHECK(count == 0);
  CHECK(cudaDriverGetVersion(&version) == cudaSuccess);
  CHECK(version == 13000);
  void* pointer = nullptr;
  CHECK(cudaMalloc(&pointer, 4) == cudaErrorNoDevice);
}

TEST_CASE_FIXTURE(FreshDevice, "the device has the properties that the backend asks for") {
  cudaDeviceProp properties;
  emulated::set_compute_capability(8, 6);
  emulated::set_total_memory(std::size_t{1} << 20);
  REQUIRE(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(properties.major == 8);
  CHECK(properties.minor == 6);
  CHECK(properties.totalGlobalMem == std::size_t{1} << 20);
  int value = 0;
  CHECK(cudaDeviceGetAttribute(&value, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess);
  CHECK(value == 8);
  CHECK(cudaGetDeviceProperties(&properties, 1) == cudaErrorInvalidDevice);
  CHECK(cudaSetDevice(1) == cudaErrorInvalidDevice);
  CHECK(cudaSetDevice(0) == cudaSuccess);
}

}  // namespace
}  // namespace protolith::test
