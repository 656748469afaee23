#include "tools/interrupt.h"

#include <atomic>

#include "engine/check.h"

namespace protolith {
namespace {

// A signal handler can reach nothing but globals. Lock-free, hence safe in a handler.
enum State : int { kNoGuard, kWatching, kRequested };
std::atomic<int> state{kNoGuard};
static_assert(std::atomic<int>::is_always_lock_free);

extern "C" void request_stop(int /*signal*/) {
  state.store(kRequested, std::memory_order_relaxed);
}

}  // namespace

InterruptGuard::InterruptGuard() {
  int expected = kNoGuard;
  PROTOLITH_CHECK(state.compare_exchange_strong(expected, kWatching),
                  "interrupts are being watched already");
  struct sigaction action {};
  action.sa_handler = request_stop;
  sigemptyset(&action.sa_mask);
  // RESETHAND: the second signal finds the default action, which ends the program at once.
  // RESTART: a write that is under way goes on.
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_RESTART);
  sigaction(SIGINT, nullptr, &previous_interrupt_);
  if (previous_interrupt_.sa_handler != SIG_IGN) sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, &previous_terminate_);
}

InterruptGuard::~InterruptGuard() {
  sigaction(SIGINT, &previous_interrupt_, nullptr);
  sigaction(SIGTERM, &previous_terminate_, nullptr);
  state.store(kNoGuard);
}

bool InterruptGuard::requested() const noexcept {
  return state.load(std::memory_order_relaxed) == kRequested;
}

}  // namespace protolith
