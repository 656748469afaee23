#pragma once

#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace protolith {

/// Calls `take(path inside the archive, bytes)` for each regular file of a zip (or tar) archive, in
/// archive order, skipping those for which `wanted(path)` is false. A member larger than
/// `max_member_bytes` is refused before it is read. Throws Error naming the archive and the
/// member (the caller knows the remedy) when the archive cannot be opened, is cut short or fails a
/// checksum.
void read_archive(const std::filesystem::path& file, std::size_t max_member_bytes,
                  const std::function<bool(const std::string&)>& wanted,
                  const std::function<void(const std::string&, std::vector<std::byte>)>& take);

}  // namespace protolith
