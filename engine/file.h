#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace protolith {

/// An open file descriptor, closed with its owner.
class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int descriptor) : descriptor_(descriptor) {}
  FileDescriptor(FileDescriptor&& other) noexcept
      : descriptor_(std::exchange(other.descriptor_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(descriptor_, other.descriptor_);
    return *this;
  }
  ~FileDescriptor();

  int get() const noexcept { return descriptor_; }
  bool is_open() const noexcept { return descriptor_ >= 0; }

 private:
  int descriptor_ = -1;
};

/// A regular file, open for reading.
class InputFile {
 public:
  /// Throws Error when `path` cannot be opened or is no regular file.
  explicit InputFile(std::filesystem::path path);

  const std::filesystem::path& path() const noexcept { return path_; }
  /// Bytes, when it was opened.
  std::uint64_t size() const noexcept { return size_; }
  /// Fills `target` from byte `offset` on. Throws Error when the file ends earlier.
  void read(std::uint64_t offset, std::span<std::byte> target) const;

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
  std::uint64_t size_ = 0;
};

/// A whole file. Throws Error when it cannot be read or has more than `limit` bytes; the size is
/// checked before memory is taken.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t limit);

/// A file that appears whole or not at all: what is written goes to `.NAME.tmp` in the same folder,
/// which commit() moves over `path`. Without commit() the temporary is removed and the file of
/// before stays. What a killed writer leaves behind, the next one takes over. A symbolic link at
/// `path` is replaced, not followed.
class AtomicFile {
 public:
  /// Throws Error when the folder is missing or not writable, when `path` is something else than a
  /// regular file, or when another writer has the same file open; with `on_busy` that is called
  /// instead, once, and the other writer waited for, who may have put the file in its place then.
  explicit AtomicFile(std::filesystem::path path, const std::function<void()>& on_busy = {});
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  /// Appends. Throws Error when the disk is full or fails.
  void write(std::span<const std::byte> bytes);
  /// Forces the bytes to the disk and puts the file in its place; once. Throws Error as write().
  void commit();

 private:
  std::filesystem::path path_;
  std::filesystem::path temporary_;
  FileDescriptor file_;
};

/// Replaces the file `path` by one that holds `bytes`, or throws Error and leaves it as it was.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::byte> bytes);
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// Appends `bytes` to a file, made where it is missing; on disk on return. When that fails it
/// throws Error and the file is as before.
void append_bytes(const std::filesystem::path& path, std::span<const std::byte> bytes);

/// Appends `line` and a newline to a text file, made where it is missing; on disk on return. When
/// that fails it throws Error and the file is as before. A last line without a newline (torn by a
/// power cut, say) is ended first. Throws Error on a line that holds a newline.
void append_line(const std::filesystem::path& path, std::string_view line);

}  // namespace protolith
