#include "tools/interrupt.h"

#include <doctest/doctest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <memory>

#include "engine/check.h"

namespace protolith {
namespace {

/// The address of the handler in force.
std::uintptr_t handler_of(int signal) {
  struct sigaction action {};
  sigaction(signal, nullptr, &action);
  return reinterpret_cast<std::uintptr_t>(action.sa_handler);
}

/// How a child ends that runs `work`: its exit code, or the negated signal that killed it.
template <class Work>
int end_of_child(Work work) {
  const pid_t child = fork();
  if (child == 0) {
    work();
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/// The disposition of a signal while it lives: tests may themselves have been started with one
/// ignored, as by nohup.
class Disposition {
 public:
  Disposition(int signal, void (*handler)(int)) : signal_(signal) {
    struct sigaction action {};
    action.sa_handler = handler;
    sigaction(signal_, &action, &previous_);
  }
  ~Disposition() { sigaction(signal_, &previous_, nullptr); }
  Disposition(const Disposition&) = delete;
  Disposition& operator=(const Disposition&) = delete;

 private:
  int signal_;
  struct sigaction previous_ {};
};

TEST_CASE("the first signal asks, and the earlier handlers come back") {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    const Disposition initial(signal, SIG_DFL);
    const auto before = handler_of(signal);
    {
      const InterruptGuard guard;
      CHECK(!guard.requested());
      CHECK(handler_of(signal) != before);
      std::raise(signal);
      CHECK(guard.requested());
    }
    CHECK(handler_of(signal) == before);
    const InterruptGuard again;
    CHECK(!again.requested());
  }
}

TEST_CASE("the second signal of a kind ends the program, unless it is the terminal's end") {
  const auto twice = [](int signal) {
    return end_of_child([signal] {
      const Disposition initial(signal, SIG_DFL);
      const InterruptGuard guard;
      std::raise(signal);
      if (!guard.requested()) _exit(1);
      std::raise(signal);
    });
  };
  CHECK(twice(SIGINT) == -SIGINT);
  CHECK(twice(SIGTERM) == -SIGTERM);
  CHECK(twice(SIGHUP) == 0);
}

TEST_CASE("an inherited ignored SIGINT or SIGHUP stays ignored; SIGTERM is always heard") {
  // nohup and a script's `&` start programs so: the terminal's Ctrl-C is not meant for them, but
  // kill, which names the process, is.
  const Disposition interrupt(SIGINT, SIG_IGN);
  const Disposition hangup(SIGHUP, SIG_IGN);
  const Disposition terminate(SIGTERM, SIG_IGN);
  const auto ignored = handler_of(SIGINT);
  {
    const InterruptGuard guard;
    CHECK(handler_of(SIGINT) == ignored);
    std::raise(SIGINT);
    std::raise(SIGHUP);
    CHECK(!guard.requested());
    std::raise(SIGTERM);
    CHECK(guard.requested());
  }
  CHECK(handler_of(SIGINT) == ignored);
  CHECK(handler_of(SIGTERM) == ignored);
}

TEST_CASE("two guards at once are an error, one after the other are not") {
  const Disposition initial(SIGINT, SIG_DFL);
  {
    const InterruptGuard guard;
    CHECK_THROWS_AS(std::make_unique<InterruptGuard>(), Error);
    std::raise(SIGINT);
    CHECK(guard.requested());
  }
  CHECK_NOTHROW(std::make_unique<InterruptGuard>());
}

}  // namespace
}  // namespace protolith
