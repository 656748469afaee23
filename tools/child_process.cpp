#include "tools/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "engine/check.h"
#include "engine/file.h"

extern char** environ;

namespace protolith {
namespace {

std::string message(int error) {
  return std::system_category().message(error);
}

/// A file in memory that holds `text`, to be read from its start. As stdin it needs no writer that
/// keeps pace with the child, and a child that stops reading early sends us no SIGPIPE.
FileDescriptor input_file(std::string_view text) {
  FileDescriptor file(memfd_create("input", MFD_CLOEXEC));
  PROTOLITH_CHECK(file.is_open(), "the input of a child process cannot be held: {}",
                  message(errno));
  for (std::size_t offset = 0; offset < text.size();) {
    const ssize_t written =
        pwrite(file.get(), text.data() + offset, text.size() - offset, static_cast<off_t>(offset));
    PROTOLITH_CHECK(written >= 0 || errno == EINTR,
                    "the input of a child process cannot be held: {}", message(errno));
    offset += static_cast<std::size_t>(std::max<ssize_t>(written, 0));
  }
  return file;
}

/// A pipe that carries one of the child's streams to us.
struct Pipe {
  FileDescriptor reader, writer;

  void open() {
    std::array<int, 2> ends{};
    PROTOLITH_CHECK(pipe2(ends.data(), O_CLOEXEC) == 0, "no pipe to a child process: {}",
                    message(errno));
    reader = FileDescriptor(ends[0]);
    writer = FileDescriptor(ends[1]);
  }
};

/// What the child's streams become on its start.
class FileActions {
 public:
  FileActions() { posix_spawn_file_actions_init(&actions_); }
  ~FileActions() { posix_spawn_file_actions_destroy(&actions_); }
  FileActions(const FileActions&) = delete;
  FileActions& operator=(const FileActions&) = delete;

  void replace(int stream, const FileDescriptor& by) {
    const int error = posix_spawn_file_actions_adddup2(&actions_, by.get(), stream);
    PROTOLITH_CHECK(error == 0, "no streams for a child process: {}", message(error));
  }
  const posix_spawn_file_actions_t* get() const noexcept { return &actions_; }

 private:
  posix_spawn_file_actions_t actions_{};
};

/// A running child, waited for by wait() or else by its owner's end, so that none stays a zombie.
class Child {
 public:
  Child(const std::vector<std::string>& arguments, const FileActions& actions) {
    std::vector<char*> words;
    words.reserve(arguments.size() + 1);
    // posix_spawnp takes char* for C's sake and changes nothing.
    for (const std::string& word : arguments) words.push_back(const_cast<char*>(word.c_str()));
    words.push_back(nullptr);
    const int error =
        posix_spawnp(&process_, words[0], actions.get(), nullptr, words.data(), environ);
    PROTOLITH_CHECK(error == 0, "{} cannot be started: {}; is it installed and on PATH?",
                    arguments[0], message(error));
  }
  ~Child() {
    if (process_ > 0) wait_for(process_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  void ask_to_end() const { kill(process_, SIGTERM); }

  int wait() {
    const int status = wait_for(std::exchange(process_, 0));
    PROTOLITH_CHECK(status >= 0, "a child process was lost: {}", message(errno));
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  /// Its status; -1 when it is not ours to wait for.
  static int wait_for(pid_t process) {
    int status = 0;
    pid_t ended = 0;
    do {
      ended = waitpid(process, &status, 0);
    } while (ended < 0 && errno == EINTR);
    return ended < 0 ? -1 : status;
  }

  pid_t process_ = 0;
};

/// Reads both pipes to their ends, whichever has something: a child that fills one must not wait
/// for us while we wait at the other.
/// Asks `stop`, if any, several times a second: a signal may come just before a poll() that it
/// should have ended.
void drain(Pipe& output, Pipe& errors, ChildResult& result, const Child& child,
           const std::function<bool()>& stop) {
  constexpr int kMilliseconds = 200;
  bool asked = false;
  const std::array<Pipe*, 2> pipes{&output, &errors};
  const std::array<std::string*, 2> texts{&result.output, &result.errors};
  // poll() passes over negative descriptors.
  std::array<pollfd, 2> waiting{pollfd{output.reader.get(), POLLIN, 0},
                                pollfd{errors.reader.get(), POLLIN, 0}};
  std::vector<char> buffer(1 << 16);
  while (waiting[0].fd >= 0 || waiting[1].fd >= 0) {
    if (!asked && stop && stop()) {
      child.ask_to_end();
      asked = true;
    }
    if (poll(waiting.data(), waiting.size(), stop && !asked ? kMilliseconds : -1) < 0) {
      PROTOLITH_CHECK(errno == EINTR, "cannot wait for a child process: {}", message(errno));
      continue;
    }
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].fd < 0 || waiting[i].revents == 0) continue;
      const ssize_t got = read(pipes[i]->reader.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      PROTOLITH_CHECK(got >= 0, "cannot read from a child process: {}", message(errno));
      texts[i]->append(buffer.data(), static_cast<std::size_t>(got));
      if (got == 0) waiting[i].fd = -1;
    }
  }
}

}  // namespace

ChildResult run_child(const std::vector<std::string>& arguments, const ChildStreams& streams) {
  PROTOLITH_CHECK(!arguments.empty(), "a child process needs a program");
  // Outlives the pipes: where this fails half-way, their end stops a child that still writes.
  std::optional<Child> child;
  FileActions actions;
  const FileDescriptor input = input_file(streams.input);
  actions.replace(STDIN_FILENO, input);
  Pipe output, errors;
  if (streams.capture_output) {
    output.open();
    actions.replace(STDOUT_FILENO, output.writer);
  }
  if (streams.capture_errors) {
    errors.open();
    actions.replace(STDERR_FILENO, errors.writer);
  }
  child.emplace(arguments, actions);
  output.writer = FileDescriptor();
  errors.writer = FileDescriptor();
  ChildResult result;
  drain(output, errors, result, *child, streams.stop);
  result.code = child->wait();
  return result;
}

bool is_on_path(const std::string& program) {
  const auto is_program = [](const std::string& file) {
    struct stat status {};
    return stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) &&
           access(file.c_str(), X_OK) == 0;
  };
  if (program.empty()) return false;
  if (program.find('/') != std::string::npos) return is_program(program);
  const char* variable = std::getenv("PATH");
  std::string_view rest = variable != nullptr ? variable : "/bin:/usr/bin";
  while (true) {
    const std::size_t end = std::min(rest.find(':'), rest.size());
    const std::string folder(end == 0 ? "." : rest.substr(0, end));  // POSIX: empty is here
    if (is_program(folder + "/" + program)) return true;
    if (end == rest.size()) return false;
    rest.remove_prefix(end + 1);
  }
}

std::string path_word(const std::filesystem::path& path) {
  return path.string().starts_with('-') ? "./" + path.string() : path.string();
}

std::string shell_line(const std::vector<std::string>& arguments) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789%+,-./:=@_";
  std::string line;
  for (const std::string& word : arguments) {
    if (!line.empty()) line += ' ';
    // A first word with '=' would be an assignment.
    const bool plain = !word.empty() && word.find_first_not_of(kPlain) == std::string::npos &&
                       (!line.empty() || word.find('=') == std::string::npos);
    if (plain) {
      line += word;
      continue;
    }
    line += '\'';
    for (const char c : word) line += c == '\'' ? std::string("'\\''") : std::string(1, c);
    line += '\'';
  }
  return line;
}

}  // namespace protolith
