#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include "data/omniglot.h"
#include "tests/engine/temporary_folder.h"

namespace protolith::testing {

/// A PNG with stored (uncompressed) 1-bit grey rows; `paper(x, y)` is true for white.
template <class Paper>
std::string png(int width, int height, Paper paper);

/// A JPEG or BMP of RGB pixels, row-major.
std::string jpeg_file(int width, int height, const std::string& rgb);
std::string bmp_file(int width, int height, const std::string& rgb);

/// The whole file from rows of packed pixels, each row already led by its filter byte.
std::string png_file(std::uint32_t width, std::uint32_t height, const std::string& rows);

/// The same from a zlib stream that may hold anything.
std::string png_of_stream(std::uint32_t width, std::uint32_t height, const std::string& stream);

/// Of 8-bit pixels, row-major, whose `channels` are grey (1) or RGB (3), and alpha behind them (2,
/// 4). A `key` is the colour that is transparent, 16 bits for each channel.
std::string png_of_pixels(std::uint32_t width, std::uint32_t height, int channels,
                          const std::string& pixels, const std::string& key = "");

/// Paths and contents, in archive order.
using Files = std::map<std::string, std::string>;

/// A zip, or where the name says so a tar, compressed by zstd when it ends in .zst.
void write_archive(const std::filesystem::path& file, const Files& files);
void write_zip(const std::filesystem::path& file, const Files& files);
void write_folder(const std::filesystem::path& folder, const Files& files);

/// A tiny Omniglot: 3 + 1 training characters of two alphabets, 1 for validation, 2 for test.
inline constexpr std::array<CharacterRange, 5> kMiniRanges = {{{"Alpha", 1, 2, Split::train},
                                                               {"Gamma", 1, 1, Split::train},
                                                               {"Alpha", 3, 3, Split::train},
                                                               {"Beta", 1, 1, Split::val},
                                                               {"Gamma", 2, 3, Split::test}}};
inline constexpr int kMiniCharacters = 7;

/// Whether the mini data set has ink at (x, y) of that drawing, 1..20, of the stored size.
bool mini_ink(const std::string& alphabet, int character, int drawing, int x, int y);

/// "images_background/Alpha/character01/0101_01.png" and so on.
std::string mini_path(const std::string& alphabet, int character, int drawing);
Files mini_background();
Files mini_evaluation();

/// What `call` throws, or "" when it throws nothing.
template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

template <class Paper>
std::string png(int width, int height, Paper paper) {
  std::string rows;
  for (int y = 0; y < height; ++y) {
    rows += '\0';
    for (int left = 0; left < width; left += 8) {
      unsigned byte = 0;
      for (int bit = 0; bit < 8 && left + bit < width; ++bit) {
        if (paper(left + bit, y)) byte |= 0x80U >> bit;
      }
      rows += static_cast<char>(byte);
    }
  }
  return png_file(static_cast<std::uint32_t>(width), static_cast<std::uint32_t>(height), rows);
}

}  // namespace protolith::testing
