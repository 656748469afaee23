#include "kernels/cpu/batch_norm_relu_pool.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/batch_norm_relu_pool.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/channel_sums-inl.h"
#include "kernels/cpu/channel_sums.h"
#include "kernels/cpu/pool_window-inl.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

void forward_rows(const float* x, const float* scale, const float* shift, float* y,
                  std::int64_t begin, std::int64_t end, std::int64_t channels) {
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t offset = row * channels;
    for_vectors(0, channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const auto t = hn::MulAdd(hn::LoadU(d, x + offset + c), hn::LoadU(d, scale + c),
                                hn::LoadU(d, shift + c));
      hn::StoreU(relu(d, t), d, y + offset + c);
    });
  }
}

// One row of outputs from the two rows of inputs at x, `stride` elements apart. What lies `ahead`
// elements further is wanted next: the rows are too short for the processor to see that in time
// (without the hint the pass takes 1.3 times as long on a large x).
template <bool kKeepWinner>
HWY_INLINE void pool_row(const float* HWY_RESTRICT x, const float* HWY_RESTRICT scale,
                         const float* HWY_RESTRICT shift, std::int64_t stride, std::int64_t ahead,
                         std::int64_t outputs, std::int64_t channels, float* HWY_RESTRICT y,
                         std::uint8_t* HWY_RESTRICT winner, float* HWY_RESTRICT selected) {
  for (std::int64_t out = 0; out < outputs; ++out) {
    const float* window = x + 2 * out * channels;
    const std::int64_t offset = out * channels;
    for_vectors(0, channels, [&](auto d, std::int64_t c) HWY_ATTR {
      using Winner = WinnerBytes<decltype(d)>;
      const auto factor = hn::LoadU(d, scale + c);
      const auto addend = hn::LoadU(d, shift + c);
      auto x_best = hn::LoadU(d, window + c);
      auto best = relu(d, hn::MulAdd(x_best, factor, addend));
      auto places = hn::Zero(typename Winner::Places());
      hwy::Prefetch(window + ahead + c);
      const auto consider = [&](std::int64_t position, std::uint8_t place) HWY_ATTR {
        const auto value = hn::LoadU(d, window + position + c);
        hwy::Prefetch(window + ahead + position + c);
        // No relu: the best is at least 0, so that only a positive value or NaN takes the lead.
        const auto t = hn::MulAdd(value, factor, addend);
        const auto lead = takes_lead(t, best);
        best = hn::IfThenElse(lead, t, best);
        if constexpr (kKeepWinner) {
          x_best = hn::IfThenElse(lead, value, x_best);
          places = Winner::replace(lead, place, places);
        }
      };
      consider(channels, 1);
      consider(stride, 2);
      consider(stride + channels, 3);
      hn::StoreU(best, d, y + offset + c);
      if constexpr (kKeepWinner) {
        hn::StoreU(x_best, d, selected + offset + c);
        Winner::store(places, winner + offset + c);
      }
    });
  }
}

// Output rows [begin, end) of all images.
void pool_forward_rows(const float* x, const float* scale, const float* shift, float* y,
                       std::uint8_t* winner, float* selected, const ImageExtents& e,
                       std::int64_t begin, std::int64_t end) {
  const std::int64_t stride = e.width * e.channels;
  const std::int64_t out_height = e.height / 2;
  const std::int64_t out_width = e.width / 2;
  for (std::int64_t row = begin; row < end; ++row) {
    const float* input = x + (row / out_height * e.height + row % out_height * 2) * stride;
    const std::int64_t output = row * out_width * e.channels;
    const std::int64_t ahead = row + 1 < end ? 2 * stride : 0;
    if (winner != nullptr) {
      pool_row<true>(input, scale, shift, stride, ahead, out_width, e.channels, y + output,
                     winner + output, selected + output);
    } else {
      pool_row<false>(input, scale, shift, stride, ahead, out_width, e.channels, y + output,
                      nullptr, nullptr);
    }
  }
}

