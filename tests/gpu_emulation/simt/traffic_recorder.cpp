#include "tests/gpu_emulation/simt/traffic_recorder.h"

#include <algorithm>

#include "tests/gpu_emulation/simt/executor.h"

namespace simt {
namespace {

constexpr unsigned char kRead = 1, kWritten = 2;

// Set while a launch runs: what the host does between launches is no traffic.
TrafficRecorder* active = nullptr;

void note(const void* address, std::size_t bytes, unsigned char kind) {
  if (active == nullptr) return;
  // Not while it runs itself: its parts of the standard library may be an instrumented copy.
  TrafficRecorder* const recorder = active;
  active = nullptr;
  recorder->note(reinterpret_cast<std::uintptr_t>(address), bytes, kind);
  active = recorder;
}

}  // namespace

TrafficRecorder::TrafficRecorder() {
  set_launch_observer([this](const Launch&, bool finished) {
    active = finished ? nullptr : this;
    if (finished) finish_launch();
  });
}

TrafficRecorder::~TrafficRecorder() {
  active = nullptr;
  set_launch_observer({});
}

void TrafficRecorder::add_range(const void* pointer, std::size_t bytes) {
  const auto begin = reinterpret_cast<std::uintptr_t>(pointer);
  const std::uintptr_t end = begin + bytes;
  ranges_.push_back({begin, end, std::make_unique<unsigned char[]>(bytes), end, begin});
}

void TrafficRecorder::note(std::uintptr_t address, std::size_t bytes, unsigned char kind) {
  for (Range& range : ranges_) {
    const std::uintptr_t begin = std::max(address, range.begin);
    const std::uintptr_t end = std::min(address + bytes, range.end);
    if (begin >= end) continue;
    range.first_marked = std::min(range.first_marked, begin);
    range.after_marked = std::max(range.after_marked, end);
    for (std::uintptr_t i = begin; i < end; ++i) range.marks[i - range.begin] |= kind;
  }
}

void TrafficRecorder::finish_launch() {
  protolith::cuda::Traffic traffic;
  for (Range& range : ranges_) {
    for (std::uintptr_t at = range.first_marked; at < range.after_marked; ++at) {
      unsigned char& marks = range.marks[at - range.begin];
      traffic.read += (marks & kRead) != 0;
      traffic.written += (marks & kWritten) != 0;
      marks = 0;
    }
    range.first_marked = range.end;
    range.after_marked = range.begin;
  }
  launches_.push_back(traffic);
}

protolith::cuda::Traffic TrafficRecorder::total() const {
  protolith::cuda::Traffic sum{0, 0, 0, 0};
  for (const protolith::cuda::Traffic& launch : launches_) sum = sum + launch;
  return sum;
}

}  // namespace simt

// The functions that -fsanitize=thread makes the compiler call; those that kernels/cuda needs.

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define PROTOLITH_ACCESS(bytes)                 \
  void __tsan_read##bytes(void* p) {            \
    simt::note(p, bytes, simt::kRead);          \
  }                                             \
  void __tsan_write##bytes(void* p) {           \
    simt::note(p, bytes, simt::kWritten);       \
  }                                             \
  void __tsan_unaligned_read##bytes(void* p) {  \
    simt::note(p, bytes, simt::kRead);          \
  }                                             \
  void __tsan_unaligned_write##bytes(void* p) { \
    simt::note(p, bytes, simt::kWritten);       \
  }
PROTOLITH_ACCESS(1)
PROTOLITH_ACCESS(2)
PROTOLITH_ACCESS(4)
PROTOLITH_ACCESS(8)
PROTOLITH_ACCESS(16)
#undef PROTOLITH_ACCESS

void __tsan_read_range(void* p, std::size_t bytes) {
  simt::note(p, bytes, simt::kRead);
}
void __tsan_write_range(void* p, std::size_t bytes) {
  simt::note(p, bytes, simt::kWritten);
}

// Atomics replace the operation itself.
#define PROTOLITH_ATOMIC(bits, type)                                                   \
  type __tsan_atomic##bits##_load(const volatile type* p, int) {                       \
    simt::note(const_cast<const type*>(p), sizeof(type), simt::kRead);                 \
    return __atomic_load_n(p, __ATOMIC_RELAXED);                                       \
  }                                                                                    \
  type __tsan_atomic##bits##_fetch_add(volatile type* p, type value, int) {            \
    simt::note(const_cast<type*>(p), sizeof(type), simt::kRead | simt::kWritten);      \
    return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);                             \
  }                                                                                    \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile type* p, type* expected, \
                                                     type desired, int, int) {         \
    simt::note(const_cast<type*>(p), sizeof(type), simt::kRead | simt::kWritten);      \
    return __atomic_compare_exchange_n(p, expected, desired, false, __ATOMIC_RELAXED,  \
                                       __ATOMIC_RELAXED);                              \
  }
PROTOLITH_ATOMIC(32, unsigned)
PROTOLITH_ATOMIC(64, unsigned long)
#undef PROTOLITH_ATOMIC

}  // extern "C"
