#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "tests/engine/temporary_folder.h"

namespace protolith::testing {

struct ProgramResult {
  int code = 0;
  std::string output;  ///< stdout
  std::string errors;  ///< stderr
};

/// The program under test: the built one, or the copy that PROTOLITH_TEST_PROGRAM names.
inline const char* program_path() {
  const char* const copy = std::getenv("PROTOLITH_TEST_PROGRAM");
  return copy != nullptr ? copy : PROTOLITH_PROGRAM;
}

/// Runs the built program by the shell in `folder`, with `arguments` as the shell reads them.
inline ProgramResult run_program(const std::string& arguments,
                                 const std::filesystem::path& folder = ".") {
  const TemporaryFolder scratch;
  const std::string output = (scratch / "out").string();
  const std::string errors = (scratch / "err").string();
  const std::string command = "cd '" + folder.string() + "' && >'" + output + "' 2>'" + errors +
                              "' </dev/null '" + program_path() + "' " + arguments;
  const int status = std::system(command.c_str());
  if (!WIFEXITED(status)) throw std::runtime_error("did not exit: " + command);
  return {WEXITSTATUS(status), slurp(output), slurp(errors)};
}

/// Starts the program in the background, without a shell in between, so that a signal reaches it;
/// with `own_group`, kill(-child, ...) reaches its children too, as a terminal's Ctrl-C does.
inline pid_t start(const std::vector<std::string>& arguments, const std::filesystem::path& errors,
                   bool own_group = false) {
  const pid_t child = fork();
  if (child != 0) return child;
  if (own_group) setpgid(0, 0);
  signal(SIGINT, SIG_DFL);   // a test runner in the background may have left it ignored
  signal(SIGXFSZ, SIG_IGN);  // a file size limit shall look like a full disk
  const int null = open("/dev/null", O_RDWR);
  const int log = open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  dup2(null, 0);
  dup2(null, 1);
  dup2(log, 2);
  std::vector<char*> argv{const_cast<char*>(program_path())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(program_path(), argv.data());
  _exit(127);
}

inline std::vector<std::string> words(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream stream(text);
  for (std::string word; stream >> word;) result.push_back(word);
  return result;
}

/// Waits until `condition` holds or a minute has passed.
template <class F>
bool wait_for(F&& condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return true;
}

/// Its exit code; -1 when a signal ended it.
inline int wait_for_exit(pid_t child) {
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace protolith::testing
