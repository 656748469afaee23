// What patch_statistics.cpp adds up. A tap of a 3x3 filter that is not in the middle meets all
// pixels of an image but those of the row or of the column at one end, or of both; so sums over the
// inner pixels, without the rows and columns at the ends, and over what is at the ends are kept
// apart.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cpu/padded_planes.h"

namespace protolith::cpu {

/// Where sums lie, of an image's pixels P_c[y][x] of channels c, d; P is 0 outside the image. An
/// end of rows or columns is the first (0) or the last (1); lag l stands for the distance l - 2.
class PatchSums {
 public:
  static constexpr int kLags = 5;

  explicit PatchSums(std::int64_t channels) : channels_(channels) {}

  /// P_c[y - r][x] P_d[y][x + l - 2], [r = 0, 1, 2][l]; over inner rows if r is 0, and inner
  /// columns if l is 2, else over all.
  std::int64_t products(std::int64_t c, std::int64_t d) const {
    return (c * channels_ + d) * 3 * kLags;
  }
  /// P_c[y][x] P_d[y][x + l - 2] of the row y at an end, over inner columns if l is 2.
  std::int64_t row_products(int end, std::int64_t c, std::int64_t d) const {
    return ((3 + end) * channels_ * channels_ + c * channels_ + d) * kLags;
  }
  /// P_c[y][x] P_d[y + l - 2][x] of the column x at an end, over inner rows if l is 2.
  std::int64_t column_products(int end, std::int64_t c, std::int64_t d) const {
    return ((5 + end) * channels_ * channels_ + c * channels_ + d) * kLags;
  }
  /// P_c P_d in a corner.
  std::int64_t corner_product(int row, int column, std::int64_t c, std::int64_t d) const {
    return 7 * kLags * channels_ * channels_ + ((2 * row + column) * channels_ + c) * channels_ + d;
  }
  /// P_c of inner pixels, of the inner ones of a row or column at an end, of a corner.
  std::int64_t sum(std::int64_t c) const { return sums() + c; }
  std::int64_t row_sum(int end, std::int64_t c) const { return sums() + (1 + end) * channels_ + c; }
  std::int64_t column_sum(int end, std::int64_t c) const {
    return sums() + (3 + end) * channels_ + c;
  }
  std::int64_t corner(int row, int column, std::int64_t c) const {
    return sums() + (5 + 2 * row + column) * channels_ + c;
  }
  std::int64_t size() const { return sums() + 9 * channels_; }

 private:
  std::int64_t sums() const { return (7 * kLags + 4) * channels_ * channels_; }
  std::int64_t channels_;
};

/// Those parts of an image over which sums go besides its rows.
class PatchPlanes {
 public:
  explicit PatchPlanes(const ConvolutionExtents& e)
      : inner_columns_(e),
        ends_({1, 1, e.height, 2 * e.channels, 0}),
        inner_ends_({1, 1, e.height, 2 * e.channels, 0}) {}

  void fill(const PaddedPlanes& image) {
    const std::int64_t last = image.width - 1;
    for (std::int64_t c = 0; c < image.channels; ++c) {
      for (std::int64_t y = 0; y < image.height; ++y) {
        const float* const row = image.row(c, y);
        std::copy(row + 1, row + last, inner_columns_.row(c, y) + 1);
        const bool inner = y > 0 && y < image.height - 1;
        for (int end = 0; end < 2; ++end) {
          ends_.row(2 * c + end, 0)[y] = row[end * last];
          inner_ends_.row(2 * c + end, 0)[y] = inner ? row[end * last] : 0.0F;
        }
      }
    }
  }
  /// The image's rows with zeros in the columns at the ends.
  const PaddedPlanes& inner_columns() const { return inner_columns_; }
  /// The column at an end, as a row; with zeros in the rows at the ends.
  const float* column(int end, std::int64_t c) const { return ends_.row(2 * c + end, 0); }
  const float* inner_column(int end, std::int64_t c) const {
    return inner_ends_.row(2 * c + end, 0);
  }

 private:
  PaddedPlanes inner_columns_, ends_, inner_ends_;
};

}  // namespace protolith::cpu
