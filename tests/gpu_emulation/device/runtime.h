// The state behind the CUDA runtime's handles: streams, events, captures and graphs of one device.
#pragma once

#include <cuda_runtime_api.h>

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "tests/gpu_emulation/device/device.h"
#include "tests/gpu_emulation/device/memory.h"

namespace protolith::emulated {

/// What a call of the runtime returns, thrown from wherever it was found.
struct Failure {
  cudaError_t status;
};

/// Work as it was asked for; a graph's node runs it at each launch.
struct Task {
  WorkKind kind;
  std::string name;
  std::vector<Operand> operands;
  std::function<void()> body;
  std::uint64_t bytes_to_device = 0, bytes_to_host = 0;
  std::uint32_t graph = 0;  ///< the graph whose node it is; 0: none
};

/// A task, or a mere point (no task), in the order of a stream.
struct Pending {
  std::shared_ptr<const Task> task;
  std::uint64_t stream = 0;
  bool blocking = false;  ///< ordered with the legacy default stream
  std::vector<std::shared_ptr<Pending>> after;
  std::uint64_t sequence = 0;
  bool done = false;
  std::chrono::steady_clock::time_point finished{};
};

inline bool overlap(const Operand& a, const Operand& b) {
  const auto x = reinterpret_cast<std::uintptr_t>(a.pointer);
  const auto y = reinterpret_cast<std::uintptr_t>(b.pointer);
  return x < y + b.bytes && y < x + a.bytes;
}

struct Capture;

}  // namespace protolith::emulated

// The structures that CUDA's headers leave incomplete.
struct CUstream_st {
  std::uint64_t id;
  unsigned flags;
  std::shared_ptr<protolith::emulated::Capture> capture;
  std::vector<CUgraphNode_st*> tail;  ///< what the next captured node depends on

  bool blocking() const { return id != 0 && (flags & cudaStreamNonBlocking) == 0; }
  bool legacy() const { return id == 0; }
};

struct CUevent_st {
  unsigned flags;
  std::shared_ptr<protolith::emulated::Pending> record;
  std::shared_ptr<protolith::emulated::Capture> capture;  ///< of the stream it was recorded in
  std::vector<CUgraphNode_st*> nodes;
};

struct CUgraphNode_st {
  std::shared_ptr<const protolith::emulated::Task> task;
  std::vector<CUgraphNode_st*> after;
};

struct CUgraph_st {
  std::vector<std::unique_ptr<CUgraphNode_st>> nodes;  ///< in the order of capture
};

struct CUgraphExec_st {
  std::vector<std::shared_ptr<const protolith::emulated::Task>> tasks;
  std::shared_ptr<protolith::emulated::Pending> last;  ///< the end of the last launch
};

namespace protolith::emulated {

/// One capture sequence, shared by the streams in it.
struct Capture {
  cudaStreamCaptureMode mode;
  std::thread::id thread;
  CUstream_st* origin;
  std::unique_ptr<CUgraph_st> graph = std::make_unique<CUgraph_st>();
  std::uint32_t id = 0;  ///< of the graph, from 1
  bool valid = true;
  bool ended = false;
};

/// The queue of pending work of every stream.
class Scheduler {
 public:
  /// Appends a task, or a point, to a stream, behind `after` and what the legacy default stream's
  /// rules put before it.
  std::shared_ptr<Pending> push(const CUstream_st& stream, std::shared_ptr<const Task> task,
                                std::vector<std::shared_ptr<Pending>> after = {});
  /// What a synchronisation with the stream waits for; null when there is nothing.
  std::shared_ptr<Pending> end_of(const CUstream_st& stream);
  /// Runs what `target` waits for, `target` included; at most `limit` items.
  void run(const std::shared_ptr<Pending>& target, std::size_t limit = SIZE_MAX);
  void run_all();
  bool idle() const { return pending_.empty(); }
  /// Whether pending work has the pinned range among its operands.
  bool uses_pinned(const Operand& range) const;
  void drop_all();
  void set_schedule(Schedule schedule) { schedule_ = schedule; }

 private:
  void execute(const std::vector<std::shared_ptr<Pending>>& items, std::size_t limit);
  void execute(Pending& item);

