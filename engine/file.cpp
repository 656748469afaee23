#include "engine/file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <limits>
#include <string>
#include <system_error>

#include "engine/check.h"

namespace protolith {
namespace {

/// A system call, again while signals interrupt it.
template <class Call>
auto retry(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

std::string_view remedy(int error, bool reading) {
  switch (error) {
    case ENOSPC:
    case EDQUOT:
      return "free some space there or choose another folder";
    case EACCES:
    case EPERM:
    case EROFS:
      return "change the permissions or choose another folder";
    case ENOENT:
    case ENOTDIR:
      return reading ? "check the path" : "check the path; folders are not made here";
    case EFBIG:
      return "raise 'ulimit -f' or choose another file system";
    case EMFILE:
    case ENFILE:
      return "raise 'ulimit -n'";
    default:
      return "check the path and the disk";
  }
}

/// Throws Error for the call that has just failed, by errno.
[[noreturn]] void fail(std::string_view what, const std::filesystem::path& path) {
  const int error = errno;
  throw Error(fmt::format("cannot {} {}: {}; {}", what, path.string(),
                          std::system_category().message(error), remedy(error, what == "read")));
}

void check_regular(const struct stat& status, const std::filesystem::path& path) {
  PROTOLITH_CHECK(!S_ISDIR(status.st_mode), "{} is a folder; name a file", path.string());
  PROTOLITH_CHECK(S_ISREG(status.st_mode), "{} is a device or a pipe; name a regular file",
                  path.string());
}

void write_all(const FileDescriptor& file, std::span<const std::byte> bytes,
               const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = retry([&] { return ::write(file.get(), bytes.data(), bytes.size()); });
    if (written < 0) fail("write", path);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

void sync_file(const FileDescriptor& file, const std::filesystem::path& path) {
  if (retry([&] { return fsync(file.get()); }) != 0) fail("write", path);
  // Closing a second descriptor shows what a network file system reports at close only, while
  // there is time to undo.
  const int copy = dup(file.get());
  if (copy < 0 || close(copy) != 0) fail("write", path);
}

/// Makes a rename in `folder` outlive a power cut, on file systems that can.
void sync_folder(const std::filesystem::path& folder) {
  const FileDescriptor opened(
      retry([&] { return open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); }));
  const bool failed = !opened.is_open() || retry([&] { return fsync(opened.get()); }) != 0;
  if (failed && errno != EINVAL && errno != ENOTSUP && errno != EACCES) {
    fail("make a rename permanent in", folder);
  }
}

std::filesystem::path folder_of(const std::filesystem::path& path) {
  return path.has_parent_path() ? path.parent_path() : std::filesystem::path(".");
}

/// Locks the temporary of `path`, for which see AtomicFile::AtomicFile(). File systems without
/// locks have to do without this protection.
void lock(const FileDescriptor& temporary, const std::filesystem::path& path,
          const std::function<void()>& on_busy, bool& told) {
  if (flock(temporary.get(), LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  PROTOLITH_CHECK(on_busy, "{} is being written by another process; give each run its own folder",
                  path.string());
  if (!told) on_busy();
  told = true;
  retry([&] { return flock(temporary.get(), LOCK_EX); });
}

/// The temporary file, empty and locked. A lock rather than a unique name, so that what killed
/// writers leave does not pile up.
FileDescriptor open_temporary(const std::filesystem::path& temporary,
                              const std::filesystem::path& path,
                              const std::function<void()>& on_busy) {
  bool told = false;
  while (true) {
    // O_NONBLOCK: a pipe of that name must not make us wait.
    constexpr int kFlags = O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK;
    FileDescriptor file(retry([&] { return open(temporary.c_str(), kFlags, 0666); }));
    if (!file.is_open()) fail("create", temporary);
    lock(file, path, on_busy, told);
    struct stat opened {};
    struct stat named {};
    if (fstat(file.get(), &opened) != 0) fail("inspect", temporary);
    check_regular(opened, temporary);
    // Between open and lock the other writer may have moved the file into place: not ours then.
    if (lstat(temporary.c_str(), &named) != 0 || named.st_ino != opened.st_ino ||
        named.st_dev != opened.st_dev) {
      continue;
    }
    if (ftruncate(file.get(), 0) != 0) fail("empty", temporary);
    return file;
  }
}

/// A file open for appending, and its bytes so far.
struct GrowingFile {
  FileDescriptor descriptor;
  off_t size;
};

GrowingFile open_to_append(const std::filesystem::path& path) {
  constexpr int kFlags = O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK;
  FileDescriptor file(retry([&] { return open(path.c_str(), kFlags, 0666); }));
  if (!file.is_open()) fail("write", path);
  struct stat before {};
  if (fstat(file.get(), &before) != 0) fail("write", path);
  check_regular(before, path);
  return {std::move(file), before.st_size};
}

/// Appends all of `bytes` or, throwing Error, none.
void append_whole(const GrowingFile& file, std::span<const std::byte> bytes,
                  const std::filesystem::path& path) {
  try {
    write_all(file.descriptor, bytes, path);
    sync_file(file.descriptor, path);
  } catch (const Error&) {
    // Half a record is worse than none; if even this fails, the first error is the one to report.
    [[maybe_unused]] const int result = ftruncate(file.descriptor.get(), file.size);
    throw;
  }
}

}  // namespace

FileDescriptor::~FileDescriptor() {
  if (is_open()) close(descriptor_);
}

InputFile::InputFile(std::filesystem::path path) : path_(std::move(path)) {
  // O_NONBLOCK: a pipe is refused below rather than waited for.
  file_ =
      FileDescriptor(retry([&] { return open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); }));
  if (!file_.is_open()) fail("read", path_);
  struct stat status {};
  if (fstat(file_.get(), &status) != 0) fail("read", path_);
  check_regular(status, path_);
  size_ = static_cast<std::uint64_t>(status.st_size);
}

void InputFile::read(std::uint64_t offset, std::span<std::byte> target) const {
  while (!target.empty()) {
    PROTOLITH_CHECK(offset <= static_cast<std::uint64_t>(std::numeric_limits<off_t>::max()),
                    "cannot read {} at byte {}: no file is that long", path_.string(), offset);
    const ssize_t got = retry([&] {
      return pread(file_.get(), target.data(), target.size(), static_cast<off_t>(offset));
    });
    if (got < 0) fail("read", path_);
    PROTOLITH_CHECK(got > 0, "{} ends at byte {}, {} bytes early; is it still being written?",
                    path_.string(), offset, target.size());
    offset += static_cast<std::uint64_t>(got);
    target = target.subspan(static_cast<std::size_t>(got));
  }
}

std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t limit) {
  const InputFile file(path);
  PROTOLITH_CHECK(file.size() <= limit,
                  "{} has {} bytes, at most {} can be right; is it the file that was meant?",
                  path.string(), file.size(), limit);
  std::vector<std::byte> bytes(file.size());
  file.read(0, bytes);
  return bytes;
}

AtomicFile::AtomicFile(std::filesystem::path path, const std::function<void()>& on_busy)
    : path_(std::move(path)) {
  PROTOLITH_CHECK(path_.has_filename(), "'{}' names no file to write", path_.string());
  struct stat status {};
  if (stat(path_.c_str(), &status) == 0) check_regular(status, path_);
  temporary_ = folder_of(path_) / ("." + path_.filename().string() + ".tmp");
  file_ = open_temporary(temporary_, path_, on_busy);
}

AtomicFile::~AtomicFile() {
  if (file_.is_open()) unlink(temporary_.c_str());
}

void AtomicFile::write(std::span<const std::byte> bytes) {
  PROTOLITH_CHECK(file_.is_open(), "{} was written to after its commit", path_.string());
  write_all(file_, bytes, path_);
}

void AtomicFile::commit() {
  PROTOLITH_CHECK(file_.is_open(), "{} was committed twice", path_.string());
  sync_file(file_, path_);
  if (rename(temporary_.c_str(), path_.c_str()) != 0) fail("replace", path_);
  const FileDescriptor done = std::move(file_);
  sync_folder(folder_of(path_));
}

void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

void append_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes) {
  append_whole(open_to_append(path), bytes, path);
}

void append_line(const std::filesystem::path& path, std::string_view line) {
  PROTOLITH_CHECK(line.find('\n') == std::string_view::npos,
                  "a line for {} holds a newline; write two lines", path.string());
  const GrowingFile file = open_to_append(path);
  char last = '\n';
  if (file.size > 0 &&
      retry([&] { return pread(file.descriptor.get(), &last, 1, file.size - 1); }) != 1) {
    fail("read", path);
  }
  std::string text;
  if (last != '\n') text += '\n';
  text.append(line).append("\n");
  append_whole(file, std::as_bytes(std::span(text)), path);
}

}  // namespace protolith
