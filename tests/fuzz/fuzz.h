// What the fuzz targets share. Each is a program of libFuzzer's that calls one reader of files with
// whatever bytes it is given: the reader may throw std::exception, and nothing else.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

#include "tests/engine/temporary_folder.h"

namespace protolith::fuzz {

/// A file in memory, for readers that want a path.
class MemoryFile {
 public:
  MemoryFile() : descriptor_(memfd_create("fuzz", MFD_CLOEXEC)) {
    if (descriptor_ < 0) throw std::runtime_error("memfd_create");
    path_ = "/proc/self/fd/" + std::to_string(descriptor_);
  }
  ~MemoryFile() { close(descriptor_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Replaces what it holds.
  void fill(std::string_view bytes) const {
    if (ftruncate(descriptor_, 0) != 0) throw std::runtime_error("ftruncate");
    if (pwrite(descriptor_, bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("pwrite");
    }
  }

 private:
  int descriptor_;
  std::filesystem::path path_;
};

/// A folder with links to such files, for readers that want a folder.
class Folder {
 public:
  const std::filesystem::path& path() const { return folder_.path(); }
  void link(const std::string& name, const MemoryFile& file) const {
    std::filesystem::create_symlink(file.path(), folder_ / name);
  }

 private:
  testing::TemporaryFolder folder_;
};

/// The input as text.
inline std::string_view text_of(const std::uint8_t* data, std::size_t size) {
  return {reinterpret_cast<const char*>(data), size};
}

/// The first byte of `input`, which is removed from it and chooses between variants; 0 when there
/// is none.
inline std::uint8_t take_choice(std::string_view& input) {
  if (input.empty()) return 0;
  const auto choice = static_cast<std::uint8_t>(input[0]);
  input.remove_prefix(1);
  return choice;
}

/// Calls `read`, which may refuse what it is given.
template <class Read>
void try_to(Read read) {
  try {
    read();
  } catch (const std::exception&) {  // as it should
  }
}

/// Ends the program unless `condition` holds: what a reader accepted must make sense.
inline void require(bool condition) {
  if (!condition) __builtin_trap();
}

}  // namespace protolith::fuzz
