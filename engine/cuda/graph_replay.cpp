#include "engine/cuda/graph_replay.h"

namespace protolith::cuda {
namespace {

/// Records a stream's work from its making until end(); an exception leaves the stream as it was.
class Capture {
 public:
  explicit Capture(cudaStream_t stream) : stream_(stream) {
    PROTOLITH_CUDA(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeThreadLocal));
  }
  ~Capture() {
    if (ended_) return;
    cudaGraph_t graph = nullptr;
    static_cast<void>(cudaStreamEndCapture(stream_, &graph));
    if (graph != nullptr) static_cast<void>(cudaGraphDestroy(graph));
    static_cast<void>(cudaGetLastError());
  }
  Capture(const Capture&) = delete;
  Capture& operator=(const Capture&) = delete;

  OwnedGraph end() {
    ended_ = true;
    cudaGraph_t graph = nullptr;
    PROTOLITH_CUDA(cudaStreamEndCapture(stream_, &graph));
    return OwnedGraph(graph);
  }

 private:
  cudaStream_t stream_;
  bool ended_ = false;
};

}  // namespace

bool is_recording(cudaStream_t stream) {
  cudaStreamCaptureStatus status{};
  PROTOLITH_CUDA(cudaStreamIsCapturing(stream, &status));
  return status != cudaStreamCaptureStatusNone;
}

void GraphReplay::record() {
  const ProfileRange range(backend_.profiler(), "graph recording");
  Capture capture(stream_);
  work_();
  const OwnedGraph graph = capture.end();
  cudaGraphExec_t executable = nullptr;
  PROTOLITH_CUDA(cudaGraphInstantiate(&executable, graph.get(), 0));
  graph_.reset(executable);
}

void GraphReplay::run() {
  if (!warm_) {
    work_();
    warm_ = true;
  } else {
    if (!graph_) record();
    const ProfileRange range(backend_.profiler(), "graph launch");
    PROTOLITH_CUDA(cudaGraphLaunch(graph_.get(), stream_));
  }
  backend_.end_step();
}

}  // namespace protolith::cuda
