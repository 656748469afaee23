// One image's channels as planes with a border of zeros, so that 3x3 patches need no special cases,
// and what kernels that go through images in this form share.
#pragma once

#include <hwy/aligned_allocator.h>

#include <cstdint>
#include <vector>

#include "kernels/cpu/parallel.h"
#include "kernels/cpu/winograd_tiles.h"

namespace protolith::cpu {

class PaddedPlanes {
 public:
  /// For images of these extents.
  explicit PaddedPlanes(const ConvolutionExtents& e);

  /// Takes the pixels of one image [H,W,C].
  void fill(const float* pixels);
  /// The plane of channel c, from the border's corner on. Rows are `pitch` floats apart; the
  /// pixels of a row begin lines of the cache, zeros are before and after them.
  const float* plane(std::int64_t c) const { return values_.get() + offset(c); }
  /// The pixels of row y.
  const float* row(std::int64_t c, std::int64_t y) const { return plane(c) + (y + 1) * pitch + 1; }
  float* row(std::int64_t c, std::int64_t y) {
    return values_.get() + offset(c) + (y + 1) * pitch + 1;
  }

  std::int64_t height, width, channels;
  std::int64_t pitch;  ///< floats between rows, a multiple of a line's

 private:
  /// The border's left element ends a line of zeros.
  static constexpr std::int64_t kLine = 16;
  /// Two vectors of 16 may reach beyond a row's right end.
  static constexpr std::int64_t kSlack = 32;

  std::int64_t offset(std::int64_t c) const { return c * (height + 2) * pitch + kLine - 1; }
  hwy::AlignedFreeUniquePtr<float[]> values_;
};

/// Each pixel of padded planes with its neighbours to the right, below, and below right: what a
/// tap of a filter meets at the four places of a 2x2 window, in the order of the winners' places.
class PixelSquares {
 public:
  explicit PixelSquares(const ConvolutionExtents& e)
      : height_(e.height + 1),
        width_(e.width + 1),
        channels_(e.channels),
        values_(static_cast<std::size_t>(4 * (height_ * channels_ * width_ + kSlack))) {}

  void fill(const PaddedPlanes& planes);
  /// Of the first pixel of row y of channel c's padded plane; those of its row follow.
  const float* row(std::int64_t y, std::int64_t c) const {
    return values_.data() + 4 * (y * channels_ + c) * width_;
  }
  /// Floats from a channel's row to the next channel's.
  std::int64_t channel_stride() const { return 4 * width_; }
  std::int64_t row_stride() const { return 4 * width_ * channels_; }

 private:
  /// Squares are filled by vectors of 16, in the order of rows.
  static constexpr std::int64_t kSlack = 16;

  std::int64_t height_, width_, channels_;
  std::vector<float> values_;
};

/// How for_padded_images() divides the images.
inline WorkParts image_parts(const ConvolutionExtents& e) {
  return {e.images, 1, 1};
}

/// A T(e) for every worker of for_padded_images().
template <class T>
std::vector<T> one_per_worker(const ConvolutionExtents& e) {
  std::vector<T> all;
  for (int worker = 0; worker < image_parts(e).workers(); ++worker) all.emplace_back(e);
  return all;
}

/// Calls f(image, planes, part, worker) for all images of x, each part's in order, in parallel.
template <class F>
void for_padded_images(const float* x, const ConvolutionExtents& e, const F& f) {
  auto planes = one_per_worker<PaddedPlanes>(e);
  parallel_parts(image_parts(e), [&](std::int64_t begin, std::int64_t end, int part, int worker) {
    PaddedPlanes& own = planes[static_cast<std::size_t>(worker)];
    for (std::int64_t image = begin; image < end; ++image) {
      own.fill(x + image * e.height * e.width * e.channels);
      f(image, own, part, worker);
    }
  });
}

/// Arrays of `size` doubles for every part of for_padded_images(), to be added in their order.
class PartSums {
 public:
  PartSums(const ConvolutionExtents& e, std::int64_t size)
      : size_(static_cast<std::size_t>(size)),
        values_(static_cast<std::size_t>(image_parts(e).count()) * size_, 0.0) {}

  double* part(int index) { return values_.data() + static_cast<std::size_t>(index) * size_; }
  std::vector<double> total() const {
    std::vector<double> sums(size_, 0.0);
    for (std::size_t part = 0; part < values_.size(); part += size_) {
      for (std::size_t i = 0; i < size_; ++i) sums[i] += values_[part + i];
    }
    return sums;
  }

 private:
  std::size_t size_;
  std::vector<double> values_;
};

}  // namespace protolith::cpu
