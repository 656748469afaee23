#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

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
  /// Takes its pages out of this process's memory; reading them again brings them back.
  void release() const noexcept;

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace protolith
