#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

namespace protolith {

/// Writes a C-ordered array of little-endian f32 or i32 as numpy's .npy (format 1.0), atomically.
/// Throws Error when the shape is not that of `values` or the file cannot be written.
void write_npy(const std::filesystem::path& path, std::span<const float> values,
               const std::vector<std::int64_t>& shape);
void write_npy(const std::filesystem::path& path, std::span<const std::int32_t> values,
               const std::vector<std::int64_t>& shape);

}  // namespace protolith
