#include "data/posix_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "data/image_set.h"
#include "engine/check.h"

namespace protolith {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int value) noexcept : value_(value) {}
  ~Descriptor() {
    if (value_ >= 0) close(value_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const noexcept { return value_; }
  int release() noexcept { return std::exchange(value_, -1); }

 private:
  int value_;
};

/// A file that goes away again unless it is renamed to its place.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::filesystem::path& target)
      : path_(target.string() + ".XXXXXX"), file_(mkostemp(path_.data(), O_CLOEXEC)) {
    PROTOLITH_CHECK(file_.get() >= 0, "cannot write {}: {}", target.string(), std::strerror(errno));
  }
  ~TemporaryFile() {
    if (!renamed_) unlink(path_.c_str());
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;

  void append(std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
      const ssize_t written = write(file_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      PROTOLITH_CHECK(written > 0, "cannot write {}: {}", path_, std::strerror(errno));
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }

  void rename_to(const std::filesystem::path& target) {
    PROTOLITH_CHECK(fsync(file_.get()) == 0 && rename(path_.c_str(), target.c_str()) == 0,
                    "cannot write {}: {}", target.string(), std::strerror(errno));
    renamed_ = true;
  }

 private:
  std::string path_;
  Descriptor file_;
  bool renamed_ = false;
};

struct CloseFolder {
  void operator()(DIR* folder) const noexcept { closedir(folder); }
};

struct TreeSummary {
  std::uint64_t entries = 0;
  std::uint64_t hash = 0;  // a sum, so that the order in which a folder lists its entries is moot
};

struct EntryState {
  std::int64_t size, seconds, nanoseconds;
};

EntryState state_of(const struct stat& status) {
  return {status.st_size, status.st_mtim.tv_sec, status.st_mtim.tv_nsec};
}

void summarise(int parent, const char* name, const std::string& path, int depth,
               TreeSummary& summary) {
  Descriptor opened(openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  PROTOLITH_CHECK(opened.get() >= 0, "cannot read the folder {}: {}", path, std::strerror(errno));
  const int descriptor = opened.get();
  const std::unique_ptr<DIR, CloseFolder> folder(fdopendir(descriptor));
  PROTOLITH_CHECK(folder != nullptr, "cannot read the folder {}: {}", path, std::strerror(errno));
  opened.release();  // the stream owns it now
  while (const dirent* entry = readdir(folder.get())) {
    struct stat status {};
    if (entry->d_name[0] == '.' || fstatat(descriptor, entry->d_name, &status, 0) != 0) continue;
    const std::string child = path + "/" + entry->d_name;
    const EntryState state = state_of(status);
    ++summary.entries;
    summary.hash += hash_bytes(child.data(), child.size()) ^ hash_bytes(&state, sizeof(state));
    if (S_ISDIR(status.st_mode) && depth > 1) {
      summarise(descriptor, entry->d_name, child, depth - 1, summary);
    }
  }
}

}  // namespace

MappedFile::MappedFile(const std::filesystem::path& file) {
  const Descriptor opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  PROTOLITH_CHECK(opened.get() >= 0, "cannot open {}: {}", file.string(), std::strerror(errno));
  struct stat status {};
  PROTOLITH_CHECK(
      fstat(opened.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0,
      "{} is empty or not a file", file.string());
  const auto size = static_cast<std::size_t>(status.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, opened.get(), 0);
  PROTOLITH_CHECK(address != MAP_FAILED, "cannot map {}: {}", file.string(), std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(address), size};
}

MappedFile::~MappedFile() {
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void write_file_atomically(const std::filesystem::path& file,
                           std::span<const std::span<const std::byte>> parts) {
  TemporaryFile temporary(file);
  for (const std::span<const std::byte> part : parts) temporary.append(part);
  temporary.rename_to(file);
  // The rename itself lives in the folder; a failure here costs durability, not consistency.
  const Descriptor folder(open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) fsync(folder.get());
}

std::string file_state(const std::filesystem::path& file) {
  struct stat status {};
  PROTOLITH_CHECK(stat(file.c_str(), &status) == 0, "cannot read {}: {}", file.string(),
                  std::strerror(errno));
  const EntryState state = state_of(status);
  return fmt::format("{} bytes, changed {}.{:09}", state.size, state.seconds, state.nanoseconds);
}

std::string folder_state(const std::filesystem::path& folder, int depth) {
  TreeSummary summary;
  summarise(AT_FDCWD, folder.c_str(), "", depth, summary);
  return fmt::format("{} entries, hash {:016x}", summary.entries, summary.hash);
}

}  // namespace protolith
