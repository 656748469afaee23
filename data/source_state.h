#pragma once

#include <filesystem>
#include <string>

namespace protolith {

/// "SIZE bytes, changed SECONDS.NANOSECONDS". Throws Error when there is no such file.
std::string file_state(const std::filesystem::path& file);

/// The number of entries down to `depth` levels below `folder` (hidden ones aside), and a hash of
/// their names, sizes and times. Throws Error when a folder cannot be read.
std::string folder_state(const std::filesystem::path& folder, int depth);

}  // namespace protolith
