// Captures and graphs of the stand-in for the CUDA runtime.
#include <cmath>
#include <thread>

#include "tests/gpu_emulation/standins/buffers.h"

namespace protolith::test {
namespace {

using emulated::counters;
using emulated::fault;

struct Captures : Buffers {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;

  void begin(cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal) {
    REQUIRE(cudaStreamBeginCapture(stream, mode) == cudaSuccess);
  }
  cudaError_t end() { return cudaStreamEndCapture(stream, &graph); }
  cudaStreamCaptureStatus status() {
    cudaStreamCaptureStatus answer = cudaStreamCaptureStatusNone;
    REQUIRE(cudaStreamIsCapturing(stream, &answer) == cudaSuccess);
    return answer;
  }
  void end_invalidated() {
    CHECK(status() == cudaStreamCaptureStatusInvalidated);
    CHECK(end() == cudaErrorStreamCaptureInvalidated);
    CHECK(graph == nullptr);
    CHECK(status() == cudaStreamCaptureStatusNone);
  }
  void instantiate() {
    REQUIRE(end() == cudaSuccess);
    REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
    REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  }
  std::size_t nodes() {
    std::size_t count = 0;
    REQUIRE(cudaGraphGetNodes(graph, nullptr, &count) == cudaSuccess);
    return count;
  }
};

TEST_CASE_FIXTURE(Captures, "a graph does its work at each launch, in the order of the stream") {
  begin();
  REQUIRE(upload(device, stream) == cudaSuccess);
  add_one(stream, device);
  REQUIRE(download(device, stream) == cudaSuccess);
  CHECK(status() == cudaStreamCaptureStatusActive);
  instantiate();
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  CHECK(std::isnan(fetched(device)[3]));

  emulated::reset_counters();
  pinned[3] = 10;  // read when the graph runs
  for (int i = 0; i < 3; ++i) REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
  CHECK(pinned[3] == 10);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(pinned[3] == 13);
  CHECK(counters().graph_launches == 3);
  CHECK(counters().host_submissions == 0);
  CHECK(counters().kernels == 3);
  CHECK(counters().copies == 6);
  CHECK(counters().bytes_to_device == 3 * kBytes);
  REQUIRE(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphLaunch(executable, stream) == cudaErrorInvalidValue);
}

TEST_CASE_FIXTURE(Captures, "launches of one graph follow each other across streams") {
  REQUIRE(set(device, 0, stream) == cudaSuccess);
  REQUIRE(cudaDeviceSynchronize() == cudaSuccess);
  begin();
  add_one(stream, device);
  instantiate();
  REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
  REQUIRE(cudaGraphLaunch(executable, second) == cudaSuccess);
  REQUIRE(download(device, second) == cudaSuccess);
  REQUIRE(cudaGraphExecDestroy(executable) == cudaSuccess);  // under way
  REQUIRE(cudaStreamSynchronize(second) == cudaSuccess);
  CHECK(pinned[3] == 2);
}

TEST_CASE_FIXTURE(Captures, "nodes are listed with their kinds") {
  begin();
  REQUIRE(upload(device, stream) == cudaSuccess);
  add_one(stream, device);
  REQUIRE(set(other, 0, stream) == cudaSuccess);
  REQUIRE(end() == cudaSuccess);
  CHECK(nodes() == 3);
  cudaGraphNode_t listed[5];
  std::size_t count = 5;
  REQUIRE(cudaGraphGetNodes(graph, listed, &count) == cudaSuccess);
  CHECK(count == 3);
  CHECK(listed[3] == nullptr);
  const cudaGraphNodeType types[] = {cudaGraphNodeTypeMemcpy, cudaGraphNodeTypeKernel,
                                     cudaGraphNodeTypeMemset};
  for (std::size_t i = 0; i < 3; ++i) {
    cudaGraphNodeType type;
    REQUIRE(cudaGraphNodeGetType(listed[i], &type) == cudaSuccess);
    CHECK(type == types[i]);
  }
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaErrorInvalidValue);
}

TEST_CASE_FIXTURE(Captures, "what a capture cannot see is refused and ends it") {
  void* pointer = nullptr;
  std::vector<float> host(kCount);
  begin();
  cudaError_t expected = cudaErrorStreamCaptureUnsupported;
  SUBCASE("cudaMalloc") {
    CHECK(cudaMalloc(&pointer, 4) == expected);
  }
  SUBCASE("cudaFree") {
    CHECK(cudaFree(device) == expected);
  }
  SUBCASE("cudaMallocHost") {
    CHECK(cudaMallocHost(&pointer, 4) == expected);
  }
  SUBCASE("cudaFreeHost") {
    CHECK(cudaFreeHost(pinned) == expected);
  }
  SUBCASE("cudaStreamSynchronize") {
    CHECK(cudaStreamSynchronize(stream) == expected);
  }
  SUBCASE("cudaStreamQuery") {
    CHECK(cudaStreamQuery(stream) == expected);
  }
  SUBCASE("cudaDeviceSynchronize") {
    CHECK(cudaDeviceSynchronize() == expected);
  }
  SUBCASE("cudaEventQuery of an event outside") {
    CHECK(cudaEventQuery(event) == expected);
  }
  SUBCASE("cudaMemcpy") {
    CHECK(cudaMemcpy(host.data(), device, 4, cudaMemcpyDeviceToHost) == expected);
  }
  SUBCASE("pageable copies") {
    CHECK(cudaMemcpyAsync(device, host.data(), 4, cudaMemcpyHostToDevice, stream) == expected);
  }
  SUBCASE("cudaStreamDestroy") {
    CHECK(cudaStreamDestroy(stream) == expected);
  }
  SUBCASE("a captured event") {
    REQUIRE(cudaEventRecord(event, stream) == cudaSuccess);
    CHECK(cudaEventSynchronize(event) == cudaErrorCapturedEvent);
  }
  SUBCASE("an event from outside") {
    REQUIRE(cudaEventRecord(event, second) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(stream, event, 0) == cudaErrorStreamCaptureIsolation);
  }
  CHECK(set(device, 0, stream) == cudaErrorStreamCaptureInvalidated);
  end_invalidated();
  CHECK(fault().empty());
}

TEST_CASE_FIXTURE(Captures, "a relaxed capture sees no harm in allocations") {
  void* pointer = nullptr;
  begin(cudaStreamCaptureModeRelaxed);
  CHECK(cudaMalloc(&pointer, 4) == cudaSuccess);
  CHECK(cudaFree(pointer) == cudaSuccess);
  CHECK(cudaStreamSynchronize(stream) == cudaErrorStreamCaptureUnsupported);
  end_invalidated();
}

TEST_CASE_FIXTURE(Captures, "other threads are bound by a global capture alone") {
  const auto elsewhere = [](auto&& f) {
    cudaError_t status = cudaSuccess;
    std::thread([&] { status = f(); }).join();
    return status;
  };
  const auto allocate = [] {
    void* pointer = nullptr;
    const cudaError_t status = cudaMalloc(&pointer, 4);
    cudaFree(pointer);
    return status;
  };
  begin(cudaStreamCaptureModeThreadLocal);
  CHECK(elsewhere(allocate) == cudaSuccess);
  CHECK(elsewhere([&] { return cudaStreamSynchronize(second); }) == cudaSuccess);
  CHECK(elsewhere([&] { return end(); }) == cudaErrorStreamCaptureWrongThread);
  REQUIRE(end() == cudaSuccess);
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
  begin(cudaStreamCaptureModeGlobal);
  CHECK(elsewhere([&] {
          cudaStreamCaptureMode mode = cudaStreamCaptureModeThreadLocal;
          cudaThreadExchangeStreamCaptureMode(&mode);
          return allocate();
        }) == cudaSuccess);
  CHECK(elsewhere(allocate) == cudaErrorStreamCaptureUnsupported);
  end_invalidated();
}

TEST_CASE_FIXTURE(Captures, "other streams fork from a capture and must join it") {
  begin();
  add_one(stream, device);
  REQUIRE(cudaEventRecord(event, stream) == cudaSuccess);
  REQUIRE(cudaStreamWaitEvent(second, event, 0) == cudaSuccess);
  add_one(second, other);
  SUBCASE("joined") {
    REQUIRE(cudaEventRecord(event, second) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(stream, event, 0) == cudaSuccess);
    CHECK(cudaStreamEndCapture(second, &graph) == cudaErrorStreamCaptureUnmatched);
    end_invalidated();
  }
  SUBCASE("joined and ended where it began") {
    REQUIRE(cudaEventRecord(event, second) == cudaSuccess);
    REQUIRE(cudaStreamWaitEvent(stream, event, 0) == cudaSuccess);
    REQUIRE(end() == cudaSuccess);
    CHECK(nodes() == 2);
    CHECK(cudaGraphDestroy(graph) == cudaSuccess);
    CHECK(cudaStreamSynchronize(second) == cudaSuccess);
    CHECK(cudaStreamWaitEvent(second, event, 0) == cudaErrorCapturedEvent);
  }
  SUBCASE("not joined") {
    CHECK(end() == cudaErrorStreamCaptureUnjoined);
    CHECK(graph == nullptr);
  }
}

TEST_CASE_FIXTURE(Captures, "captures do not merge, nest or begin on the legacy stream") {
  cudaGraph_t none = nullptr;
  CHECK(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal) ==
        cudaErrorStreamCaptureUnsupported);
  CHECK(cudaStreamEndCapture(stream, &none) == cudaErrorIllegalState);
  begin();
  CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal) == cudaErrorIllegalState);
  REQUIRE(cudaStreamBeginCapture(second, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  REQUIRE(cudaEventRecord(event, second) == cudaSuccess);
  CHECK(cudaStreamWaitEvent(stream, event, 0) == cudaErrorStreamCaptureMerge);
  end_invalidated();
  CHECK(cudaStreamEndCapture(second, &none) == cudaErrorStreamCaptureInvalidated);
}

TEST_CASE_FIXTURE(Captures, "the legacy stream is unusable while a blocking stream captures") {
  cudaStream_t blocking;
  REQUIRE(cudaStreamCreate(&blocking) == cudaSuccess);
  REQUIRE(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed) == cudaSuccess);
  cudaStreamCaptureStatus answer;
  CHECK(cudaStreamIsCapturing(nullptr, &answer) == cudaErrorStreamCaptureImplicit);
  REQUIRE(cudaStreamIsCapturing(blocking, &answer) == cudaSuccess);
  CHECK(answer == cudaStreamCaptureStatusActive);
  CHECK(set(device, 0, nullptr) == cudaErrorStreamCaptureImplicit);
  CHECK(cudaStreamEndCapture(blocking, &graph) == cudaErrorStreamCaptureInvalidated);
  REQUIRE(cudaStreamDestroy(blocking) == cudaSuccess);
  // Beside a non-blocking one it goes on.
  begin(cudaStreamCaptureModeRelaxed);
  CHECK(set(device, 0, nullptr) == cudaSuccess);
  REQUIRE(end() == cudaSuccess);
  REQUIRE(cudaGraphDestroy(graph) == cudaSuccess);
}

TEST_CASE_FIXTURE(Captures, "a graph whose memory is gone faults") {
  float* const gone = allocated();
  begin();
  REQUIRE(set(gone, 0, stream) == cudaSuccess);
  instantiate();
  REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
  REQUIRE(cudaFree(gone) == cudaSuccess);  // waits for the launch
  CHECK(fault().empty());
  CHECK(cudaGraphLaunch(executable, stream) == cudaErrorIllegalAddress);
  CHECK(fault().find("freed") != std::string::npos);
  CHECK(cudaGraphExecDestroy(executable) == cudaErrorIllegalAddress);
}

}  // namespace
}  // namespace protolith::test
