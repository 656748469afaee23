// Rows x channels among threads: a block takes a tile of rows and channels, a thread one pack of
// channels (so that it reads their constants once) in every threads_down-th row of the tile.
// Neighbours in a block hold neighbouring channels, and rows follow each other in memory: accesses
// are coalesced for any number of channels.
#pragma once

#include <algorithm>
#include <cstdint>

namespace protolith::cuda {

/// 4 blocks fill an SM at 64 registers a thread, which is what sums over rows need (row_tiles.cuh);
/// 16 rows at 64 channels in packs of four. Where kTilesPerSm does not allow more registers, 40 a
/// thread (46 on sm_75, whose SMs have half as many threads): six blocks share an SM. Occupancy: at
/// least 75 %.
inline constexpr int kTileThreads = 256;
/// One wave of 4 blocks on each of an H100's 132 SMs. Not asked of the device: results must not
/// depend on it.
inline constexpr std::int64_t kTargetTiles = 512;

/// How many rows a thread takes: `most`, or fewer where that gives fewer than kTargetTiles tiles,
/// but `least` anyhow.
struct RowsPerThread {
  std::int64_t least, most;
};
/// For kernels that write every row: a few, for which a thread's constants are read once.
inline constexpr RowsPerThread kMapRows{1, 8};
/// For sums: a tile's sums are worth many rows, and 64 additions in f32 lose little.
inline constexpr RowsPerThread kSumRows{4, 64};

/// How [rows, channels] is cut into tiles when a thread takes `width` channels at a time, a divisor
/// of `channels`.
struct RowTiles {
  RowTiles(std::int64_t rows_, std::int64_t channels_, int width, RowsPerThread per_thread)
      : rows(rows_), channels(channels_) {
    const std::int64_t packs = channels / width;
    // Two rows at least, for the many channels that could fill a block with one.
    threads_across = std::min<std::int64_t>(packs, kTileThreads / 2);
    threads_down = kTileThreads / threads_across;
    const std::int64_t wanted = kTargetTiles * threads_down;
    rows_per_tile =
        threads_down * std::clamp((rows + wanted - 1) / wanted, per_thread.least, per_thread.most);
    across = (packs + threads_across - 1) / threads_across;
    down = (rows + rows_per_tile - 1) / rows_per_tile;
  }

  std::int64_t rows, channels;
  std::int64_t threads_across, threads_down;  ///< of a block: along channels and along rows
  std::int64_t rows_per_tile;                 ///< the last tile may have fewer
  std::int64_t across, down;                  ///< tiles along channels and along rows
};

}  // namespace protolith::cuda
