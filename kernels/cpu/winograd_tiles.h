// How Winograd's algorithm divides images: each axis into the fewest tiles of at most 7 outputs, as
// even as they can be, the larger ones first; m outputs are made from m + 2 inputs
// (winograd_points.h). Tiles may cut 2x2 windows of a pool.
// Work goes in blocks of whole rows of tiles, counted over all images. A tile of m x n outputs has
// (m + 2)(n + 2) elements in Winograd's domain, element (i, j) for the axes' points i and j; plane
// (i, j) of a block holds, packed, one row of channels of every tile that has this element. Only
// the planes of one i exist at a time; before and after them a block is strips (winograd_strip.h).
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/cpu/winograd_points.h"

namespace protolith::cpu {

/// A 3x3 convolution with padding 1 of images [N,H,W,C] with K filters.
struct ConvolutionExtents {
  std::int64_t images, height, width, channels, filters;

  std::int64_t pixels() const { return images * height * width; }
  /// Of a 2x2 pool.
  std::int64_t windows() const { return images * (height / 2) * (width / 2); }
};

inline constexpr int kPlanes = kMaxPatchSide * kMaxPatchSide;
/// About as many FLOPs as a transform takes for each element in Winograd's domain.
inline constexpr std::int64_t kTransformFlops = 20;
/// Tiles that go through a pass together: enough that reading the filters, and adding to their
/// gradients, costs little, few enough that their strips stay in an L2 cache, and a multiple of the
/// products' rows (winograd_gemm-inl.h).
inline constexpr std::int64_t kBlockTiles = 30;
inline constexpr std::int64_t kChannelStep = 16;  ///< channels and filters come in multiples of it

/// The tiles along one axis.
class TileAxis {
 public:
  /// The division of `size` >= 1 outputs with the fewest points.
  explicit TileAxis(std::int64_t size)
      : tiles_((size + kMaxTileSide - 1) / kMaxTileSide),
        outputs_(static_cast<int>(size / tiles_)),
        larger_(size % tiles_) {}

  std::int64_t tiles() const { return tiles_; }
  /// A tile's outputs, and the first of them; start(tiles()) is the axis' size.
  int outputs(std::int64_t tile) const { return tile < larger_ ? outputs_ + 1 : outputs_; }
  std::int64_t start(std::int64_t tile) const { return tile * outputs_ + std::min(tile, larger_); }
  /// How many tiles have a point; they are the first ones.
  std::int64_t with_point(int point) const {
    return point < outputs_ + 2 ? tiles_ : point < points() ? larger_ : 0;
  }
  /// Points of the first tile, which has most.
  int points() const { return outputs(0) + 2; }

 private:
  std::int64_t tiles_;
  int outputs_;          ///< of a smaller tile
  std::int64_t larger_;  ///< tiles with one output more
};

/// Rows of tiles first <= row < end, counted over all images.
struct TileRows {
  std::int64_t first, end;
};

/// The planes (i, j) that a grid of tiles has: those of the first `rows` and `columns` points.
struct PlaneExtents {
  int rows = kMaxPatchSide, columns = kMaxPatchSide;

  bool has(int i, int j) const { return i < rows && j < columns; }
  int count() const { return rows * columns; }
  /// The plane after (i, j), row by row; after the last one the first.
  int after(int i, int j) const {
    if (j + 1 < columns) return i * kMaxPatchSide + j + 1;
    return i + 1 < rows ? (i + 1) * kMaxPatchSide : 0;
  }
};

/// The tiles of all images.
class TileGrid {
 public:
  explicit TileGrid(const ConvolutionExtents& e) : TileGrid(e, e.height, e.width) {}
  /// Of the first output_rows rows and output_columns columns of outputs, no others being wanted.
  TileGrid(const ConvolutionExtents& e, std::int64_t output_rows, std::int64_t output_columns)
      : height(e.height),
        width(e.width),
        images(e.images),
        rows(output_rows),
        columns(output_columns) {}

