// What a capture forbids, and how it begins and ends.
#include <algorithm>
#include <utility>

#include "tests/gpu_emulation/device/runtime.h"

namespace protolith::emulated {
namespace {

thread_local cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

// Whether calls that a capture would not see are forbidden to this thread on the capture's account.
bool protects(const Capture& capture) {
  if (thread_mode == cudaStreamCaptureModeRelaxed) return false;
  if (capture.thread == std::this_thread::get_id()) {
    return capture.mode != cudaStreamCaptureModeRelaxed;
  }
  return thread_mode == cudaStreamCaptureModeGlobal && capture.mode == cudaStreamCaptureModeGlobal;
}

// Whether every node comes, at whatever distance, before the origin stream's end.
bool joined(const Capture& capture) {
  std::set<const CUgraphNode_st*> reached;
  std::vector<CUgraphNode_st*> left = capture.origin->tail;
  while (!left.empty()) {
    CUgraphNode_st* const node = left.back();
    left.pop_back();
    if (!reached.insert(node).second) continue;
    left.insert(left.end(), node->after.begin(), node->after.end());
  }
  return reached.size() == capture.graph->nodes.size();
}

template <class F>
void for_each_stream_in(Device& d, const Capture& capture, F&& f) {
  d.streams.for_each([&](CUstream_st& stream) {
    if (stream.capture.get() == &capture) f(stream);
  });
}

}  // namespace

void Device::forbid_during_capture() {
  bool forbidden = false;
  for (const auto& capture : captures) {
    if (protects(*capture)) {
      capture->valid = false;
      forbidden = true;
    }
  }
  if (forbidden) throw Failure{cudaErrorStreamCaptureUnsupported};
}

void Device::forbid_implicit(const CUstream_st& target) {
  if (!target.legacy()) return;
  bool forbidden = false;
  for (const auto& capture : captures) {
    for_each_stream_in(*this, *capture, [&](const CUstream_st& stream) {
      if (!stream.blocking()) return;
      capture->valid = false;
      forbidden = true;
    });
  }
  if (forbidden) throw Failure{cudaErrorStreamCaptureImplicit};
}

void Device::require_no_capture(CUstream_st& target) {
  forbid_implicit(target);
  if (target.capture == nullptr) return;
  const bool was_valid = std::exchange(target.capture->valid, false);
  throw Failure{was_valid ? cudaErrorStreamCaptureUnsupported : cudaErrorStreamCaptureInvalidated};
}

}  // namespace protolith::emulated

using namespace protolith::emulated;

extern "C" {

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  return call([&](Device& d) {
    CUstream_st& stream = d.stream(handle);
    if (stream.legacy()) throw Failure{cudaErrorStreamCaptureUnsupported};
    if (mode < cudaStreamCaptureModeGlobal || mode > cudaStreamCaptureModeRelaxed) {
      throw Failure{cudaErrorInvalidValue};
    }
    if (stream.capture != nullptr) throw Failure{cudaErrorIllegalState};
    auto capture = std::make_shared<Capture>();
    capture->mode = mode;
    capture->thread = std::this_thread::get_id();
    capture->origin = &stream;
    capture->id = d.next_graph++;
    d.captures.insert(capture);
    stream.capture = std::move(capture);
    stream.tail.clear();
  });
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  return call([&](Device& d) {
    CUstream_st& stream = d.stream(handle);
    if (graph == nullptr) throw Failure{cudaErrorInvalidValue};
    const auto capture = stream.capture;
    if (capture == nullptr) throw Failure{cudaErrorIllegalState};
    if (capture->origin != &stream) {
      capture->valid = false;
      throw Failure{cudaErrorStreamCaptureUnmatched};
    }
    if (capture->mode != cudaStreamCaptureModeRelaxed &&
        capture->thread != std::this_thread::get_id()) {
      throw Failure{cudaErrorStreamCaptureWrongThread};
    }
    *graph = nullptr;
    const bool is_joined = joined(*capture);
    for_each_stream_in(d, *capture, [](CUstream_st& member) {
      member.capture = nullptr;
      member.tail.clear();
    });
    capture->ended = true;
    d.captures.erase(capture);
    if (!capture->valid) throw Failure{cudaErrorStreamCaptureInvalidated};
    if (!is_joined) throw Failure{cudaErrorStreamCaptureUnjoined};
    *graph = d.graphs.add(std::move(capture->graph));
  });
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  return call([&](Device& d) {
    const CUstream_st& stream = d.stream(handle);
    if (status == nullptr) throw Failure{cudaErrorInvalidValue};
    if (stream.legacy()) {  // this question alone does not invalidate a capture
      for (const auto& capture : d.captures) {
        if (capture->origin->blocking()) throw Failure{cudaErrorStreamCaptureImplicit};
      }
    }
    *status = stream.capture == nullptr ? cudaStreamCaptureStatusNone
              : stream.capture->valid   ? cudaStreamCaptureStatusActive
                                        : cudaStreamCaptureStatusInvalidated;
  });
}

cudaError_t cudaThreadExchangeStreamCaptureMode(cudaStreamCaptureMode* mode) {
  return call([&](Device&) {
    if (mode == nullptr || *mode < cudaStreamCaptureModeGlobal ||
        *mode > cudaStreamCaptureModeRelaxed) {
      throw Failure{cudaErrorInvalidValue};
    }
    std::swap(*mode, thread_mode);
  });
}

}  // extern "C"
