#include "data/source_state.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>

#include "data/image_set.h"
#include "engine/check.h"

namespace protolith {
namespace {

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
  const int descriptor = openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  PROTOLITH_CHECK(descriptor >= 0, "cannot read the folder {}: {}; make it readable, or remove it",
                  path, std::strerror(errno));
  const std::unique_ptr<DIR, CloseFolder> folder(fdopendir(descriptor));  // owns it from here on
  PROTOLITH_CHECK(folder != nullptr, "out of memory reading the folder {}", path);
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

std::string file_state(const std::filesystem::path& file) {
  struct stat status {};
  PROTOLITH_CHECK(stat(file.c_str(), &status) == 0, "cannot read {}: {}", file.string(),
                  std::strerror(errno));
  const EntryState state = state_of(status);
  return fmt::format("{} bytes, changed {}.{:09}", state.size, state.seconds, state.nanoseconds);
}

std::string folder_state(const std::filesystem::path& folder, int depth) {
  TreeSummary summary;
  summarise(AT_FDCWD, folder.c_str(), folder.string(), depth, summary);
  return fmt::format("{} entries, hash {:016x}", summary.entries, summary.hash);
}

}  // namespace protolith
