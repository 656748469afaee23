// A folder data set of small pictures.
#pragma once

#include <filesystem>
#include <string>

#include "tests/data/fixtures.h"

namespace protolith::testing {

/// Bit k of `bits` at pixel k, so that pictures differ.
inline std::string bits_picture(int bits) {
  return png(8, 8, [bits](int x, int y) { return ((bits >> ((x + 8 * y) % 16)) & 1) != 0; });
}

/// Four pictures that no other number has.
inline void write_class(const std::filesystem::path& folder, int number) {
  std::filesystem::create_directories(folder);
  for (int i = 0; i < 4; ++i) {
    spill(folder / (std::to_string(i) + ".png"), bits_picture(977 * number + 131 * i + 1));
  }
}

}  // namespace protolith::testing
