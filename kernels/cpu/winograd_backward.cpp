#include "kernels/cpu/winograd_backward.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd_backward.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/channel_sums-inl.h"
#include "kernels/cpu/channel_sums.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pool_window-inl.h"
#include "kernels/cpu/winograd_filter.h"
#include "kernels/cpu/winograd_gemm-inl.h"
#include "kernels/cpu/winograd_input-inl.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/winograd_transform-inl.h"

#ifndef PROTOLITH_KERNELS_CPU_WINOGRAD_BACKWARD_ONCE
#define PROTOLITH_KERNELS_CPU_WINOGRAD_BACKWARD_ONCE
namespace protolith::cpu {
namespace {

/// Tiles that go through the pass together; a multiple of the product's rows.
constexpr std::int64_t kBackwardTiles = 36;

/// What one thread works with, laid out in its share of the scratch memory.
struct BackwardMemory {
  BackwardMemory(const ConvolutionExtents& e, float* scratch)
      : inputs(scratch),
        input_stride(plane_stride(kBackwardTiles, e.channels)),
        gradients(inputs + kPlanes * input_stride),
        gradient_stride(plane_stride(kBackwardTiles, e.filters)),
        zeros(gradients + kPlanes * gradient_stride),
        outside(zeros + e.channels) {}
  static std::int64_t floats(const ConvolutionExtents& e) {
    return kPlanes * (plane_stride(kBackwardTiles, e.channels) +
                      plane_stride(kBackwardTiles, e.filters)) +
           2 * e.channels;
  }

  float* inputs;  ///< V, and then P in its place
  std::int64_t input_stride;
  float* gradients;  ///< D
  std::int64_t gradient_stride;
  float* zeros;
  float* outside;  ///< takes what would be the gradient of pixels outside the images
};

}  // namespace
}  // namespace protolith::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

using Vector = hn::Vec<ChannelTag>;

/// One tile of dz for the vector of filters at k, zero outside the image.
HWY_INLINE void tile_gradient(const WinogradBackward& in, const DataGradient& gradient,
                              const ConvolutionExtents& e, const TileGrid& grid, const Tile& tile,
                              std::int64_t k, Vector* dz) {
  const ChannelTag d;
  const int rows = grid.rows(tile);
  const int columns = grid.columns(tile);
  const std::int64_t corner = grid.pixel(tile) * e.filters + k;
  for (int i = 0; i < kTileSide * kTileSide; ++i) dz[i] = hn::Zero(d);
  for (int i = 0; i < rows; ++i) {
    for (int j = 0; j < columns; ++j) {
      const std::int64_t at = corner + (i * e.width + j) * e.filters;
      const Vector z = hn::LoadU(d, in.z + at);
      if (in.winner == nullptr) {
        const Vector g = relu_gradient(d, hn::LoadU(d, in.y + at), hn::LoadU(d, in.dy + at));
        dz[i * kTileSide + j] = gradient(d, z, g, k);
      } else {
        dz[i * kTileSide + j] = gradient.base(d, z, k);
      }
    }
  }
}

/// Adds what comes through the pool's winners; a window outside the image has none.
HWY_INLINE void add_pool_gradient(const WinogradBackward& in, const DataGradient& gradient,
                                  const ConvolutionExtents& e, const TileGrid& grid,
                                  const Tile& tile, std::int64_t k, Vector* dz) {
  const ChannelTag d;
  using Winner = WinnerBytes<ChannelTag>;
  const int rows = grid.rows(tile) / 2;
  const int columns = grid.columns(tile) / 2;
  const std::int64_t width = e.width / 2;
  const std::int64_t corner =
      ((tile.image * (e.height / 2) + tile.row / 2) * width + tile.column / 2) * e.filters + k;
  const Vector factor = hn::LoadU(d, gradient.factor + k);
  for (int p = 0; p < rows; ++p) {
    for (int q = 0; q < columns; ++q) {
      const std::int64_t at = corner + (p * width + q) * e.filters;
      const Vector g =
          hn::Mul(factor, relu_gradient(d, hn::LoadU(d, in.y + at), hn::LoadU(d, in.dy + at)));
      const auto places = Winner::load(in.winner + at);
      Vector* const window = dz + 2 * (p * kTileSide + q);
      window[0] = hn::Add(window[0], Winner::gradient_at(0, places, g));
      window[1] = hn::Add(window[1], Winner::gradient_at(1, places, g));
      window[4] = hn::Add(window[4], Winner::gradient_at(2, places, g));
      window[5] = hn::Add(window[5], Winner::gradient_at(3, places, g));
    }
  }
}

/// memory.gradients: D = A dz A^T of tiles first ... first + count - 1.
HWY_INLINE void transform_gradients(const WinogradBackward& in, const DataGradient& gradient,
                                    const ConvolutionExtents& e, const TileGrid& grid,
                                    const BackwardMemory& memory, std::int64_t first,
                                    std::int64_t count) {
  const ChannelTag d;
  for (std::int64_t t = 0; t < count; ++t) {
    const Tile tile = grid.tile(first + t);
    float* const target = memory.gradients + t * e.filters;
    for (std::int64_t k = 0; k < e.filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
      Vector dz[kTileSide * kTileSide];
      tile_gradient(in, gradient, e, grid, tile, k, dz);
      if (in.winner != nullptr) add_pool_gradient(in, gradient, e, grid, tile, k, dz);
      transform_square<OutputAdjoint>(
          d, [&](auto i, auto j) PROTOLITH_LAMBDA { return dz[i * kTileSide + j]; },
          [&](auto i, auto j, auto v) PROTOLITH_LAMBDA {
            hn::StoreU(v, d, target + (i * kPatchSide + j) * memory.gradient_stride + k);
          });
    }
  }
}

