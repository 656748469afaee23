#include "data/mapped_file.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "engine/check.h"
#include "engine/file.h"

namespace protolith {

MappedFile::MappedFile(const std::filesystem::path& file) {
  const FileDescriptor opened(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  PROTOLITH_CHECK(opened.is_open(), "cannot open {}: {}", file.string(), std::strerror(errno));
  struct stat status {};
  PROTOLITH_CHECK(
      fstat(opened.get(), &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0,
      "{} is empty or not a file", file.string());
  const auto size = static_cast<std::size_t>(status.st_size);
  void* address = mmap(nullptr, size, PROT_READ, MAP_PRIVATE, opened.get(), 0);
  PROTOLITH_CHECK(address != MAP_FAILED, "cannot map {}: {}", file.string(), std::strerror(errno));
  bytes_ = {static_cast<const std::byte*>(address), size};
}

void MappedFile::release() const noexcept {
  madvise(const_cast<std::byte*>(bytes_.data()), bytes_.size(), MADV_DONTNEED);
}

MappedFile::~MappedFile() {
  munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

}  // namespace protolith
