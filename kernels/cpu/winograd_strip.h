// What one row of tiles is between the transforms along its two axes: up to 9 rows of vectors of
// channels, one vector for each column.
#pragma once

#include <cstdint>

#include "kernels/cpu/winograd_tiles.h"

namespace protolith::cpu {

class Strip {
 public:
  /// For a vector of up to kChannelStep channels at each of `columns` columns.
  Strip(float* memory, std::int64_t columns) : memory_(memory), columns_(columns) {}
  static std::int64_t floats(std::int64_t columns) {
    return kMaxPatchSide * columns * kChannelStep;
  }
  /// Columns of a strip of inputs: one more than the outputs on either side.
  static std::int64_t input_columns(const TileGrid& grid) {
    return grid.columns.start(grid.columns.tiles()) + 2;
  }

  float* at(std::int64_t row, std::int64_t column) const {
    return memory_ + (row * columns_ + column) * kChannelStep;
  }

 private:
  float* memory_;
  std::int64_t columns_;
};

}  // namespace protolith::cpu
