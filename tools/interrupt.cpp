#include "tools/interrupt.h"

#include <array>
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

struct Watched {
  int signal;
  bool of_terminal;  ///< ignored where the program was started to do without one
  bool once;         ///< the second signal finds the default action, which ends the program
};
constexpr std::array<Watched, 3> kWatched{
    {{SIGINT, true, true}, {SIGTERM, false, true}, {SIGHUP, true, false}}};

}  // namespace

InterruptGuard::InterruptGuard() {
  int expected = kNoGuard;
  PROTOLITH_CHECK(state.compare_exchange_strong(expected, kWatching),
                  "interrupts are being watched already");
  for (std::size_t i = 0; i < kWatched.size(); ++i) {
    const Watched& watched = kWatched[i];
    struct sigaction action {};
    action.sa_handler = request_stop;
    sigemptyset(&action.sa_mask);
    // RESTART: a write that is under way goes on.
    action.sa_flags = static_cast<int>(SA_RESTART | (watched.once ? SA_RESETHAND : 0U));
    sigaction(watched.signal, nullptr, &previous_[i]);
    if (watched.of_terminal && previous_[i].sa_handler == SIG_IGN) continue;
    sigaction(watched.signal, &action, nullptr);
  }
}

InterruptGuard::~InterruptGuard() {
  for (std::size_t i = 0; i < kWatched.size(); ++i) {
    sigaction(kWatched[i].signal, &previous_[i], nullptr);
  }
  state.store(kNoGuard);
}

bool InterruptGuard::requested() const noexcept {
  return state.load(std::memory_order_relaxed) == kRequested;
}

}  // namespace protolith
