// The sources of kernels/cuda, launched on the emulated device's memory and streams.
#include "kernels/cuda/elementwise.h"

#include "tests/gpu_emulation/standins/buffers.h"

namespace protolith::test {
namespace {

TEST_CASE_FIXTURE(Buffers, "kernels run in their stream's order, and in graphs") {
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  REQUIRE(upload(device, stream) == cudaSuccess);
  cuda::fill(other, 2.0F, kCount, stream);
  cuda::add(device, other, device, kCount, stream);
  CHECK(fetched(device)[3] == 5);

  REQUIRE(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal) == cudaSuccess);
  cuda::add(device, other, device, kCount, stream);
  cuda::scale(device, other, device, kCount, stream);
  REQUIRE(cudaStreamEndCapture(stream, &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
  CHECK(fetched(device)[3] == 5);
  for (int i = 0; i < 2; ++i) REQUIRE(cudaGraphLaunch(executable, stream) == cudaSuccess);
  CHECK(fetched(device)[3] == 32);
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
}

}  // namespace
}  // namespace protolith::test