/// dx += B P B^T on the patches of a block. Tiles come in order, so that a pixel is first written
/// by the first tile whose patch holds it: dx needs no zeros beforehand.
HWY_INLINE void add_input_gradients(const ConvolutionExtents& e, const TileGrid& grid,
                                    const BackwardMemory& memory, std::int64_t first,
                                    std::int64_t count, float* dx) {
  const ChannelTag d;
  for (std::int64_t t = 0; t < count; ++t) {
    const Tile tile = grid.tile(first + t);
    float* targets[kPlanes];
    const float* addends[kPlanes];
    for (int i = 0; i < kPatchSide; ++i) {
      for (int j = 0; j < kPatchSide; ++j) {
        const int at = i * kPatchSide + j;
        const bool inside = grid.has_row(tile, i) && grid.has_column(tile, j);
        const bool written = (i < 2 && tile.row > 0) || (j < 2 && tile.column > 0);
        targets[at] = inside ? dx + grid.patch_pixel(tile, i, j) * e.channels : memory.outside;
        addends[at] = inside && written ? targets[at] : memory.zeros;
      }
    }
    const float* const products = memory.inputs + t * e.channels;
    for (std::int64_t c = 0; c < e.channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
      transform_square<InputAdjoint>(
          d,
          [&](auto i, auto j) PROTOLITH_LAMBDA {
            return hn::LoadU(d, products + (i * kPatchSide + j) * memory.input_stride + c);
          },
          [&](auto i, auto j, auto v) PROTOLITH_LAMBDA {
            const int at = i * kPatchSide + j;
            hn::StoreU(hn::Add(v, hn::LoadU(d, addends[at] + c)), d, targets[at] + c);
          });
    }
  }
}

/// Images [begin, end): their dx (unless null), and dfilters [36,K,C] of all of them.
void backward_images(const WinogradBackward& in, const DataGradientCoefficients& coefficients,
                     const ConvolutionExtents& e, std::int64_t begin, std::int64_t end,
                     float* scratch, float* dfilters, float* dx) {
  const TileGrid grid(e);
  const BackwardMemory memory(e, scratch);
  const DataGradient gradient{in.mean, coefficients.factor(), coefficients.slope(),
                              coefficients.offset()};
  const std::int64_t plane_elements = e.filters * e.channels;
  std::fill_n(memory.zeros, e.channels, 0.0F);
  std::fill_n(dfilters, kPlanes * plane_elements, 0.0F);
  const std::int64_t last = end * grid.per_image();
  for (std::int64_t first = begin * grid.per_image(); first < last; first += kBackwardTiles) {
    const std::int64_t count = std::min(kBackwardTiles, last - first);
    transform_inputs(in.x, e.channels, grid, first, count, memory.zeros, memory.inputs,
                     memory.input_stride);
    transform_gradients(in, gradient, e, grid, memory, first, count);
    for (std::int64_t plane = 0; plane < kPlanes; ++plane) {
      const float* const gradients = memory.gradients + plane * memory.gradient_stride;
      float* const inputs = memory.inputs + plane * memory.input_stride;
      accumulate_outer_products(gradients, e.filters, inputs, e.channels, count,
                                dfilters + plane * plane_elements);
      if (dx == nullptr) continue;
      multiply_tiles(gradients, count, e.filters, in.filters + plane * plane_elements, e.channels,
                     inputs);
    }
    if (dx != nullptr) add_input_gradients(e, grid, memory, first, count, dx);
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(backward_images);
}  // namespace

std::int64_t winograd_backward_scratch(const ConvolutionExtents& e) {
  return range_count(e.images, 1) *
         (BackwardMemory::floats(e) + winograd_filter_elements(e.filters, e.channels));
}

void winograd_backward(const WinogradBackward& inputs, float* dweight, float* dx,
                       const ConvolutionExtents& e, float* scratch) {
  const DataGradientCoefficients coefficients(inputs.gamma, inputs.inv_std, inputs.dgamma,
                                              inputs.dbeta, e.pixels(), e.filters);
  const int ranges = range_count(e.images, 1);
  const std::int64_t floats = BackwardMemory::floats(e);
  const std::int64_t filters = winograd_filter_elements(e.filters, e.channels);
  float* const dfilters = scratch + ranges * floats;
  parallel_ranges(e.images, 1, [&](std::int64_t begin, std::int64_t end, int range) {
    HWY_DYNAMIC_DISPATCH(backward_images)
    (inputs, coefficients, e, begin, end, scratch + range * floats, dfilters + range * filters, dx);
  });
  winograd_filter_gradient(dfilters, ranges, dweight, e.filters, e.channels);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
