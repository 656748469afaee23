// What the thread sanitizer must be told so that it finds races between simulated threads, in
// builds with SIMT_TSAN; nothing elsewhere. Every simulated thread is a strand of its own to it,
// with its own clock. Switching stacks orders nothing; only these do: a launch starts its threads
// after what the host did before, barriers order their participants, the host goes on after all.
//
// The executor itself must be compiled without -fsanitize=thread: it runs on the strands of many
// threads and would be accused of races that simulated threads do not have.
#pragma once

#include <memory>

#ifdef SIMT_TSAN
extern "C" {
void* __tsan_get_current_fiber();
void* __tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void* fiber);
void __tsan_switch_to_fiber(void* fiber, unsigned flags);
void __tsan_acquire(void* address);
void __tsan_release(void* address);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}
#endif

namespace simt::race {

#ifdef SIMT_TSAN

inline constexpr bool kEnabled = true;

/// While one lives, taking and giving back memory is no write, and makes the memory new: the
/// detector forgets who used it before.
class Unwatched {
 public:
  Unwatched() { AnnotateIgnoreWritesBegin(__FILE__, __LINE__); }
  ~Unwatched() { AnnotateIgnoreWritesEnd(__FILE__, __LINE__); }
  Unwatched(const Unwatched&) = delete;
  Unwatched& operator=(const Unwatched&) = delete;
};

inline constexpr unsigned kNoOrder = 1;  // __tsan_switch_to_fiber_no_sync

/// One simulated thread, as the detector sees it; ordered after its creation.
class Strand {
 public:
  void enter() const { __tsan_switch_to_fiber(fiber_.get(), kNoOrder); }

 private:
  struct Destroy {
    void operator()(void* fiber) const { __tsan_destroy_fiber(fiber); }
  };
  std::unique_ptr<void, Destroy> fiber_{__tsan_create_fiber(0)};
};

/// The host's strand: the one that makes this object.
class Host {
 public:
  void enter() const { __tsan_switch_to_fiber(fiber_, kNoOrder); }

 private:
  void* fiber_ = __tsan_get_current_fiber();
};

/// A point that orders what was done before release() on any strand before what follows acquire()
/// on another. It is on the heap because freeing it is what erases its past.
class Fence {
 public:
  void release() { __tsan_release(point_.get()); }
  void acquire() { __tsan_acquire(point_.get()); }

 private:
  std::unique_ptr<char> point_ = std::make_unique<char>();
};

#else

inline constexpr bool kEnabled = false;

class Unwatched {
 public:
  Unwatched() {}  // Not defaulted: a variable of this type is no unused variable.
};

class Strand {
 public:
  void enter() const {}
};

class Host {
 public:
  void enter() const {}
};

class Fence {
 public:
  void release() {}
  void acquire() {}
};

#endif

}  // namespace simt::race
