#include "engine/file.h"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <string>
#include <vector>

#include "engine/check.h"
#include "tests/engine/child_process.h"
#include "tests/engine/temporary_folder.h"

using protolith::append_bytes;
using protolith::append_line;
using protolith::AtomicFile;
using protolith::Error;
using protolith::InputFile;
using protolith::read_file;
using protolith::write_file_atomically;
using protolith::testing::in_child;
using protolith::testing::slurp;
using protolith::testing::spill;
using protolith::testing::TemporaryFolder;

namespace {

/// The error that the next call of fsync() reports; 0 for none. Disks that are full or broken may
/// say so only then.
std::atomic<int> next_fsync_error = 0;

std::string text_of(const std::vector<std::byte>& bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

/// The message of the Error that `work` throws.
template <class Work>
std::string message_of(Work work) {
  try {
    work();
  } catch (const Error& error) {
    return error.what();
  }
  return "no error";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// Turns an exhausted file-size limit into an error of write() instead of a signal.
void limit_file_size(rlim_t bytes) {
  std::signal(SIGXFSZ, SIG_IGN);
  const rlimit limit{bytes, bytes};
  if (setrlimit(RLIMIT_FSIZE, &limit) != 0) throw std::runtime_error("no limit set");
}

}  // namespace

extern "C" int fsync(int descriptor) {
  errno = next_fsync_error.exchange(0);
  return errno != 0 ? -1 : static_cast<int>(syscall(SYS_fsync, descriptor));
}

TEST_CASE("a file is read whole, within its limit") {
  const TemporaryFolder folder;
  const std::string text = std::string("zero \0 inside\n", 14);
  spill(folder / "file", text);
  CHECK(text_of(read_file(folder / "file", 14)) == text);
  const std::string message = message_of([&] { read_file(folder / "file", 13); });
  CHECK(contains(message, (folder / "file").string() + " has 14 bytes, at most 13"));
  spill(folder / "empty", "");
  CHECK(read_file(folder / "empty", 0).empty());
}

TEST_CASE("what is no readable file gives an error with its name") {
  const TemporaryFolder folder;
  const std::string missing = message_of([&] { read_file(folder / "missing", 9); });
  CHECK(contains(missing, "cannot read " + (folder / "missing").string()));
  CHECK(contains(missing, "check the path"));
  CHECK(contains(message_of([&] { read_file(folder.path(), 9); }), "is a folder"));
  // Neither may wait for a writer.
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(contains(message_of([&] { read_file(folder / "pipe", 9); }), "a device or a pipe"));
  CHECK(contains(message_of([&] { read_file("/dev/zero", 9); }), "a device or a pipe"));
}

TEST_CASE("reads are placed, and those beyond the end throw") {
  const TemporaryFolder folder;
  spill(folder / "file", "0123456789");
  const InputFile file(folder / "file");
  CHECK(file.size() == 10);
  std::vector<std::byte> bytes(3);
  file.read(7, bytes);
  CHECK(text_of(bytes) == "789");
  CHECK(contains(message_of([&] { file.read(8, bytes); }), "ends at byte 10, 1 bytes early"));
  CHECK(contains(message_of([&] { file.read(UINT64_MAX, bytes); }), "no file is that long"));
}

TEST_CASE("an atomic file replaces the old one at its commit, and leaves nothing else") {
  const TemporaryFolder folder;
  spill(folder / "file", "old");
  {
    AtomicFile file(folder / "file");
    file.write(std::as_bytes(std::span("ne", 2)));
    CHECK(slurp(folder / "file") == "old");
    CHECK(folder.entries() == 2);
    file.write(std::as_bytes(std::span("w", 1)));
    file.commit();
    CHECK(slurp(folder / "file") == "new");
    CHECK(folder.entries() == 1);
    CHECK_THROWS_AS(file.write({}), Error);
    CHECK_THROWS_AS(file.commit(), Error);
  }
  CHECK(slurp(folder / "file") == "new");
  write_file_atomically(folder / "other", "text");
  CHECK(slurp(folder / "other") == "text");
  CHECK(folder.entries() == 2);
}

TEST_CASE("an atomic file without commit leaves the old one and removes the temporary") {
  const TemporaryFolder folder;
  spill(folder / "file", "old");
  { AtomicFile(folder / "file").write(std::as_bytes(std::span("new", 3))); }
  CHECK(slurp(folder / "file") == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a new file has the usual permissions") {
  const TemporaryFolder folder;
  const mode_t mask = umask(022);
  write_file_atomically(folder / "file", "text");
  umask(mask);
  struct stat status {};
  REQUIRE(stat((folder / "file").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0644);
}

TEST_CASE("a file name without a folder is one of the current folder") {
  const TemporaryFolder folder;
  const std::string outcome = in_child([&] {
    std::filesystem::current_path(folder.path());
    write_file_atomically("file", "text");
    return slurp("file");
  });
  CHECK(outcome == "text");
}

TEST_CASE("only regular files are replaced") {
  const TemporaryFolder folder;
  CHECK(contains(message_of([&] { write_file_atomically(folder.path(), "x"); }), "is a folder"));
  CHECK(contains(message_of([&] { write_file_atomically(folder.path() / "", "x"); }), "no file"));
  REQUIRE(mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(contains(message_of([&] { write_file_atomically(folder / "pipe", "x"); }), "or a pipe"));
  CHECK(contains(message_of([&] { append_line(folder / "pipe", "x"); }), "or a pipe"));
  CHECK(folder.entries() == 1);
  // A link is replaced; what it points to is somebody else's.
  spill(folder / "target", "old");
  std::filesystem::create_symlink(folder / "target", folder / "link");
  write_file_atomically(folder / "link", "new");
  CHECK(slurp(folder / "target") == "old");
  CHECK(slurp(folder / "link") == "new");
  // Nor is a link followed that lies in the temporary's place.
  std::filesystem::create_symlink(folder / "target", folder / ".fresh.tmp");
  CHECK_THROWS_AS(write_file_atomically(folder / "fresh", "new"), Error);
  CHECK(slurp(folder / "target") == "old");
}

TEST_CASE("what a killed writer left is taken over, a living writer is not") {
  const TemporaryFolder folder;
  spill(folder / ".file.tmp", "much more than the new text has");
  write_file_atomically(folder / "file", "new");
  CHECK(slurp(folder / "file") == "new");
  CHECK(folder.entries() == 1);

  AtomicFile first(folder / "file");
  first.write(std::as_bytes(std::span("first", 5)));
  const std::string message = message_of([&] { write_file_atomically(folder / "file", "x"); });
  CHECK(contains(message, "is being written by another process"));
  first.commit();
  CHECK(slurp(folder / "file") == "first");
}

TEST_CASE("a folder that is missing or not writable is an error with a remedy") {
  const TemporaryFolder folder;
  const std::string missing =
      message_of([&] { write_file_atomically(folder / "missing" / "file", "x"); });
  CHECK(contains(missing, "folders are not made here"));
  CHECK(contains(missing, (folder / "missing").string()));
  const std::string unread = message_of([&] { read_file(folder / "missing", 100); });
  CHECK(contains(unread, "No such file or directory; check the path"));
  CHECK_FALSE(contains(unread, "folders are not made here"));

  spill(folder / "file", "old");
  const std::string outcome = in_child([&] {
    chmod(folder.path().c_str(), 0555);
    // The superuser may write everywhere: be nobody.
    if (geteuid() == 0 && setuid(65534) != 0) return std::string("not nobody");
    write_file_atomically(folder / "file", "new");
    return std::string("written");
  });
  chmod(folder.path().c_str(), 0755);
  if (outcome == "not nobody") {
    MESSAGE("skipped: the superuser cannot become another user here");
    return;
  }
  CHECK(contains(outcome, "exception: cannot create"));
  CHECK(contains(outcome, "change the permissions"));
  CHECK(slurp(folder / "file") == "old");
  CHECK(folder.entries() == 1);
}

TEST_CASE("a disk that is full when it is asked to keep the bytes leaves the old file") {
  const TemporaryFolder folder;
  spill(folder / "file", "old\n");
  for (const int code : {ENOSPC, EDQUOT, EIO}) {
    next_fsync_error = code;
    const std::string message = message_of([&] { write_file_atomically(folder / "file", "new"); });
    CHECK(contains(message, "cannot write " + (folder / "file").string()));
    CHECK(contains(message, code == EIO ? "check the path and the disk" : "free some space"));
    CHECK(slurp(folder / "file") == "old\n");
    CHECK(folder.entries() == 1);

    next_fsync_error = code;
    CHECK_THROWS_AS(append_line(folder / "file", "new"), Error);
    CHECK(slurp(folder / "file") == "old\n");
    next_fsync_error = code;
    CHECK_THROWS_AS(append_bytes(folder / "file", std::as_bytes(std::span("new", 3))), Error);
    CHECK(slurp(folder / "file") == "old\n");
  }
}

TEST_CASE("a signal that interrupts fsync is no failure") {
  const TemporaryFolder folder;
  next_fsync_error = EINTR;
  write_file_atomically(folder / "file", "new");
  CHECK(slurp(folder / "file") == "new");
}

TEST_CASE("a full file system leaves the old file and no temporary") {
  const TemporaryFolder folder;
  const std::string outcome = in_child([&] {
    // A file system of 1 MiB that only this child sees; as itself, as tmpfs knows no other user.
    const std::string user = fmt::format("0 {} 1", geteuid());
    const std::string group = fmt::format("0 {} 1", getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return std::string("skipped");
    spill("/proc/self/setgroups", "deny");
    spill("/proc/self/uid_map", user);
    spill("/proc/self/gid_map", group);
    if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=1m") != 0) {
      return std::string("skipped");
    }
    const std::string old(400'000, 'o');
    write_file_atomically(folder / "file", old);
    const std::string message =
        message_of([&] { write_file_atomically(folder / "file", std::string(900'000, 'n')); });
    if (slurp(folder / "file") != old) return std::string("the old file is gone");
    if (folder.entries() != 1) return std::string("a temporary is left");
    write_file_atomically(folder / "file", "small");  // there is room again
    return slurp(folder / "file") + ": " + message;
  });
  if (outcome == "skipped") {
    MESSAGE("skipped: a full file system, as this machine lets no process mount one");
    return;
  }
  CAPTURE(outcome);
  CHECK(contains(outcome, "small: cannot write " + (folder / "file").string()));
  CHECK(contains(outcome, "No space left on device; free some space"));
}

TEST_CASE("a limit in the middle of a write leaves the old file and no temporary") {
  const TemporaryFolder folder;
  spill(folder / "file", "old");
  spill(folder / "lines", std::string(999, 'x') + "\n");
  const std::string outcome = in_child([&] {
    limit_file_size(1005);
    const std::string message =
        message_of([&] { write_file_atomically(folder / "file", std::string(5000, 'n')); });
    // Five bytes of the line fit, and must go again.
    return message + message_of([&] { append_line(folder / "lines", "0123456789"); });
  });
  CHECK(contains(outcome, "cannot write " + (folder / "file").string()));
  CHECK(contains(outcome, "cannot write " + (folder / "lines").string()));
  CHECK(contains(outcome, "ulimit -f"));
  CHECK(slurp(folder / "file") == "old");
  CHECK(slurp(folder / "lines").size() == 1000);
  CHECK(folder.entries() == 2);
}

TEST_CASE("a process killed while it saves leaves a complete file, old or new") {
  const TemporaryFolder folder;
  const auto version = [](char letter) {
    // Of different sizes, so that a mixture shows.
    return std::string(200'000 + 1000 * static_cast<std::size_t>(letter - 'a'), letter);
  };
  const auto save_forever = [&](int progress) {
    for (char letter = 'a';; letter = letter == 'z' ? 'a' : static_cast<char>(letter + 1)) {
      const std::string text = version(letter);
      AtomicFile file(folder / "file");
      for (std::size_t at = 0; at < text.size(); at += 1000) {
        file.write(std::as_bytes(std::span(text)).subspan(at, 1000));
      }
      file.commit();
      if (write(progress, "", 1) != 1) return;
    }
  };
  int left_temporaries = 0;
  for (int i = 0; i < 60; ++i) {
    int progress[2];
    REQUIRE(pipe(progress) == 0);
    const pid_t child = fork();
    if (child == 0) {
      try {
        save_forever(progress[1]);
      } catch (const std::exception&) {
      }
      _exit(1);
    }
    REQUIRE(child > 0);
    close(progress[1]);
    // Some time into the second save or a later one.
    char ignored = 0;
    CHECK(read(progress[0], &ignored, 1) == 1);
    usleep(static_cast<useconds_t>(331 * i % 4000));
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    REQUIRE(WIFSIGNALED(status));
    close(progress[0]);
    const std::string found = slurp(folder / "file");
    REQUIRE(!found.empty());
    CHECK(found.size() == version(found[0]).size());
    CHECK(found == version(found[0]));
    CHECK(folder.entries() <= 2);
    left_temporaries += folder.entries() == 2 ? 1 : 0;
  }
  CHECK(left_temporaries > 0);  // else no kill hit the middle of a save
}

TEST_CASE("lines are appended one by one") {
  const TemporaryFolder folder;
  append_line(folder / "lines", "{\"epoch\": 1}");
  append_line(folder / "lines", "");
  append_line(folder / "lines", "{\"epoch\": 2}");
  CHECK(slurp(folder / "lines") == "{\"epoch\": 1}\n\n{\"epoch\": 2}\n");
  CHECK_THROWS_AS(append_line(folder / "lines", "two\nlines"), Error);
  CHECK_THROWS_AS(append_line(folder / "missing" / "lines", "x"), Error);
  CHECK_THROWS_AS(append_line(folder.path(), "x"), Error);
  spill(folder / "torn", "{\"epo");
  append_line(folder / "torn", "{\"epoch\": 3}");
  CHECK(slurp(folder / "torn") == "{\"epo\n{\"epoch\": 3}\n");
}
