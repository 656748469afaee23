// How Winograd's F(4x4,3x3) divides images: tiles of 4x4 outputs, row by row, image after image,
// each made from the 6x6 inputs around it (one pixel more on every side, zero outside the image).
// Blocks of consecutive tiles go through a pass together, over the borders between images.
#pragma once

#include <algorithm>
#include <cstdint>

namespace protolith::cpu {

/// A 3x3 convolution with padding 1 of images [N,H,W,C] with K filters.
struct ConvolutionExtents {
  std::int64_t images, height, width, channels, filters;

  std::int64_t pixels() const { return images * height * width; }
};

inline constexpr int kTileSide = 4;               ///< outputs
inline constexpr int kPatchSide = 6;              ///< inputs
inline constexpr int kPlanes = 36;                ///< elements of a transformed tile or filter
inline constexpr std::int64_t kChannelStep = 16;  ///< channels and filters come in multiples of it

/// Where a tile lies: its image and the pixel of its first output.
struct Tile {
  std::int64_t image, row, column;
};

class TileGrid {
 public:
  explicit TileGrid(const ConvolutionExtents& e)
      : height_(e.height),
        width_(e.width),
        across_((e.width + kTileSide - 1) / kTileSide),
        per_image_((e.height + kTileSide - 1) / kTileSide * across_) {}

  std::int64_t per_image() const { return per_image_; }
  Tile tile(std::int64_t index) const {
    const std::int64_t in_image = index % per_image_;
    return {index / per_image_, in_image / across_ * kTileSide, in_image % across_ * kTileSide};
  }
  /// Rows and columns of the tile that lie inside the image.
  int rows(const Tile& t) const { return inside(height_ - t.row); }
  int columns(const Tile& t) const { return inside(width_ - t.column); }
  /// Whether the patch's row i, or column j, lies inside the image.
  bool has_row(const Tile& t, int i) const { return in_range(t.row - 1 + i, height_); }
  bool has_column(const Tile& t, int j) const { return in_range(t.column - 1 + j, width_); }
  /// The pixel of the tile's first output, counted over all images.
  std::int64_t pixel(const Tile& t) const {
    return (t.image * height_ + t.row) * width_ + t.column;
  }
  /// The patch's pixel (i, j), counted over all images; may lie outside the image.
  std::int64_t patch_pixel(const Tile& t, int i, int j) const {
    return pixel(t) + (i - 1) * width_ + j - 1;
  }

 private:
  static int inside(std::int64_t left) {
    return static_cast<int>(std::min<std::int64_t>(left, kTileSide));
  }
  static bool in_range(std::int64_t position, std::int64_t size) {
    return position >= 0 && position < size;
  }
  std::int64_t height_, width_, across_, per_image_;
};

/// Floats between the planes [tiles, channels] of a block of transformed tiles: 16 more than a
/// plane holds, so that the 36 stores of a tile do not compete for the same sets of the cache.
inline constexpr std::int64_t plane_stride(std::int64_t tiles, std::int64_t channels) {
  return tiles * channels + 16;
}

}  // namespace protolith::cpu
