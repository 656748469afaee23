// A step as one CUDA graph.
#pragma once

#include <functional>

#include "engine/backend.h"
#include "engine/cuda/handles.h"

namespace protolith::cuda {

/// The first run calls the work (which makes plans and takes memory), the second one records it,
/// and from then on a run is one launch of the graph: the same kernels on the same addresses, so
/// the same bits.
class GraphReplay final : public Replay {
 public:
  GraphReplay(Backend& backend, cudaStream_t stream, std::function<void()> work)
      : backend_(backend), stream_(stream), work_(std::move(work)) {}
  void run() override;

 private:
  void record();

  Backend& backend_;
  cudaStream_t stream_;
  std::function<void()> work_;
  bool warm_ = false;
  OwnedGraphExec graph_;
};

/// Whether the stream's work is being recorded rather than done.
bool is_recording(cudaStream_t stream);

}  // namespace protolith::cuda
