#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

namespace protolith {

/// A whole file in memory, read-only and shared with the page cache.
class MappedFile {
 public:
  /// Throws Error when the file cannot be opened or mapped, or is empty.
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;

  std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

/// Writes the parts one after the other to `file` so that a reader sees the old file or the whole
/// new one, whatever happens in between: temporary file, fsync, rename. Throws Error naming the
/// file; no temporary file is left then.
void write_file_atomically(const std::filesystem::path& file,
                           std::span<const std::span<const std::byte>> parts);

/// "SIZE bytes, changed SECONDS.NANOSECONDS". Throws Error when there is no such file.
std::string file_state(const std::filesystem::path& file);

/// The number of entries down to `depth` levels below `folder` (hidden ones aside), and a hash of
/// their names, sizes and times. Throws Error when a folder cannot be read.
std::string folder_state(const std::filesystem::path& folder, int depth);

}  // namespace protolith
