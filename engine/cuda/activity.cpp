#include "engine/cuda/activity.h"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <mutex>
#include <unordered_map>

#include "engine/cuda/check.h"
#include "engine/cuda/cupti.h"

namespace protolith::cuda {
namespace {

constexpr std::size_t kBufferBytes = std::size_t{1} << 20U;
constexpr std::size_t kBufferAlignment = 8;
constexpr CUpti_ActivityKind kKinds[] = {CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL,
                                         CUPTI_ACTIVITY_KIND_MEMCPY, CUPTI_ACTIVITY_KIND_MEMSET};

#define PROTOLITH_CUPTI(call) check_cupti(cupti().call, #call)

std::string demangled(const char* name) {
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(
      abi::__cxa_demangle(name, nullptr, nullptr, &status), std::free);
  return status == 0 ? text.get() : name;
}

const char* copy_name(std::uint8_t kind) {
  switch (kind) {
    case CUPTI_ACTIVITY_MEMCPY_KIND_HTOD:
      return "copy from host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOH:
      return "copy to host";
    case CUPTI_ACTIVITY_MEMCPY_KIND_DTOD:
      return "copy on device";
    default:
      return "copy";
  }
}

/// Records as they arrive, on CUPTI's thread or ours.
class ActivityTrace final : public DeviceTrace {
 public:
  explicit ActivityTrace(std::size_t capacity);
  ~ActivityTrace() override;
  void start() override;
  std::vector<DeviceEvent> stop() override;
  std::vector<ProfileRow> rows() const override;
  std::uint64_t unkept() const override;
  std::uint64_t lost() const override;

  void take(CUcontext context, std::uint32_t stream, std::uint8_t* buffer, std::size_t bytes);

 private:
  /// Waits for the device and for CUPTI to hand out all that it has.
  void flush();
  void add(const CUpti_Activity& record);
  void keep(const DeviceEvent& event);
  std::string_view name_of(const char* mangled);