// The sums of g and g * (x - mean), with g = y <= 0 ? 0 : dy.
void reduce_rows(const float* HWY_RESTRICT x, const float* HWY_RESTRICT y,
                 const float* HWY_RESTRICT dy, const float* HWY_RESTRICT mean, std::int64_t begin,
                 std::int64_t end, std::int64_t channels, double* sums) {
  add_rows(
      begin, end, channels,
      [&](auto d, std::int64_t i, std::int64_t c, auto& a, auto& b) HWY_ATTR {
        const auto g = relu_gradient(d, hn::LoadU(d, y + i), hn::LoadU(d, dy + i));
        a = hn::Add(a, g);
        b = hn::MulAdd(g, hn::Sub(hn::LoadU(d, x + i), hn::LoadU(d, mean + c)), b);
      },
      sums);
}

void data_rows(const float* x, const float* y, const float* dy, const float* mean,
               const DataGradientCoefficients& k, float* dx, std::int64_t begin, std::int64_t end,
               std::int64_t channels) {
  const DataGradient gradient{mean, k.factor(), k.slope(), k.offset()};
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t offset = row * channels;
    for_vectors(0, channels, [&](auto d, std::int64_t c) HWY_ATTR {
      const std::int64_t i = offset + c;
      const auto g = relu_gradient(d, hn::LoadU(d, y + i), hn::LoadU(d, dy + i));
      hn::StoreU(gradient(d, hn::LoadU(d, x + i), g, c), d, dx + i);
    });
  }
}

// Pixels that no window covers: no gradient enters, the batch statistics still pass one on.
HWY_INLINE void uncovered_pixels(const float* x, const DataGradient& gradient, float* dx,
                                 std::int64_t pixels, std::int64_t channels) {
  for (std::int64_t pixel = 0; pixel < pixels; ++pixel) {
    const std::int64_t offset = pixel * channels;
    for_vectors(0, channels, [&](auto d, std::int64_t c) HWY_ATTR {
      hn::StoreU(gradient.base(d, hn::LoadU(d, x + offset + c), c), d, dx + offset + c);
    });
  }
}

// The two rows at x and dx, `stride` elements apart, from one row of outputs.
HWY_INLINE void unpool_row(const float* x, const float* HWY_RESTRICT y,
                           const std::uint8_t* HWY_RESTRICT winner, const float* HWY_RESTRICT dy,
                           const DataGradient& gradient, float* dx, std::int64_t stride,
                           std::int64_t outputs, std::int64_t channels) {
  for (std::int64_t out = 0; out < outputs; ++out) {
    const std::int64_t window = 2 * out * channels;
    const std::int64_t offset = out * channels;
    for_vectors(0, channels, [&](auto d, std::int64_t c) HWY_ATTR {
      using Winner = WinnerBytes<decltype(d)>;
      const auto g = relu_gradient(d, hn::LoadU(d, y + offset + c), hn::LoadU(d, dy + offset + c));
      const auto places = Winner::load(winner + offset + c);
      const auto pixel = [&](std::int64_t position, std::uint8_t place) HWY_ATTR {
        const std::int64_t i = window + position + c;
        hn::StoreU(gradient(d, hn::LoadU(d, x + i), Winner::gradient_at(place, places, g), c), d,
                   dx + i);
      };
      pixel(0, 0);
      pixel(channels, 1);
      pixel(stride, 2);
      pixel(stride + channels, 3);
    });
  }
}

