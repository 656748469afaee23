// The .npy format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
#include "tools/npy.h"

#include <bit>
#include <cstring>
#include <string>

#include "engine/check.h"
#include "engine/file.h"

namespace protolith {
namespace {

static_assert(std::endian::native == std::endian::little);

/// Magic, version, length and the dictionary, filled up so that the data starts at a multiple of
/// 64 bytes.
std::string npy_header(const char* type, const std::vector<std::int64_t>& shape) {
  const std::string extents =
      fmt::format("{}{}", fmt::join(shape, ", "), shape.size() == 1 ? "," : "");
  std::string dictionary =
      fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}", type, extents);
  constexpr std::size_t kPrefix = 10;
  dictionary.resize((kPrefix + dictionary.size() + 1 + 63) / 64 * 64 - kPrefix - 1, ' ');
  dictionary += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dictionary.size() & 0xFF);
  header += static_cast<char>(dictionary.size() >> 8);
  return header + dictionary;
}

void write(const std::filesystem::path& path, const char* type, std::span<const std::byte> data,
           std::size_t count, const std::vector<std::int64_t>& shape) {
  std::int64_t elements = 1;
  for (const std::int64_t extent : shape) elements *= extent;
  PROTOLITH_CHECK(elements == static_cast<std::int64_t>(count), "{}: {} values for a shape of {}",
                  path.string(), count, elements);
  const std::string header = npy_header(type, shape);
  AtomicFile file(path);
  file.write(std::as_bytes(std::span(header.data(), header.size())));
  file.write(data);
  file.commit();
}

}  // namespace

void write_npy(const std::filesystem::path& path, std::span<const float> values,
               const std::vector<std::int64_t>& shape) {
  write(path, "<f4", std::as_bytes(values), values.size(), shape);
}

void write_npy(const std::filesystem::path& path, std::span<const std::int32_t> values,
               const std::vector<std::int64_t>& shape) {
  write(path, "<i4", std::as_bytes(values), values.size(), shape);
}

}  // namespace protolith