  mutable std::mutex mutex_;
  std::unordered_map<std::string, std::string> names_;  // kernels', by mangled name
  const std::size_t capacity_;
  std::vector<DeviceEvent> events_;
  std::unordered_map<std::string_view, ProfileRow> sums_;
  bool recording_ = false;
  std::int64_t since_ = 0;
  std::uint64_t unkept_ = 0, lost_ = 0;
};

// CUPTI's callbacks are told nothing of ours: they reach the recorder through this.
std::mutex current_mutex;
ActivityTrace* current = nullptr;

std::uint64_t CUPTIAPI timestamp() {
  return static_cast<std::uint64_t>(Profiler::now());
}

void CUPTIAPI give_buffer(std::uint8_t** buffer, std::size_t* bytes, std::size_t* most_records) {
  *buffer = static_cast<std::uint8_t*>(std::aligned_alloc(kBufferAlignment, kBufferBytes));
  *bytes = *buffer != nullptr ? kBufferBytes : 0;
  *most_records = 0;  // as many as fit
}

void CUPTIAPI take_buffer(CUcontext context, std::uint32_t stream, std::uint8_t* buffer,
                          std::size_t /*bytes*/, std::size_t valid_bytes) {
  {
    const std::lock_guard lock(current_mutex);
    if (current != nullptr) current->take(context, stream, buffer, valid_bytes);
  }
  std::free(buffer);
}

ActivityTrace::ActivityTrace(std::size_t capacity) : capacity_(capacity) {
  {
    const std::lock_guard lock(current_mutex);
    PROTOLITH_CHECK(current == nullptr, "a device's work is being recorded already");
    cupti();  // throws where it is missing
    current = this;
  }
  try {
    PROTOLITH_CUPTI(register_timestamp_callback(timestamp));
    PROTOLITH_CUPTI(register_callbacks(give_buffer, take_buffer));
    for (const CUpti_ActivityKind kind : kKinds) PROTOLITH_CUPTI(enable(kind));
  } catch (...) {
    const std::lock_guard lock(current_mutex);
    current = nullptr;
    throw;
  }
}

ActivityTrace::~ActivityTrace() {
  for (const CUpti_ActivityKind kind : kKinds) static_cast<void>(cupti().disable(kind));
  static_cast<void>(cupti().flush_all(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED));
  const std::lock_guard lock(current_mutex);
  current = nullptr;
}

void ActivityTrace::flush() {
  PROTOLITH_CUDA(cudaDeviceSynchronize());
  PROTOLITH_CUPTI(flush_all(CUPTI_ACTIVITY_FLAG_FLUSH_FORCED));
}

void ActivityTrace::start() {
  flush();
  const std::lock_guard lock(mutex_);
  events_.clear();
  sums_.clear();
  unkept_ = lost_ = 0;
  since_ = Profiler::now();
  recording_ = true;
}

std::vector<DeviceEvent> ActivityTrace::stop() {
  flush();
  // What comes now is of no interest, and recording it is not free.
  for (const CUpti_ActivityKind kind : kKinds) static_cast<void>(cupti().disable(kind));
  const std::lock_guard lock(mutex_);
  recording_ = false;
  std::stable_sort(events_.begin(), events_.end(),
                   [](const DeviceEvent& a, const DeviceEvent& b) { return a.begin < b.begin; });
  return std::exchange(events_, {});
}

std::vector<ProfileRow> ActivityTrace::rows() const {
  const std::lock_guard lock(mutex_);
  std::vector<ProfileRow> rows;
  for (const auto& [name, row] : sums_) rows.push_back(row);
  std::sort(rows.begin(), rows.end(), [](const ProfileRow& a, const ProfileRow& b) {
    return a.self != b.self ? a.self > b.self : a.name < b.name;
  });
  return rows;
}

std::uint64_t ActivityTrace::unkept() const {
  const std::lock_guard lock(mutex_);
  return unkept_;
}

std::uint64_t ActivityTrace::lost() const {
  const std::lock_guard lock(mutex_);
  return lost_;
}

void ActivityTrace::take(CUcontext context, std::uint32_t stream, std::uint8_t* buffer,
                         std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  CUpti_Activity* record = nullptr;
  while (bytes > 0 && cupti().next_record(buffer, bytes, &record) == CUPTI_SUCCESS) add(*record);
  std::size_t lost = 0;
  // The query, which sets CUPTI's own count back, at any time.
  if (cupti().dropped_records(context, stream, &lost) == CUPTI_SUCCESS && recording_) {
    lost_ += lost;
  }
}

// Layouts as of CUDA 12.8: newer ones only add members at the end.
void ActivityTrace::add(const CUpti_Activity& record) {
  const auto ns = [](std::uint64_t time) { return static_cast<std::int64_t>(time); };
  switch (record.kind) {
    case CUPTI_ACTIVITY_KIND_CONCURRENT_KERNEL: {
      const auto& r = reinterpret_cast<const CUpti_ActivityKernel9&>(record);
      keep({DeviceEvent::Kind::kernel, name_of(r.name), ns(r.start), ns(r.end), r.streamId,
            r.graphId, 0});
      break;
    }
    case CUPTI_ACTIVITY_KIND_MEMCPY: {
      const auto& r = reinterpret_cast<const CUpti_ActivityMemcpy5&>(record);
      keep({DeviceEvent::Kind::copy, copy_name(r.copyKind), ns(r.start), ns(r.end), r.streamId,
            r.graphId, r.bytes});
      break;
    }
    case CUPTI_ACTIVITY_KIND_MEMSET: {
      const auto& r = reinterpret_cast<const CUpti_ActivityMemset4&>(record);
      keep({DeviceEvent::Kind::fill, "fill", ns(r.start), ns(r.end), r.streamId, r.graphId,
            r.bytes});
      break;
    }
    default:
      break;
  }
}

void ActivityTrace::keep(const DeviceEvent& event) {
  if (!recording_ || event.begin < since_) return;
  ProfileRow& sum = sums_[event.name];
  sum.name = event.name;
  ++sum.calls;
  sum.total += event.duration();
  sum.self += event.duration();
  sum.cost.bytes += static_cast<double>(event.bytes);
  if (events_.size() < capacity_) {
    events_.push_back(event);
  } else {
    ++unkept_;
  }
}

std::string_view ActivityTrace::name_of(const char* mangled) {
  const auto [entry, is_new] = names_.try_emplace(mangled != nullptr ? mangled : "kernel");
  if (is_new) entry->second = demangled(entry->first.c_str());
  return entry->second;
}

}  // namespace

std::unique_ptr<DeviceTrace> trace_activity(std::size_t capacity) {
  return std::make_unique<ActivityTrace>(capacity);
}

}  // namespace protolith::cuda
