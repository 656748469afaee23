// A stand-in for the part of CUPTI that the engine uses: records of the work that the emulated
// device does, handed out in buffers that the program gives. The program finds it as it finds a
// CUPTI that is in the process already.
#include <cuda.h>
#include <cupti.h>

#include <cstdint>
#include <cstring>
#include <deque>
#include <set>
#include <string>

#include "tests/gpu_emulation/device/runtime.h"

using namespace protolith::emulated;

namespace {

constexpr std::size_t kAlignment = 8;

/// A record that no buffer holds yet; names live as long as the process.
union Record {
  CUpti_ActivityKernel9 kernel;
  CUpti_ActivityMemcpy5 copy;
  CUpti_ActivityMemset4 fill;
};
struct Waiting {
  Record record;
  std::size_t bytes;
};

struct State {
  CUpti_BuffersCallbackRequestFunc request = nullptr;
  CUpti_BuffersCallbackCompleteFunc complete = nullptr;
  CUpti_TimestampCallbackFunc clock = nullptr;
  std::set<CUpti_ActivityKind> enabled;
  std::deque<Waiting> waiting;
  std::set<std::string> names;
};

State& state() {
  static State* const s = new State;
  return *s;
}

CUpti_ActivityKind kind_of(WorkKind kind) {
  return kind == WorkKind::copy   ? CUPTI_ACTIVITY_KIND_MEMCPY
         : kind == WorkKind::fill ? CUPTI_ACTIVITY_KIND_MEMSET
                                  : CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL;
}

template <class T>
void fill_common(T& r, CUpti_ActivityKind kind, const Task& task, std::uint64_t stream,
                 std::uint64_t begin, std::uint64_t end) {
  r.kind = kind;
  r.start = begin;
  r.end = end;
  r.streamId = static_cast<std::uint32_t>(stream);
  r.graphId = task.graph;
}

void observe(const Task& task, std::uint64_t stream, std::uint64_t begin, std::uint64_t end) {
  State& s = state();
  const CUpti_ActivityKind kind = kind_of(task.kind);
  if (!s.enabled.contains(kind)) return;
  std::uint64_t written = 0;
  for (const Operand& operand : task.operands) written += operand.written ? operand.bytes : 0;
  Waiting waiting{};
  std::memset(&waiting.record, 0, sizeof waiting.record);
  if (kind == CUPTI_ACTIVITY_KIND_MEMCPY) {
    auto& r = waiting.record.copy;
    fill_common(r, kind, task, stream, begin, end);
    r.bytes = written;
    r.copyKind = task.bytes_to_device > 0 ? CUPTI_ACTIVITY_MEMCPY_KIND_HTOD
                 : task.bytes_to_host > 0 ? CUPTI_ACTIVITY_MEMCPY_KIND_DTOH
                                          : CUPTI_ACTIVITY_MEMCPY_KIND_DTOD;
    waiting.bytes = sizeof r;
  } else if (kind == CUPTI_ACTIVITY_KIND_MEMSET) {
    auto& r = waiting.record.fill;
    fill_common(r, kind, task, stream, begin, end);
    r.bytes = written;
    waiting.bytes = sizeof r;
  } else {
    auto& r = waiting.record.kernel;
    fill_common(r, kind, task, stream, begin, end);
    r.name = s.names.insert(task.name).first->c_str();
    waiting.bytes = sizeof r;
  }
  s.waiting.push_back(waiting);
}

/// Runs a call's body, which gives a CUptiResult, unless a test wants it to fail.
template <class F>
CUptiResult cupti_call(const char* name, F&& body) {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  if (d.failing_driver_call == name) {
    d.failing_driver_call.clear();
    return CUPTI_ERROR_INSUFFICIENT_PRIVILEGES;
  }
  return body(d);
}

/// One buffer's worth of what waits.
CUptiResult hand_out(State& s) {
  std::uint8_t* buffer = nullptr;
  std::size_t bytes = 0, most = 0;
  s.request(&buffer, &bytes, &most);
  if (buffer == nullptr || bytes == 0) return CUPTI_ERROR_OUT_OF_MEMORY;
  if (reinterpret_cast<std::uintptr_t>(buffer) % kAlignment != 0) {
    return CUPTI_ERROR_INVALID_PARAMETER;
  }
  std::size_t used = 0, records = 0;
  while (!s.waiting.empty() && used + s.waiting.front().bytes <= bytes &&
         (most == 0 || records < most)) {
    std::memcpy(buffer + used, &s.waiting.front().record, s.waiting.front().bytes);
    used += s.waiting.front().bytes;
    s.waiting.pop_front();
    ++records;
  }
  s.complete(nullptr, 0, buffer, bytes, used);
  return records > 0 ? CUPTI_SUCCESS : CUPTI_ERROR_INVALID_PARAMETER;  // too small for one
}

std::size_t size_of(CUpti_ActivityKind kind) {
  return kind == CUPTI_ACTIVITY_KIND_MEMCPY   ? sizeof(CUpti_ActivityMemcpy5)
         : kind == CUPTI_ACTIVITY_KIND_MEMSET ? sizeof(CUpti_ActivityMemset4)
                                              : sizeof(CUpti_ActivityKernel9);
}

}  // namespace

