#include "kernels/cpu/small_input_filter_gradient.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/small_input_filter_gradient.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

// One image: plane [height + 2, width + 2] is one input channel with its border of zeros,
// g [height, width, filters]; adds to sums [9, filters].
void add_image(const float* HWY_RESTRICT plane, const float* HWY_RESTRICT g, std::int64_t height,
               std::int64_t width, std::int64_t filters, double* HWY_RESTRICT sums) {
  const std::int64_t pitch = width + 2;
  for_vectors(0, filters, [&](auto d, std::int64_t k) HWY_ATTR {
    auto a0 = hn::Zero(d), a1 = a0, a2 = a0, a3 = a0, a4 = a0, a5 = a0, a6 = a0, a7 = a0, a8 = a0;
    for (std::int64_t p = 0; p < height; ++p) {
      const float* HWY_RESTRICT above = plane + p * pitch;
      const float* HWY_RESTRICT level = above + pitch;
      const float* HWY_RESTRICT below = level + pitch;
      const float* HWY_RESTRICT row = g + p * width * filters + k;
      for (std::int64_t q = 0; q < width; ++q) {
        const auto v = hn::LoadU(d, row + q * filters);
        a0 = hn::MulAdd(v, hn::Set(d, above[q]), a0);
        a1 = hn::MulAdd(v, hn::Set(d, above[q + 1]), a1);
        a2 = hn::MulAdd(v, hn::Set(d, above[q + 2]), a2);
        a3 = hn::MulAdd(v, hn::Set(d, level[q]), a3);
        a4 = hn::MulAdd(v, hn::Set(d, level[q + 1]), a4);
        a5 = hn::MulAdd(v, hn::Set(d, level[q + 2]), a5);
        a6 = hn::MulAdd(v, hn::Set(d, below[q]), a6);
        a7 = hn::MulAdd(v, hn::Set(d, below[q + 1]), a7);
        a8 = hn::MulAdd(v, hn::Set(d, below[q + 2]), a8);
      }
    }
    HWY_ALIGN float lanes[9 * HWY_LANES(float)];
    const auto n = static_cast<std::int64_t>(hn::Lanes(d));
    int tap = 0;
    for (const auto& a : {a0, a1, a2, a3, a4, a5, a6, a7, a8}) hn::StoreU(a, d, lanes + n * tap++);
    for (std::int64_t t = 0; t < 9; ++t) {
      for (std::int64_t i = 0; i < n; ++i) {
        sums[t * filters + k + i] += static_cast<double>(lanes[t * n + i]);
      }
    }
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(add_image);
}  // namespace

SmallInputFilterGradient::SmallInputFilterGradient(std::int64_t height, std::int64_t width,
                                                   std::int64_t channels, std::int64_t filters)
    : height_(height),
      width_(width),
      channels_(channels),
      filters_(filters),
      sums_(static_cast<std::size_t>(omp_get_max_threads() * 9 * channels * filters), 0.0),
      planes_(static_cast<std::size_t>(omp_get_max_threads() * (height + 2) * (width + 2)), 0.0F) {}

void SmallInputFilterGradient::add(const float* x, const float* g, std::int64_t images) {
  const auto all = static_cast<std::size_t>(9 * channels_ * filters_);
  parallel_ranges(images, 1, [&](std::int64_t begin, std::int64_t end, int range) {
    double* const sums = sums_.data() + static_cast<std::size_t>(range) * all;
    float* const plane = planes_.data() + range * (height_ + 2) * (width_ + 2);
    for (std::int64_t image = begin; image < end; ++image) {
      const float* const pixels = x + image * height_ * width_ * channels_;
      const float* const gradients = g + image * height_ * width_ * filters_;
      for (std::int64_t c = 0; c < channels_; ++c) {
        for (std::int64_t p = 0; p < height_; ++p) {
          float* const row = plane + (p + 1) * (width_ + 2) + 1;
          for (std::int64_t q = 0; q < width_; ++q) {
            row[q] = pixels[(p * width_ + q) * channels_ + c];
          }
        }
        HWY_DYNAMIC_DISPATCH(add_image)
        (plane, gradients, height_, width_, filters_, sums + c * 9 * filters_);
      }
    }
  });
}

void SmallInputFilterGradient::store(float* dw) const {
  const std::int64_t all = 9 * channels_ * filters_;
  const auto ranges = static_cast<std::int64_t>(sums_.size()) / all;
  for (std::int64_t k = 0; k < filters_; ++k) {
    for (std::int64_t tap = 0; tap < 9; ++tap) {
      for (std::int64_t c = 0; c < channels_; ++c) {
        double sum = 0.0;
        for (std::int64_t range = 0; range < ranges; ++range) {
          sum += sums_[static_cast<std::size_t>(range * all + (c * 9 + tap) * filters_ + k)];
        }
        dw[(k * 9 + tap) * channels_ + c] = static_cast<float>(sum);
      }
    }
  }
}

}  // namespace protolith::cpu
#endif