// Bands [begin, end) of two input rows each; an odd image's last band has one row.
void pool_data_bands(const float* x, const float* y, const std::uint8_t* winner, const float* dy,
                     const float* mean, const DataGradientCoefficients& k, float* dx,
                     const ImageExtents& e, std::int64_t begin, std::int64_t end) {
  const DataGradient gradient{mean, k.factor(), k.slope(), k.offset()};
  const std::int64_t stride = e.width * e.channels;
  const std::int64_t outputs = e.width / 2;
  const std::int64_t covered = 2 * outputs * e.channels;
  const std::int64_t bands = (e.height + 1) / 2;
  for (std::int64_t band = begin; band < end; ++band) {
    const std::int64_t image = band / bands;
    const std::int64_t pair = band % bands;
    const std::int64_t input = (image * e.height + 2 * pair) * stride;
    if (pair == e.height / 2) {
      uncovered_pixels(x + input, gradient, dx + input, e.width, e.channels);
      continue;
    }
    const std::int64_t output = (image * (e.height / 2) + pair) * outputs * e.channels;
    unpool_row(x + input, y + output, winner + output, dy + output, gradient, dx + input, stride,
               outputs, e.channels);
    for (const std::int64_t rest : {input + covered, input + stride + covered}) {
      uncovered_pixels(x + rest, gradient, dx + rest, e.width - 2 * outputs, e.channels);
    }
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(forward_rows);
HWY_EXPORT(pool_forward_rows);
HWY_EXPORT(reduce_rows);
HWY_EXPORT(data_rows);
HWY_EXPORT(pool_data_bands);

/// Calls f(begin, end, part, worker) for parts of rows of `row_elements` elements each.
template <class F>
void share_rows(std::int64_t rows, std::int64_t row_elements, const F& f) {
  const std::int64_t minimum = rows_per_range(row_elements);
  parallel_parts({rows, minimum, minimum}, f);
}

std::int64_t row_count(const ImageExtents& e) {
  return e.images * e.height * e.width;
}

void reduce(const float* x, const float* y, const float* dy, const float* mean,
            const float* inv_std, float* dgamma, float* dbeta, std::int64_t rows,
            std::int64_t channels) {
  const std::vector<double> sums =
      channel_sums(rows, channels, [&](std::int64_t begin, std::int64_t end, double* part_sums) {
        HWY_DYNAMIC_DISPATCH(reduce_rows)(x, y, dy, mean, begin, end, channels, part_sums);
      });
  store_parameter_gradients(sums, inv_std, dgamma, dbeta);
}
}  // namespace

void affine_relu_forward(const float* x, const float* scale, const float* shift, float* y,
                         ImageExtents extents) {
  const auto forward = [&](std::int64_t begin, std::int64_t end, int, int) {
    HWY_DYNAMIC_DISPATCH(forward_rows)(x, scale, shift, y, begin, end, extents.channels);
  };
  share_rows(row_count(extents), extents.channels, forward);
}

void affine_relu_pool_forward(const float* x, const float* scale, const float* shift, float* y,
                              std::uint8_t* winner, float* selected, ImageExtents extents) {
  const auto forward = [&](std::int64_t begin, std::int64_t end, int, int) {
    HWY_DYNAMIC_DISPATCH(pool_forward_rows)
    (x, scale, shift, y, winner, selected, extents, begin, end);
  };
  share_rows(extents.images * (extents.height / 2), 2 * extents.width * extents.channels, forward);
}

void relu_batch_norm_backward_reduce(const float* x, const float* y, const float* dy,
                                     const float* mean, const float* inv_std, float* dgamma,
                                     float* dbeta, ImageExtents extents) {
  reduce(x, y, dy, mean, inv_std, dgamma, dbeta, row_count(extents), extents.channels);
}

void relu_batch_norm_backward_data(const float* x, const float* y, const float* dy,
                                   const float* gamma, const float* mean, const float* inv_std,
                                   const float* dgamma, const float* dbeta, float* dx,
                                   ImageExtents extents, std::int64_t rows) {
  const std::int64_t count = row_count(extents);
  const DataGradientCoefficients k(gamma, inv_std, dgamma, dbeta, rows > 0 ? rows : count,
                                   extents.channels);
  const auto backward = [&](std::int64_t begin, std::int64_t end, int, int) {
    HWY_DYNAMIC_DISPATCH(data_rows)(x, y, dy, mean, k, dx, begin, end, extents.channels);
  };
  share_rows(count, extents.channels, backward);
}

void pool_relu_batch_norm_backward_reduce(const float* selected, const float* y, const float* dy,
                                          const float* mean, const float* inv_std, float* dgamma,
                                          float* dbeta, ImageExtents extents) {
  const std::int64_t rows = extents.images * (extents.height / 2) * (extents.width / 2);
  reduce(selected, y, dy, mean, inv_std, dgamma, dbeta, rows, extents.channels);
}

void pool_relu_batch_norm_backward_data(const float* x, const float* y, const std::uint8_t* winner,
                                        const float* dy, const float* gamma, const float* mean,
                                        const float* inv_std, const float* dgamma,
                                        const float* dbeta, float* dx, ImageExtents extents,
                                        std::int64_t rows) {
  const DataGradientCoefficients k(gamma, inv_std, dgamma, dbeta,
                                   rows > 0 ? rows : row_count(extents), extents.channels);
  const auto backward = [&](std::int64_t begin, std::int64_t end, int, int) {
    HWY_DYNAMIC_DISPATCH(pool_data_bands)(x, y, winner, dy, mean, k, dx, extents, begin, end);
  };
  share_rows(extents.images * ((extents.height + 1) / 2), 2 * extents.width * extents.channels,
             backward);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
