// Stacks that the executor switches between by hand. A simulated thread that has to wait leaves its
// frames on the stack it runs on; the executor goes on with another and comes back later. Switching
// saves only the registers that a call preserves: a few nanoseconds, no system call.
#pragma once

#include <cstddef>
#include <memory>

#include "tests/gpu_emulation/simt/race_detector.h"

// SIMT_UCONTEXT: the portable way to switch, several times slower (each switch is a system call).
#if !defined(__x86_64__) && !defined(SIMT_UCONTEXT)
#define SIMT_UCONTEXT 1
#endif
#ifdef SIMT_UCONTEXT
#include <ucontext.h>
#endif

namespace simt {

class Fiber {
 public:
  /// `entry` starts at the first resume() and must never return.
  explicit Fiber(void (*entry)());
  /// A suspended fiber may be destroyed: its frames vanish without their destructors.
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  /// Continues on this fiber's stack until it calls suspend(). Not from inside a fiber.
  void resume();
  /// Returns to where the running fiber was resumed.
  static void suspend();
  /// What runs here, as the race detector sees it; resume() and suspend() do not enter it.
  const race::Strand& strand() const { return strand_; }

 private:
  // Where a suspended stack goes on, and its bounds.
  struct Context {
#ifdef SIMT_UCONTEXT
    ucontext_t registers;
#else
    void* stack_pointer = nullptr;
#endif
    const void* stack = nullptr;
    std::size_t stack_bytes = 0;

    void prepare(std::byte* bottom, std::byte* top, void (*start)());
    static void exchange(Context& from, Context& to);
  };
  struct Stack;
  static void start();

  static Fiber* running_;
  static Context host_;

  Context context_;
  void (*entry_)();
  std::unique_ptr<Stack> stack_;
  race::Strand strand_;
};

}  // namespace simt
