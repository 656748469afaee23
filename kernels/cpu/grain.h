// How finely work is shared: below these amounts another thread costs more than it saves.
#pragma once

#include <algorithm>
#include <cstdint>

namespace protolith::cpu {

/// Elements that keep one thread busy for longer than it takes to start it (some microseconds).
inline constexpr std::int64_t kElementsPerRange = 16384;

/// The least number of rows per range, and in a small part, when a row has `row_elements` elements.
inline std::int64_t rows_per_range(std::int64_t row_elements) {
  return kElementsPerRange / std::max<std::int64_t>(row_elements, 1) + 1;
}

}  // namespace protolith::cpu
