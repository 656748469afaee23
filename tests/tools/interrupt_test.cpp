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

TEST_CASE("the first signal asks, and the earlier handlers come back") {
  for (const int signal : {SIGINT, SIGTERM}) {
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

TEST_CASE("the second signal of a kind ends the program") {
  const auto twice = [](int signal) {
    return end_of_child([signal] {
      const InterruptGuard guard;
      std::raise(signal);
      if (!guard.requested()) _exit(1);
      std::raise(signal);
    });
  };
  CHECK(twice(SIGINT) == -SIGINT);
  CHECK(twice(SIGTERM) == -SIGTERM);
}

TEST_CASE("two guards at once are an error, one after the other are not") {
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
