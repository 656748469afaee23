#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <system_error>

#include "tools/command.h"

namespace {

/// Starts the program anew with short waits, once, unless the user has set how threads wait, or
/// where they run: libgomp has bound this thread to one processor then, which a new start would
/// inherit. After a parallel loop libgomp's threads spin for milliseconds by default: on a machine
/// that has other work too, every loop then waits for the scheduler to give a spinning thread's
/// core back (docs/performance.md has figures). libgomp reads the limit before main and has no
/// function for it. Where starting anew fails, the program just goes on.
void limit_spinning(char** argv) {
  for (const char* set :
       {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "OMP_PROC_BIND", "OMP_PLACES", "GOMP_CPU_AFFINITY"}) {
    if (std::getenv(set) != nullptr) return;
  }
  std::error_code failed;
  const auto program = std::filesystem::read_symlink("/proc/self/exe", failed);
  if (failed || setenv("GOMP_SPINCOUNT", "20000", 0) != 0) return;
  execv(program.c_str(), argv);
}

/// Opens what is closed of standard input, output and error: the first file that the program opens
/// would take its place, and be written messages into. Output that is closed cannot be written to:
/// a result must not be lost unnoticed.
void fill_standard_streams() {
  for (int stream = STDIN_FILENO; stream <= STDERR_FILENO; ++stream) {
    if (fcntl(stream, F_GETFD) >= 0) continue;
    // The lowest number that is free, which is this one.
    if (open("/dev/null", stream == STDOUT_FILENO ? O_RDONLY : O_RDWR) < 0) return;
  }
}

}  // namespace

int main(int argc, char** argv) {
  fill_standard_streams();
  limit_spinning(argv);
  protolith::CommandLine program;
  protolith::add_commands(program);
  return program.run(argc, argv);
}
