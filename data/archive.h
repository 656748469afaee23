#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace protolith {

/// How many bytes an archive of `file_bytes` bytes may decompress to: 256 MiB and 64 times its
/// size, together. Data sets expand by a factor of 1 to 10, their images being compressed already.
std::uint64_t archive_expansion_limit(std::uint64_t file_bytes);

/// Calls `take(path inside the archive, bytes)` for each regular file of an archive, in archive
/// order, skipping those for which `wanted(path)` is false. An archive is a zip whose members are
/// stored or deflated, or a tar, plain or compressed once by gzip, bzip2, xz or zstd; no other
/// program is ever run to decompress it. A member larger than `max_member_bytes` is refused before
/// more of it is read. Throws Error naming the archive and the member (the caller knows the remedy)
/// when the archive cannot be opened, is cut short, fails a checksum, or expands beyond
/// archive_expansion_limit().
void read_archive(const std::filesystem::path& file, std::size_t max_member_bytes,
                  const std::function<bool(const std::string&)>& wanted,
                  const std::function<void(const std::string&, std::vector<std::byte>)>& take);

}  // namespace protolith
