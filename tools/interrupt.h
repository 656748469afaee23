#pragma once

#include <csignal>

namespace protolith {

/// While it lives, the first SIGINT (Ctrl-C) or SIGTERM asks the program to stop at the next
/// convenient point, and a second one of the same kind ends it at once. A SIGINT that is ignored on
/// construction stays so: programs started by nohup or by a script's `&` inherit that, and the
/// terminal's Ctrl-C is not meant for them. The earlier handlers come back on destruction. At most
/// one at a time.
class InterruptGuard {
 public:
  /// Throws Error when another guard lives.
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  /// Whether a signal has come since construction. Cheap: ask once an episode.
  bool requested() const noexcept;

 private:
  struct sigaction previous_interrupt_ {};
  struct sigaction previous_terminate_ {};
};

}  // namespace protolith
