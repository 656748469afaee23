#include "tests/gpu_emulation/device/device.h"

#include <unistd.h>

#include <cerrno>
#include <stdexcept>
#include <system_error>
#include <utility>

#include "tests/gpu_emulation/device/runtime.h"

namespace protolith::emulated {
namespace {

thread_local cudaError_t last_error_of_thread = cudaSuccess;

}  // namespace

Device& device() {
  static Device* const d = new Device;
  return *d;
}

cudaError_t record(cudaError_t status) {
  if (status != cudaSuccess) last_error_of_thread = status;
  return status;
}

cudaError_t last_error(bool clear) {
  const std::lock_guard lock(device().mutex);
  // What no call can get past is no memory of an earlier call either.
  if (const cudaError_t lasting = device().status(); lasting != cudaSuccess) return lasting;
  return clear ? std::exchange(last_error_of_thread, cudaSuccess) : last_error_of_thread;
}

cudaError_t enqueue(cudaStream_t stream, WorkKind kind, std::string name,
                    std::vector<Operand> operands, std::function<void()> work) {
  return call([&](Device& d) {
    d.submit(d.stream(stream), {kind, std::move(name), std::move(operands), std::move(work)});
  });
}

std::string fault() {
  const std::lock_guard lock(device().mutex);
  return device().fault;
}

Counters& counters() {
  return device().counters;
}

void reset_counters() {
  const std::lock_guard lock(device().mutex);
  counters() = {};
}

void set_schedule(Schedule schedule) {
  const std::lock_guard lock(device().mutex);
  device().scheduler.set_schedule(schedule);
}

std::vector<std::string> live_objects() {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  std::vector<std::string> lines = d.memory.live();
  const auto add = [&](const std::string& kind, std::size_t count) {
    if (count != 0) lines.push_back(std::to_string(count) + " " + kind);
  };
  add("streams", d.streams.size());
  add("events", d.events.size());
  add("graphs", d.graphs.size());
  add("executable graphs", d.executables.size());
  for (const auto& [kind, count] : d.library_handles) add(kind, static_cast<std::size_t>(count));
  return lines;
}

void count_handle(const char* kind, int change) {
  const std::lock_guard lock(device().mutex);
  device().library_handles[kind] += change;
}

std::vector<std::span<const std::byte>> device_memory() {
  const std::lock_guard lock(device().mutex);
  return device().memory.device_ranges();
}

bool host_readable(const void* pointer) {
  // The kernel reads for us, and reports instead of raising a signal.
  int ends[2];
  if (pipe(ends) != 0) throw std::system_error(errno, std::generic_category(), "pipe");
  const bool readable = write(ends[1], pointer, 1) == 1;
  close(ends[0]);
  close(ends[1]);
  return readable;
}

void reset() {
  Device& d = device();
  const std::lock_guard lock(d.mutex);
  std::string left;
  for (const std::string& line : live_objects()) left += (left.empty() ? "" : ", ") + line;
  d.scheduler.drop_all();
  d.scheduler.set_schedule(Schedule::latest);
  d.memory.clear();
  d.counters = {};
  d.machine = {};
  d.fault.clear();
  d.failing_driver_call.clear();
  d.captures.clear();
  d.streams.clear();
  d.events.clear();
  d.graphs.clear();
  d.executables.clear();
  d.library_handles.clear();
  last_error(true);
  if (!left.empty()) throw std::logic_error("the emulated device was reset with live " + left);
}

void set_total_memory(std::size_t bytes) {
  const std::lock_guard lock(device().mutex);
  device().memory.set_total(bytes);
}

void set_machine(cudaError_t count_status, int devices, int driver_version) {
  Machine& machine = device().machine;
  const std::lock_guard lock(device().mutex);
  machine.count_status = count_status;
  machine.devices = devices;
  machine.driver_version = driver_version;
}

void fail_driver_call(const std::string& name) {
  const std::lock_guard lock(device().mutex);
  device().failing_driver_call = name;
}

bool is_observed() {
  const std::lock_guard lock(device().mutex);
  return device().observer != nullptr;
}

void set_compute_capability(int major, int minor) {
  const std::lock_guard lock(device().mutex);
  device().machine.major = major;
  device().machine.minor = minor;
}

}  // namespace protolith::emulated
