// The emulated device that the stand-ins for the CUDA runtime, cuBLAS and cuDNN share: its memory,
// its streams, whose work is deferred until a synchronising call, and what it counts.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace protolith::emulated {

enum class WorkKind : std::uint8_t { kernel, cublas, cudnn, copy, fill };

/// A range of memory that some work reads or writes.
struct Operand {
  std::string name;
  const void* pointer;
  std::size_t bytes;  ///< 0: not accessed, and then not checked
  std::size_t alignment = 1;
  bool written = false;
  bool pinned = false;  ///< in page-locked host memory rather than on the device
};

/// Queues work on a stream, or records it in the graph that the stream captures. Operands are
/// checked at once and again before the work runs: each inside one live device allocation and
/// aligned, a written one overlapping no other. A fault makes this return an error at once, and
/// every later call on the device fail with cudaErrorIllegalAddress, as after a real fault;
/// fault() tells what it was. Work that throws is a fault too.
cudaError_t enqueue(cudaStream_t stream, WorkKind kind, std::string name,
                    std::vector<Operand> operands, std::function<void()> work);

/// The first fault since the last reset(), empty when there was none.
std::string fault();

/// Work that ran, and the bytes of its operands, a library's workspace aside.
struct Done {
  WorkKind kind;
  std::string name;
  std::uint64_t read = 0, written = 0;
};

/// What the device was asked for since the last reset_counters(); work in a graph counts once for
/// each launch of the graph.
struct Counters {
  std::uint64_t kernels = 0, cublas_calls = 0, cudnn_calls = 0, copies = 0, fills = 0;
  std::uint64_t graph_launches = 0;  ///< and what the host submitted besides them:
  std::uint64_t host_submissions = 0;
  std::uint64_t bytes_to_device = 0, bytes_to_host = 0;
  std::uint64_t allocations = 0;       ///< of device or pinned memory
  std::uint64_t synchronisations = 0;  ///< calls in which the host waits for the device
  std::uint64_t descriptors = 0;       ///< of cuDNN, made
  std::uint64_t profiler_starts = 0, profiler_stops = 0;
  /// Work that ran between the two.
  std::uint64_t profiled_work = 0;
  std::vector<Done> done;  ///< the work that ran, in order, when `record_work`
  bool record_work = false;
};
Counters& counters();
void reset_counters();

/// When queued work runs: `latest` runs only what a synchronising call waits for, so that work
/// which nothing waits for is late; `soonest` runs work in the call that queues it, so that work
/// whose inputs are not ready yet is early. Both are among the orders a device may choose.
enum class Schedule : std::uint8_t { latest, soonest };
void set_schedule(Schedule schedule);

/// Every live allocation, stream, event, graph and library handle, one line each.
std::vector<std::string> live_objects();
/// Adds a library's handles to live_objects(): +1 for one created, -1 for one destroyed.
void count_handle(const char* kind, int change);

/// Device memory that work may access now.
std::vector<std::span<const std::byte>> device_memory();

/// Whether the host can read this address; device memory opens only while work runs.
bool host_readable(const void* pointer);

/// A new device: no memory, no streams, no fault, counters at 0, latest schedule, the default
/// machine. Throws std::logic_error naming what was still live.
void reset();
/// Limits the device's memory, in bytes, so that tests can run out of it. 1 GiB at first.
void set_total_memory(std::size_t bytes);
/// What cudaGetDeviceCount and cudaDriverGetVersion answer, to play a machine without a device.
void set_machine(cudaError_t count_status, int devices, int driver_version);
/// Makes the next call of this function of the driver ("cuMemMap"), of CUPTI, of NVRTC
/// ("nvrtcCompileProgram", by which cuDNN compiles batch norm) or "cudaFuncGetAttributes" fail, as
/// it may when the driver's own memory runs out, the user may not profile, the library is missing
/// or the program has no code for the device.
void fail_driver_call(const std::string& name);
/// Whether CUPTI records what the device does.
bool is_observed();
/// The compute capability that the device claims, 9.0 at first.
void set_compute_capability(int major, int minor);

}  // namespace protolith::emulated
