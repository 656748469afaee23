#include "tests/data/fixtures.h"

#include <archive.h>
#include <archive_entry.h>

#define STB_IMAGE_WRITE_IMPLEMENTATION
#define STBI_WRITE_NO_STDIO
#include <stb/stb_image_write.h>

#include <fstream>
#include <stdexcept>

#include "engine/random.h"

namespace protolith::testing {
namespace {

std::string big_endian(std::uint32_t value) {
  std::string text;
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 0xffU);
  return text;
}

std::uint32_t crc(const std::string& bytes) {
  std::uint32_t value = 0xffffffffU;
  for (const char c : bytes) {
    value ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) value = value >> 1 ^ (0xedb88320U & (0U - (value & 1U)));
  }
  return ~value;
}

std::string chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<std::uint32_t>(data.size())) + type + data +
         big_endian(crc(type + data));
}

/// `kind`: depth, type of colour and the other bytes of IHDR.
std::string png_of_chunks(std::uint32_t width, std::uint32_t height, const std::string& kind,
                          const std::string& chunks) {
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", big_endian(width) + big_endian(height) + kind) +
         chunks + chunk("IEND", "");
}

/// A zlib stream of one stored block.
std::string zlib_stored(const std::string& data) {
  std::uint32_t a = 1;
  std::uint32_t b = 0;
  for (const char c : data) {
    a = (a + static_cast<unsigned char>(c)) % 65521;
    b = (b + a) % 65521;
  }
  const auto size = static_cast<std::uint16_t>(data.size());
  const auto low = [](unsigned v) { return std::string(1, static_cast<char>(v & 0xffU)); };
  const unsigned inverted = ~unsigned{size};
  return "\x78\x01\x01" + low(size) + low(size >> 8U) + low(inverted) + low(inverted >> 8U) + data +
         big_endian(b << 16 | a);
}

void append(void* file, void* bytes, int count) {
  static_cast<std::string*>(file)->append(static_cast<const char*>(bytes),
                                          static_cast<std::size_t>(count));
}

Files drawings(const std::string& alphabet, int characters) {
  Files files;
  for (int c = 1; c <= characters; ++c) {
    for (int d = 1; d <= kOmniglotDrawings; ++d) {
      files[mini_path(alphabet, c, d)] =
          png(kOmniglotStoredSide, kOmniglotStoredSide,
              [&](int x, int y) { return !mini_ink(alphabet, c, d, x, y); });
    }
  }
  return files;
}

}  // namespace

std::string png_file(std::uint32_t width, std::uint32_t height, const std::string& rows) {
  return png_of_stream(width, height, zlib_stored(rows));
}

std::string png_of_stream(std::uint32_t width, std::uint32_t height, const std::string& stream) {
  const std::string one_bit_grey("\x01\x00\x00\x00\x00", 5);
  return png_of_chunks(width, height, one_bit_grey, chunk("IDAT", stream));
}

std::string png_of_pixels(std::uint32_t width, std::uint32_t height, int channels,
                          const std::string& pixels, const std::string& key) {
  constexpr std::array<char, 5> kColourType = {0, 0, 4, 2, 6};  // by channels
  const std::size_t row = width * static_cast<std::size_t>(channels);
  std::string rows;
  for (std::size_t y = 0; y < height; ++y) rows += '\0' + pixels.substr(y * row, row);
  const std::string kind{8, kColourType.at(static_cast<std::size_t>(channels)), 0, 0, 0};
  return png_of_chunks(width, height, kind,
                       (key.empty() ? "" : chunk("tRNS", key)) + chunk("IDAT", zlib_stored(rows)));
}

void write_archive(const std::filesystem::path& file, const Files& files) {
  archive* out = archive_write_new();
  if (contains(file.filename().string(), ".tar")) {
    archive_write_set_format_pax_restricted(out);
    if (file.extension() == ".zst") archive_write_add_filter_zstd(out);
  } else {
    archive_write_set_format_zip(out);
  }
  if (archive_write_open_filename(out, file.c_str()) != ARCHIVE_OK) {
    throw std::runtime_error("cannot write " + file.string());
  }
  for (const auto& [path, bytes] : files) {
    archive_entry* entry = archive_entry_new();
    archive_entry_set_pathname(entry, path.c_str());
    archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_write_header(out, entry);
    archive_write_data(out, bytes.data(), bytes.size());
    archive_entry_free(entry);
  }
  archive_write_close(out);
  archive_write_free(out);
}

void write_zip(const std::filesystem::path& file, const Files& files) {
  write_archive(file, files);
}

std::string jpeg_file(int width, int height, const std::string& rgb) {
  std::string file;
  constexpr int kQuality = 95;
  stbi_write_jpg_to_func(&append, &file, width, height, 3, rgb.data(), kQuality);
  return file;
}

std::string bmp_file(int width, int height, const std::string& rgb) {
  std::string file;
  stbi_write_bmp_to_func(&append, &file, width, height, 3, rgb.data());
  return file;
}

void write_folder(const std::filesystem::path& folder, const Files& files) {
  for (const auto& [path, bytes] : files) {
    std::filesystem::create_directories((folder / path).parent_path());
    std::ofstream(folder / path, std::ios::binary) << bytes;
  }
}

bool mini_ink(const std::string& alphabet, int character, int drawing, int x, int y) {
  const auto stream = static_cast<std::uint64_t>(alphabet[0] * 100 + character) * 100 +
                      static_cast<std::uint64_t>(drawing);
  // A block of noise per drawing, cheap to evaluate at a point.
  const std::uint64_t at = stream * 0x9e3779b97f4a7c15U + static_cast<std::uint64_t>(y * 105 + x);
  return ((at * 0xff51afd7ed558ccdU) >> 61U) == 0;
}

std::string mini_path(const std::string& alphabet, int character, int drawing) {
  return fmt::format("{}/{}/character{:02}/{:02}{:02}_{:02}.png",
                     alphabet == "Gamma" ? "images_evaluation" : "images_background", alphabet,
                     character, static_cast<int>(alphabet[0]), character, drawing);
}

Files mini_background() {
  Files files = drawings("Alpha", 3);
  files.merge(drawings("Beta", 1));
  return files;
}

Files mini_evaluation() {
  return drawings("Gamma", 3);
}

}  // namespace protolith::testing
