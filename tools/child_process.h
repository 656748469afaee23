#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace protolith {

/// How a child process ended.
struct ChildResult {
  int code = 0;        ///< its exit code; 128 + the signal that ended it
  std::string output;  ///< its stdout, where it was captured
  std::string errors;  ///< its stderr, where it was captured
};

/// What a child process does with its three streams.
struct ChildStreams {
  std::string input = {};       ///< its stdin, whole
  bool capture_output = false;  ///< else it writes to ours
  bool capture_errors = false;  ///< else it writes to ours
  /// Where it becomes true while output is captured, the child is asked to end (SIGTERM, once).
  std::function<bool()> stop = {};
};

/// Runs `arguments` (the program first: a path, or a name to be found on PATH) and waits. Ctrl-C
/// reaches the child as well as us. Throws Error, naming the program, when it cannot be started.
ChildResult run_child(const std::vector<std::string>& arguments, const ChildStreams& streams = {});

/// Whether `program` is found on PATH.
bool is_on_path(const std::string& program);

/// `arguments` as a line that a shell reads back to the same words: quoted where they need it.
std::string shell_line(const std::vector<std::string>& arguments);

/// A path as a word of a command line, which must not look like an option.
std::string path_word(const std::filesystem::path& path);

}  // namespace protolith