  std::deque<std::shared_ptr<Pending>> pending_;  // by sequence
  std::map<std::uint64_t, std::shared_ptr<Pending>> last_;
  std::uint64_t sequence_ = 0;
  Schedule schedule_ = Schedule::latest;
};

struct Machine {
  cudaError_t count_status = cudaSuccess;
  int devices = 1;
  int driver_version = CUDART_VERSION;
  int major = 9, minor = 0;
};

/// The live objects of one kind, by handle.
template <class T>
class Handles {
 public:
  T* add(std::unique_ptr<T> object) {
    T* const handle = object.get();
    objects_[handle] = std::move(object);
    return handle;
  }
  /// Throws Failure with `status` for a handle that names no live object.
  T& get(T* handle, cudaError_t status = cudaErrorInvalidResourceHandle) const {
    const auto found = objects_.find(handle);
    if (found == objects_.end()) throw Failure{status};
    return *found->second;
  }
  void remove(T* handle, cudaError_t status = cudaErrorInvalidResourceHandle) {
    if (objects_.erase(handle) == 0) throw Failure{status};
  }
  template <class F>
  void for_each(F&& f) {
    for (auto& [handle, object] : objects_) f(*object);
  }
  std::size_t size() const { return objects_.size(); }
  void clear() { objects_.clear(); }

 private:
  std::map<const T*, std::unique_ptr<T>> objects_;
};

/// Everything. Lives until the process ends, for destructors of static objects.
struct Device {
  std::recursive_mutex mutex;
  Memory memory;
  Scheduler scheduler;
  Counters counters;
  Machine machine;
  std::string fault;
  std::string failing_driver_call;  ///< the next call of it fails
  CUstream_st legacy{0, 0, nullptr, {}};
  Handles<CUstream_st> streams;
  Handles<CUevent_st> events;
  Handles<CUgraph_st> graphs;
  Handles<CUgraphExec_st> executables;
  std::set<std::shared_ptr<Capture>> captures;  ///< not ended
  std::map<std::string, int> library_handles;
  std::uint64_t next_stream = 1;
  std::uint32_t next_graph = 1;
  /// Told of each task that ran, when it began and ended by `clock`; may be empty.
  std::function<void(const Task&, std::uint64_t stream, std::uint64_t begin, std::uint64_t end)>
      observer;
  std::function<std::uint64_t()> clock;

  /// Records the first fault; throws the status that calls then return.
  [[noreturn]] void fail(const std::string& what);
  /// Faults unless every operand is as enqueue() wants it.
  void check_operands(const Task& task);
  cudaError_t status() const;

  /// The stream behind a handle. Throws Failure for one that is none.
  CUstream_st& stream(cudaStream_t handle);
  /// Queues a task, or records it in the stream's capture.
  void submit(CUstream_st& stream, Task task);
  /// Counts a task and queues it as work that is not captured.
  std::shared_ptr<Pending> queue(CUstream_st& stream, std::shared_ptr<const Task> task,
                                 std::vector<std::shared_ptr<Pending>> after = {});
  /// The host waits for the stream, or for every stream.
  void synchronise(CUstream_st& stream);
  void synchronise();

  // Captures' rules.
  /// For calls that a capture must not see: throws Failure and invalidates the capture.
  void forbid_during_capture();
  /// For calls on a stream that no capture may see; also refuses the legacy stream while a blocking
  /// one captures.
  void require_no_capture(CUstream_st& stream);
  /// Throws when the stream is the legacy one and a blocking stream captures.
  void forbid_implicit(const CUstream_st& stream);
};

Device& device();

/// Keeps a call's status for cudaGetLastError.
cudaError_t record(cudaError_t status);
/// The last error of this thread, and no error from then on when `clear`.
cudaError_t last_error(bool clear);

/// Runs a call's body on a healthy device and turns what it throws into the call's status.
template <class F>
cudaError_t call(F&& body) {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  if (const cudaError_t status = d.status(); status != cudaSuccess) return record(status);
  try {
    body(d);
  } catch (const Failure& failure) {
    return record(failure.status);
  }
  return record(d.status());
}

/// The same for calls that give something back: they do so even after a fault.
template <class F>
cudaError_t release_call(F&& body) {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  const cudaError_t before = d.status();
  try {
    body(d);
  } catch (const Failure& failure) {
    return record(before != cudaSuccess ? before : failure.status);
  }
  return record(d.status());
}

}  // namespace protolith::emulated
