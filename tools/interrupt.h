#pragma once

#include <array>
#include <csignal>

namespace protolith {

/// While it lives, the first SIGINT (Ctrl-C), SIGTERM or SIGHUP (a terminal that closes) asks the
/// program to stop at the next convenient point. A second SIGINT or SIGTERM of the same kind ends
/// it at once; of a closing terminal both the system and the shell may tell. A SIGINT or SIGHUP
/// that is ignored on construction stays so: programs started by nohup or by a script's `&` inherit
/// that, and what becomes of the terminal is not meant for them. The earlier handlers come back on
/// destruction. At most one at a time.
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
  std::array<struct sigaction, 3> previous_{};
};

}  // namespace protolith
