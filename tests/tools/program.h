#pragma once

#include <sys/wait.h>

#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

#include "tests/engine/temporary_folder.h"

namespace protolith::testing {

struct ProgramResult {
  int code = 0;
  std::string output;  ///< stdout
  std::string errors;  ///< stderr
};

/// Runs the built program by the shell in `folder`, with `arguments` as the shell reads them.
inline ProgramResult run_program(const std::string& arguments,
                                 const std::filesystem::path& folder = ".") {
  const TemporaryFolder scratch;
  const std::string output = (scratch / "out").string();
  const std::string errors = (scratch / "err").string();
  const std::string command = "cd '" + folder.string() + "' && >'" + output + "' 2>'" + errors +
                              "' </dev/null '" PROTOLITH_PROGRAM "' " + arguments;
  const int status = std::system(command.c_str());
  if (!WIFEXITED(status)) throw std::runtime_error("did not exit: " + command);
  return {WEXITSTATUS(status), slurp(output), slurp(errors)};
}

inline bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace protolith::testing
