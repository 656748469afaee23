// The order in which queued work runs.
#include <algorithm>
#include <exception>
#include <stdexcept>
#include <utility>

#include "tests/gpu_emulation/device/poison.h"
#include "tests/gpu_emulation/device/runtime.h"
#include "tests/gpu_emulation/device/submit.h"

namespace protolith::emulated {

namespace {

Done done_by(const Task& task) {
  Done done{task.kind, task.name};
  for (const Operand& operand : task.operands) {
    if (operand.pinned || operand.name == "workspace") continue;
    (operand.written ? done.written : done.read) += operand.bytes;
  }
  return done;
}

}  // namespace

std::shared_ptr<Pending> Scheduler::push(const CUstream_st& stream,
                                         std::shared_ptr<const Task> task,
                                         std::vector<std::shared_ptr<Pending>> after) {
  // The legacy default stream waits for every blocking stream and they for it.
  for (const auto& [id, item] : last_) {
    if (stream.legacy() ? item->blocking : (stream.blocking() && id == 0)) after.push_back(item);
  }
  auto item = std::make_shared<Pending>();
  item->task = std::move(task);
  item->stream = stream.id;
  item->blocking = stream.blocking();
  item->after = std::move(after);
  item->sequence = ++sequence_;
  pending_.push_back(item);
  last_[stream.id] = item;
  if (schedule_ == Schedule::soonest) run(item);
  return item;
}

std::shared_ptr<Pending> Scheduler::end_of(const CUstream_st& stream) {
  if (stream.legacy()) return idle() ? nullptr : push(stream, nullptr);
  const auto found = last_.find(stream.id);
  return found == last_.end() ? nullptr : found->second;
}

void Scheduler::run(const std::shared_ptr<Pending>& target, std::size_t limit) {
  if (target == nullptr || target->done) return;
  // Whatever an item waits for was queued before it: one pass from the target backwards finds all,
  // as the last item needed of each stream.
  std::map<std::uint64_t, std::uint64_t> needed_until{{target->stream, target->sequence}};
  std::vector<std::shared_ptr<Pending>> needed;
  for (auto item = pending_.rbegin(); item != pending_.rend(); ++item) {
    const auto until = needed_until.find((*item)->stream);
    if (until == needed_until.end() || (*item)->sequence > until->second) continue;
    needed.push_back(*item);
    for (const auto& before : (*item)->after) {
      if (before->done) continue;
      auto& sequence = needed_until[before->stream];
      sequence = std::max(sequence, before->sequence);
    }
  }
  execute(needed, limit);
}

void Scheduler::run_all() {
  execute({pending_.rbegin(), pending_.rend()}, SIZE_MAX);
}

// `items`: the last one first.
void Scheduler::execute(const std::vector<std::shared_ptr<Pending>>& items, std::size_t limit) {
  Device& d = device();
  std::string damage;
  {
    const Memory::Open open(d.memory);
    for (auto item = items.rbegin(); item != items.rend() && limit > 0; ++item, --limit) {
      execute(**item);
    }
    damage = d.memory.damage();
  }
  if (!damage.empty()) d.fail(damage);
  std::erase_if(pending_, [](const auto& item) { return item->done; });
  std::erase_if(last_, [](const auto& last) { return last.second->done; });
}

void Scheduler::execute(Pending& item) {
  Device& d = device();
  if (item.task != nullptr) {
    const Task& task = *item.task;
    d.check_operands(task);
    if (d.counters.profiler_starts > d.counters.profiler_stops) ++d.counters.profiled_work;
    if (d.counters.record_work) d.counters.done.push_back(done_by(task));
    const auto observer = d.observer;
    const std::uint64_t begin = observer ? d.clock() : 0;
    try {
      task.body();
    } catch (const Failure&) {
      throw;
    } catch (const std::exception& error) {
      d.fail(task.name + ": " + error.what());
    }
    if (observer) observer(task, item.stream, begin, d.clock());
  }
  item.done = true;
  item.finished = std::chrono::steady_clock::now();
  item.after.clear();
}

bool Scheduler::uses_pinned(const Operand& range) const {
  return std::any_of(pending_.begin(), pending_.end(), [&](const auto& item) {
    if (item->task == nullptr) return false;
    const auto& operands = item->task->operands;
    return std::any_of(operands.begin(), operands.end(), [&](const Operand& operand) {
      return operand.pinned && overlap(operand, range);
    });
  });
}

void Scheduler::drop_all() {
  pending_.clear();
  last_.clear();
}

void Device::fail(const std::string& what) {
  if (fault.empty()) fault = what;
  scheduler.drop_all();
  throw Failure{cudaErrorIllegalAddress};
}

void Device::check_operands(const Task& task) {
  for (const Operand& operand : task.operands) {
    if (operand.bytes == 0) continue;
    const std::string where = task.name + ", " + operand.name + ": ";
    const Space space = operand.pinned ? Space::pinned : Space::device;
    if (const std::string what = memory.check(operand.pointer, operand.bytes, space);
        !what.empty()) {
      fail(where + what);
    }
    if (reinterpret_cast<std::uintptr_t>(operand.pointer) % operand.alignment != 0) {
      fail(where + "not aligned to " + std::to_string(operand.alignment) + " bytes");
    }
    for (const Operand& other : task.operands) {
      if (operand.written && &other != &operand && other.bytes != 0 && overlap(operand, other)) {
        fail(where + "overlaps " + other.name);
      }
    }
  }
}

cudaError_t Device::status() const {
  if (machine.count_status != cudaSuccess) return machine.count_status;
  if (machine.devices == 0) return cudaErrorNoDevice;
  return fault.empty() ? cudaSuccess : cudaErrorIllegalAddress;
}

CUstream_st& Device::stream(cudaStream_t handle) {
  if (handle == nullptr || handle == cudaStreamLegacy) return legacy;
  if (handle == cudaStreamPerThread) throw Failure{cudaErrorNotSupported};
  return streams.get(handle);
}

void Device::submit(CUstream_st& target, Task task) {
  forbid_implicit(target);
  check_operands(task);
  if (target.capture != nullptr) task.graph = target.capture->id;
  auto shared = std::make_shared<const Task>(std::move(task));
  if (target.capture == nullptr) {
    ++counters.host_submissions;
    queue(target, std::move(shared));
    return;
  }
  if (!target.capture->valid) throw Failure{cudaErrorStreamCaptureInvalidated};
  auto& nodes = target.capture->graph->nodes;
  nodes.emplace_back(new CUgraphNode_st{std::move(shared), target.tail});
  target.tail = {nodes.back().get()};
}

std::shared_ptr<Pending> Device::queue(CUstream_st& target, std::shared_ptr<const Task> task,
                                       std::vector<std::shared_ptr<Pending>> after) {
  if (task != nullptr) {
    std::uint64_t* const counts[] = {&counters.kernels, &counters.cublas_calls,
                                     &counters.cudnn_calls, &counters.copies, &counters.fills};
    ++*counts[static_cast<std::size_t>(task->kind)];
    counters.bytes_to_device += task->bytes_to_device;
    counters.bytes_to_host += task->bytes_to_host;
    for (const Operand& operand : task->operands) {
      // Who reads before synchronising shall see it; but no earlier work shall.
      if (operand.pinned && operand.written && !scheduler.uses_pinned(operand)) {
        fill_with_nan(const_cast<void*>(operand.pointer), operand.bytes);
      }
    }
  }
  return scheduler.push(target, std::move(task), std::move(after));
}

void Device::synchronise(CUstream_st& target) {
  ++counters.synchronisations;
  scheduler.run(scheduler.end_of(target));
}

void Device::synchronise() {
  ++counters.synchronisations;
  scheduler.run_all();
}

namespace {

// Kernels that a program launches come to the device from its first use on.
const bool kernels_are_queued = [] {
  simt::set_submitter([](cudaStream_t stream, std::function<void()> work) {
    if (const cudaError_t status = enqueue(stream, WorkKind::kernel, "kernel", {}, std::move(work));
        status != cudaSuccess) {
      throw std::runtime_error(std::string("a kernel was not launched: ") +
                               cudaGetErrorString(status));
    }
  });
  return true;
}();

}  // namespace
}  // namespace protolith::emulated
