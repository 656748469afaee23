// Streams and events.
#include <algorithm>

#include "tests/gpu_emulation/device/runtime.h"

using namespace protolith::emulated;

namespace {

// How much of what a poller waits for each question lets run.
constexpr std::size_t kItemsPerQuery = 4;

void require(bool condition, cudaError_t status) {
  if (!condition) throw Failure{status};
}

// Answers that work is pending, and lets some of it run, so that whoever asks again comes to an
// end.
void query(Device& d, const std::shared_ptr<Pending>& item) {
  if (item == nullptr || item->done) return;
  d.scheduler.run(item, kItemsPerQuery);
  throw Failure{cudaErrorNotReady};
}

// A captured event stands for graph nodes, not for work whose end one could ask for.
void require_no_capture(Device& d, const CUevent_st& event) {
  if (event.capture != nullptr) {
    event.capture->valid = false;
    throw Failure{cudaErrorCapturedEvent};
  }
  d.forbid_during_capture();
}

void wait_captured(Device& d, CUstream_st& stream, const CUevent_st& event) {
  if (event.capture == nullptr) {
    stream.capture->valid = false;
    throw Failure{cudaErrorStreamCaptureIsolation};
  }
  require(!event.capture->ended, cudaErrorCapturedEvent);
  require(!stream.legacy(), cudaErrorStreamCaptureImplicit);
  if (stream.capture != nullptr && stream.capture != event.capture) {
    stream.capture->valid = event.capture->valid = false;
    throw Failure{cudaErrorStreamCaptureMerge};
  }
  require(event.capture->valid, cudaErrorStreamCaptureInvalidated);
  (void)d;
  stream.capture = event.capture;
  for (CUgraphNode_st* node : event.nodes) {
    if (std::find(stream.tail.begin(), stream.tail.end(), node) == stream.tail.end()) {
      stream.tail.push_back(node);
    }
  }
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return call([&](Device& d) {
    require(stream != nullptr && (flags & ~unsigned{cudaStreamNonBlocking}) == 0,
            cudaErrorInvalidValue);
    d.forbid_during_capture();
    *stream = d.streams.add(
        std::unique_ptr<CUstream_st>(new CUstream_st{d.next_stream++, flags, nullptr, {}}));
  });
}

cudaError_t cudaStreamCreate(cudaStream_t* stream) {
  return cudaStreamCreateWithFlags(stream, cudaStreamDefault);
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  return release_call([&](Device& d) {
    CUstream_st& stream = d.stream(handle);
    require(!stream.legacy(), cudaErrorInvalidResourceHandle);
    d.require_no_capture(stream);
    d.streams.remove(handle);  // what is queued there stays queued
  });
}

cudaError_t cudaStreamGetFlags(cudaStream_t handle, unsigned* flags) {
  return call([&](Device& d) {
    const CUstream_st& stream = d.stream(handle);
    require(flags != nullptr, cudaErrorInvalidValue);
    *flags = stream.flags;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  return call([&](Device& d) {
    CUstream_st& stream = d.stream(handle);
    d.require_no_capture(stream);
    d.synchronise(stream);
  });
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  return call([&](Device& d) {
    CUstream_st& stream = d.stream(handle);
    d.require_no_capture(stream);
    query(d, d.scheduler.end_of(stream));
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event_handle, unsigned flags) {
  return call([&](Device& d) {
    CUstream_st& stream = d.stream(handle);
    const CUevent_st& event = d.events.get(event_handle);
    require(flags == cudaEventWaitDefault, cudaErrorInvalidValue);
    d.forbid_implicit(stream);
    if (stream.capture != nullptr || event.capture != nullptr) {
      wait_captured(d, stream, event);
    } else if (event.record != nullptr && !event.record->done) {
      d.scheduler.push(stream, nullptr, {event.record});
    }
  });
}

cudaError_t cudaDeviceSynchronize() {
  return call([&](Device& d) {
    d.forbid_during_capture();
    d.synchronise();
  });
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return call([&](Device& d) {
    constexpr unsigned kFlags = cudaEventBlockingSync | cudaEventDisableTiming;
    require(event != nullptr && (flags & ~kFlags) == 0, cudaErrorInvalidValue);
    *event = d.events.add(std::unique_ptr<CUevent_st>(new CUevent_st{flags, nullptr, nullptr, {}}));
  });
}

cudaError_t cudaEventCreate(cudaEvent_t* event) {
  return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return release_call([&](Device& d) { d.events.remove(event); });
}

cudaError_t cudaEventRecord(cudaEvent_t handle, cudaStream_t stream_handle) {
  return call([&](Device& d) {
    CUevent_st& event = d.events.get(handle);
    CUstream_st& stream = d.stream(stream_handle);
    d.forbid_implicit(stream);
    if (stream.capture != nullptr) {
      require(stream.capture->valid, cudaErrorStreamCaptureInvalidated);
      event.capture = stream.capture;
      event.nodes = stream.tail;
      event.record = nullptr;
    } else {
      event.capture = nullptr;
      event.nodes.clear();
      event.record = d.scheduler.push(stream, nullptr);
    }
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return call([&](Device& d) {
    const CUevent_st& event = d.events.get(handle);
    require_no_capture(d, event);
    ++d.counters.synchronisations;
    d.scheduler.run(event.record);
  });
}

cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return call([&](Device& d) {
    const CUevent_st& event = d.events.get(handle);
    require_no_capture(d, event);
    query(d, event.record);
  });
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t start, cudaEvent_t end) {
  return call([&](Device& d) {
    const CUevent_st &a = d.events.get(start), &b = d.events.get(end);
    require(milliseconds != nullptr, cudaErrorInvalidValue);
    for (const CUevent_st* event : {&a, &b}) {
      require((event->flags & cudaEventDisableTiming) == 0, cudaErrorInvalidResourceHandle);
      require(event->capture == nullptr, cudaErrorCapturedEvent);
      require(event->record != nullptr, cudaErrorInvalidResourceHandle);
    }
    require(a.record->done && b.record->done, cudaErrorNotReady);
    *milliseconds =
        std::chrono::duration<float, std::milli>(b.record->finished - a.record->finished).count();
  });
}

}  // extern "C"