extern "C" {

// As the real one wants it: before any kind is enabled.
CUptiResult CUPTIAPI cuptiActivityRegisterTimestampCallback(CUpti_TimestampCallbackFunc clock) {
  return cupti_call("cuptiActivityRegisterTimestampCallback", [&](Device&) {
    if (clock == nullptr) return CUPTI_ERROR_INVALID_PARAMETER;
    if (!state().enabled.empty()) return CUPTI_ERROR_INVALID_OPERATION;
    state().clock = clock;
    return CUPTI_SUCCESS;
  });
}

CUptiResult CUPTIAPI cuptiActivityRegisterCallbacks(CUpti_BuffersCallbackRequestFunc request,
                                                    CUpti_BuffersCallbackCompleteFunc complete) {
  return cupti_call("cuptiActivityRegisterCallbacks", [&](Device&) {
    if (request == nullptr || complete == nullptr) return CUPTI_ERROR_INVALID_PARAMETER;
    state().request = request;
    state().complete = complete;
    return CUPTI_SUCCESS;
  });
}

CUptiResult CUPTIAPI cuptiActivityEnable(CUpti_ActivityKind kind) {
  return cupti_call("cuptiActivityEnable", [&](Device& d) {
    if (kind != CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL && kind != CUPTI_ACTIVITY_KIND_MEMCPY &&
        kind != CUPTI_ACTIVITY_KIND_MEMSET) {
      return CUPTI_ERROR_INVALID_KIND;
    }
    if (state().clock == nullptr || state().request == nullptr) return CUPTI_ERROR_NOT_INITIALIZED;
    state().enabled.insert(kind);
    d.clock = state().clock;
    d.observer = observe;
    return CUPTI_SUCCESS;
  });
}

CUptiResult CUPTIAPI cuptiActivityDisable(CUpti_ActivityKind kind) {
  return cupti_call("cuptiActivityDisable", [&](Device& d) {
    state().enabled.erase(kind);
    if (state().enabled.empty()) d.observer = nullptr;
    return CUPTI_SUCCESS;
  });
}

CUptiResult CUPTIAPI cuptiActivityFlushAll(std::uint32_t flag) {
  return cupti_call("cuptiActivityFlushAll", [&](Device&) {
    if (flag > CUPTI_ACTIVITY_FLAG_FLUSH_FORCED) return CUPTI_ERROR_INVALID_PARAMETER;
    if (state().request == nullptr) return CUPTI_ERROR_INVALID_OPERATION;
    while (!state().waiting.empty()) {
      if (const CUptiResult result = hand_out(state()); result != CUPTI_SUCCESS) return result;
    }
    return CUPTI_SUCCESS;
  });
}

CUptiResult CUPTIAPI cuptiActivityGetNextRecord(std::uint8_t* buffer, std::size_t valid,
                                                CUpti_Activity** record) {
  if (buffer == nullptr || record == nullptr) return CUPTI_ERROR_INVALID_PARAMETER;
  std::uint8_t* next = buffer;
  if (*record != nullptr) {
    next = reinterpret_cast<std::uint8_t*>(*record);
    if (next < buffer || next >= buffer + valid) return CUPTI_ERROR_INVALID_PARAMETER;
    next += size_of((*record)->kind);
  }
  if (next >= buffer + valid) return CUPTI_ERROR_MAX_LIMIT_REACHED;
  *record = reinterpret_cast<CUpti_Activity*>(next);
  return CUPTI_SUCCESS;
}

CUptiResult CUPTIAPI cuptiActivityGetNumDroppedRecords(CUcontext, std::uint32_t,
                                                       std::size_t* dropped) {
  if (dropped == nullptr) return CUPTI_ERROR_INVALID_PARAMETER;
  *dropped = 0;
  return CUPTI_SUCCESS;
}

CUptiResult CUPTIAPI cuptiGetResultString(CUptiResult result, const char** text) {
  if (text == nullptr) return CUPTI_ERROR_INVALID_PARAMETER;
  *text = result == CUPTI_ERROR_INSUFFICIENT_PRIVILEGES ? "CUPTI_ERROR_INSUFFICIENT_PRIVILEGES"
                                                        : "CUPTI_ERROR";
  return CUPTI_SUCCESS;
}

}  // extern "C"