  std::int64_t tile_rows() const { return images * rows.tiles(); }
  std::int64_t image(std::int64_t tile_row) const { return tile_row / rows.tiles(); }
  /// The index of a row of tiles in its image.
  std::int64_t in_image(std::int64_t tile_row) const { return tile_row % rows.tiles(); }
  PlaneExtents planes() const { return {rows.points(), columns.points()}; }
  /// Elements of all tiles in the planes, for each channel.
  std::int64_t elements() const {
    return images * (rows.start(rows.tiles()) + 2 * rows.tiles()) *
           (columns.start(columns.tiles()) + 2 * columns.tiles());
  }
  /// How many of the rows of tiles before `tile_row` have point i.
  std::int64_t rows_before(std::int64_t tile_row, int i) const {
    const std::int64_t with_point = rows.with_point(i);
    return image(tile_row) * with_point + std::min(in_image(tile_row), with_point);
  }
  /// How many tiles of a block are in plane (i, j).
  std::int64_t tiles(const TileRows& block, int i, int j) const {
    return (rows_before(block.end, i) - rows_before(block.first, i)) * columns.with_point(j);
  }
  /// Rows of tiles in the largest block: of kBlockTiles tiles, or one row.
  std::int64_t block_rows() const {
    return std::clamp<std::int64_t>(kBlockTiles / columns.tiles(), 1, tile_rows());
  }

  /// About as many whole images as a block holds; fewer are not worth reading the filters for.
  std::int64_t block_images() const {
    return std::max<std::int64_t>(kBlockTiles / (rows.tiles() * columns.tiles()), 1);
  }

  std::int64_t height, width;  ///< of an image
  std::int64_t images;
  TileAxis rows, columns;
};

/// The rows of tiles of images [begin, end) in the fewest blocks of at most grid.block_rows(), as
/// even as they can be.
class TileBlocks {
 public:
  TileBlocks(const TileGrid& grid, std::int64_t begin, std::int64_t end)
      : first_(begin * grid.rows.tiles()),
        rows_(end * grid.rows.tiles() - first_),
        count_((rows_ + grid.block_rows() - 1) / grid.block_rows()) {}

  std::int64_t count() const { return count_; }
  TileRows operator[](std::int64_t block) const {
    return {first_ + rows_ * block / count_, first_ + rows_ * (block + 1) / count_};
  }

 private:
  std::int64_t first_, rows_, count_;
};

/// The planes (i, 0 ... 8) of a block for one i, [tiles, channels] each.
class PlaneRow {
 public:
  PlaneRow(float* memory, const TileGrid& grid, std::int64_t channels)
      : memory_(memory), stride_(stride(grid, channels)), channels_(channels) {}
  static std::int64_t floats(const TileGrid& grid, std::int64_t channels) {
    return grid.columns.points() * stride(grid, channels);
  }

  float* plane(int j) const { return memory_ + j * stride_; }
  std::int64_t channels() const { return channels_; }

 private:
  /// A gap keeps the stores of a tile's elements from competing for the same sets of the cache.
  static std::int64_t stride(const TileGrid& grid, std::int64_t channels) {
    return grid.block_rows() * grid.columns.tiles() * channels + 16;
  }

  float* memory_;
  std::int64_t stride_, channels_;
};

/// One row of tiles in planes (i, 0 ... 8): its first tile's channels in each.
class TileRowPlanes {
 public:
  /// `before` rows of tiles of the block lie before it in the planes.
  TileRowPlanes(const PlaneRow& planes, const TileGrid& grid, std::int64_t before) {
    for (int j = 0; j < grid.columns.points(); ++j) {
      at_[static_cast<std::size_t>(j)] =
          planes.plane(j) + before * grid.columns.with_point(j) * planes.channels();
    }
  }

  float* operator()(int j) const { return at_[static_cast<std::size_t>(j)]; }

 private:
  std::array<float*, kMaxPatchSide> at_{};
};

}  // namespace protolith::cpu
