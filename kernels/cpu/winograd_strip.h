// What a block of tiles is between the transforms along its two axes: for each row of tiles up to 9
// strips, one for each point i along the axis of rows. A strip is a row of pixels [columns,
// channels]: the transform along the rows reads and writes whole rows of memory in order.
#pragma once

#include <cstdint>

#include "kernels/cpu/winograd_tiles.h"

namespace protolith::cpu {

class Strips {
 public:
  /// `stride` floats from strip to strip: stride_for() or more.
  Strips(float* memory, const TileGrid& grid, std::int64_t stride, std::int64_t channels)
      : memory_(memory), points_(grid.rows.points()), stride_(stride), channels_(channels) {}
  /// The gap keeps strips from competing for the same sets of the cache.
  static std::int64_t stride_for(std::int64_t columns, std::int64_t channels) {
    return columns * channels + 16;
  }
  /// Of a block's strips.
  static std::int64_t floats(const TileGrid& grid, std::int64_t stride) {
    return grid.block_rows() * grid.rows.points() * stride;
  }
  static std::int64_t output_columns(const TileGrid& grid) {
    return grid.columns.start(grid.columns.tiles());
  }
  /// One more than the outputs on either side.
  static std::int64_t input_columns(const TileGrid& grid) { return output_columns(grid) + 2; }

  /// Strip i of a block's row of tiles.
  float* at(std::int64_t row, int i) const { return memory_ + (row * points_ + i) * stride_; }
  std::int64_t stride() const { return stride_; }
  std::int64_t channels() const { return channels_; }

 private:
  float* memory_;
  std::int64_t points_, stride_, channels_;
};

}  // namespace protolith::cpu
