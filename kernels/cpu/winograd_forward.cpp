#include "kernels/cpu/winograd_forward.h"

#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd_forward.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/channel_moments.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pool_window-inl.h"
#include "kernels/cpu/winograd_gemm-inl.h"
#include "kernels/cpu/winograd_input-inl.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/winograd_transform-inl.h"

#ifndef PROTOLITH_KERNELS_CPU_WINOGRAD_FORWARD_ONCE
#define PROTOLITH_KERNELS_CPU_WINOGRAD_FORWARD_ONCE
namespace protolith::cpu {
namespace {

/// Tiles that go through the pass together; a multiple of the product's rows.
constexpr std::int64_t kForwardTiles = 30;

/// What one thread works with, laid out in its share of the scratch memory.
struct ForwardMemory {
  ForwardMemory(const ConvolutionExtents& e, float* scratch)
      : inputs(scratch),
        input_stride(plane_stride(kForwardTiles, e.channels)),
        products(inputs + kPlanes * input_stride),
        product_stride(plane_stride(kForwardTiles, e.filters)),
        zeros(products + kPlanes * product_stride),
        sums(zeros + e.channels) {}
  static std::int64_t floats(const ConvolutionExtents& e) {
    return kPlanes *
               (plane_stride(kForwardTiles, e.channels) + plane_stride(kForwardTiles, e.filters)) +
           e.channels + 3 * e.filters;
  }

  float* inputs;
  std::int64_t input_stride;
  float* products;
  std::int64_t product_stride;
  float* zeros;
  float* sums;  ///< [3, K]: an estimate of the mean, sums about it and sums of squares about it
};

struct ForwardArguments {
  const float* x;
  const float* filters;
  const float* shift;  ///< inference only
  float* y;
  ConvolutionExtents e;
};

}  // namespace
}  // namespace protolith::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

using Vector = hn::Vec<ChannelTag>;

/// The 4x4 outputs of one tile for a vector of filters.
HWY_INLINE void transform_outputs(const float* products, std::int64_t stride, Vector* out) {
  const ChannelTag d;
  transform_square<OutputTransform>(
      d,
      [&](auto i, auto j)
          PROTOLITH_LAMBDA { return hn::LoadU(d, products + (i * kPatchSide + j) * stride); },
      [&](auto i, auto j, auto v) PROTOLITH_LAMBDA { out[i * kTileSide + j] = v; });
}

/// Calls finish(first, count) for every block of [begin, end) with the block's products in memory.
template <class Finish>
HWY_INLINE void for_blocks(const ForwardArguments& a, const TileGrid& grid,
                           const ForwardMemory& memory, std::int64_t begin, std::int64_t end,
                           const Finish& finish) {
  const std::int64_t tiles = a.e.images * grid.per_image();
  std::fill_n(memory.zeros, a.e.channels, 0.0F);
  for (std::int64_t block = begin; block < end; ++block) {
    const std::int64_t first = block * kForwardTiles;
    const std::int64_t count = std::min(kForwardTiles, tiles - first);
    transform_inputs(a.x, a.e.channels, grid, first, count, memory.zeros, memory.inputs,
                     memory.input_stride);
    for (std::int64_t plane = 0; plane < kPlanes; ++plane) {
      multiply_tiles(memory.inputs + plane * memory.input_stride, count, a.e.channels,
                     a.filters + plane * a.e.channels * a.e.filters, a.e.filters,
                     memory.products + plane * memory.product_stride);
    }
    finish(first, count);
  }
}

/// The mean of one tile's outputs inside the image, for all filters.
HWY_INLINE void tile_mean(const ForwardMemory& memory, const TileGrid& grid, const Tile& tile,
                          std::int64_t filters, float* mean) {
  const ChannelTag d;
  const int rows = grid.rows(tile);
  const int columns = grid.columns(tile);
  for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
    Vector out[kTileSide * kTileSide];
    transform_outputs(memory.products + k, memory.product_stride, out);
    Vector sum = hn::Zero(d);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) sum = hn::Add(sum, out[i * kTileSide + j]);
    }
    hn::StoreU(times(d, 1.0F / static_cast<float>(rows * columns), sum), d, mean + k);
  }
}

/// Stores one tile's outputs and adds them to memory.sums.
HWY_INLINE void store_and_sum(const ForwardArguments& a, const ForwardMemory& memory,
                              const TileGrid& grid, const Tile& tile, std::int64_t in_block) {
  const ChannelTag d;
  const std::int64_t filters = a.e.filters;
  const std::int64_t row_stride = a.e.width * filters;
  const int rows = grid.rows(tile);
  const int columns = grid.columns(tile);
  float* const y = a.y + grid.pixel(tile) * filters;
  for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
    Vector out[kTileSide * kTileSide];
    transform_outputs(memory.products + in_block * filters + k, memory.product_stride, out);
    const Vector pivot = hn::LoadU(d, memory.sums + k);
    Vector sum = hn::LoadU(d, memory.sums + filters + k);
    Vector squares = hn::LoadU(d, memory.sums + 2 * filters + k);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        const Vector value = out[i * kTileSide + j];
        hn::StoreU(value, d, y + i * row_stride + j * filters + k);
        const Vector centred = hn::Sub(value, pivot);
        sum = hn::Add(sum, centred);
        squares = hn::MulAdd(centred, centred, squares);
      }
    }
    hn::StoreU(sum, d, memory.sums + filters + k);
    hn::StoreU(squares, d, memory.sums + 2 * filters + k);
  }
}

/// Blocks [begin, end) of tiles: y, and the moments of what was stored.
void training_blocks(const ForwardArguments& a, std::int64_t begin, std::int64_t end,
                     float* scratch, ChannelMoments& moments) {
  const TileGrid grid(a.e);
  const ForwardMemory memory(a.e, scratch);
  const std::int64_t filters = a.e.filters;
  for_blocks(a, grid, memory, begin, end,
             [&](std::int64_t first, std::int64_t count) PROTOLITH_LAMBDA {
               if (first == begin * kForwardTiles) {
                 tile_mean(memory, grid, grid.tile(first), filters, memory.sums);
                 moments.start(memory.sums);
               }
               std::fill_n(memory.sums + filters, 2 * filters, 0.0F);
               std::int64_t pixels = 0;
               for (std::int64_t t = 0; t < count; ++t) {
                 const Tile tile = grid.tile(first + t);
                 store_and_sum(a, memory, grid, tile, t);
                 pixels += grid.rows(tile) * grid.columns(tile);
               }
               moments.add(pixels, memory.sums + filters, memory.sums + 2 * filters);
             });
}

/// relu(out + shift), then the maxima of the tile's whole windows, or all of it.
HWY_INLINE void activate_tile(const ForwardArguments& a, const ForwardMemory& memory,
                              const TileGrid& grid, const Tile& tile, std::int64_t in_block,
                              bool pool) {
  const ChannelTag d;
  const std::int64_t filters = a.e.filters;
  const int step = pool ? 2 : 1;
  const int rows = grid.rows(tile) / step;
  const int columns = grid.columns(tile) / step;
  const std::int64_t height = a.e.height / step;
  const std::int64_t width = a.e.width / step;
  float* const y =
      a.y + ((tile.image * height + tile.row / step) * width + tile.column / step) * filters;
  for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
    Vector out[kTileSide * kTileSide];
    transform_outputs(memory.products + in_block * filters + k, memory.product_stride, out);
    const Vector shift = hn::LoadU(d, a.shift + k);
    for (int i = 0; i < rows; ++i) {
      for (int j = 0; j < columns; ++j) {
        const Vector* const window = out + step * (i * kTileSide + j);
        Vector best = window[0];
        if (pool) {
          for (const int place : {1, 4, 5}) {
            best = hn::IfThenElse(takes_lead(window[place], best), window[place], best);
          }
        }
        hn::StoreU(relu(d, hn::Add(best, shift)), d, y + (i * width + j) * filters + k);
      }
    }
  }
}

void inference_blocks(const ForwardArguments& a, bool pool, std::int64_t begin, std::int64_t end,
                      float* scratch) {
  const TileGrid grid(a.e);
  const ForwardMemory memory(a.e, scratch);
  for_blocks(a, grid, memory, begin, end,
             [&](std::int64_t first, std::int64_t count) PROTOLITH_LAMBDA {
               for (std::int64_t t = 0; t < count; ++t) {
                 activate_tile(a, memory, grid, grid.tile(first + t), t, pool);
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
HWY_EXPORT(training_blocks);
HWY_EXPORT(inference_blocks);

std::int64_t block_count(const ConvolutionExtents& e) {
  const std::int64_t tiles = e.images * TileGrid(e).per_image();
  return (tiles + kForwardTiles - 1) / kForwardTiles;
}
}  // namespace

std::int64_t winograd_forward_scratch(const ConvolutionExtents& e) {
  return range_count(block_count(e), 1) * ForwardMemory::floats(e);
}

void winograd_forward(const float* x, const float* filters, float* y, float* mean, float* variance,
                      const ConvolutionExtents& e, float* scratch) {
  const ForwardArguments arguments{x, filters, nullptr, y, e};
  const std::int64_t blocks = block_count(e);
  const std::int64_t floats = ForwardMemory::floats(e);
  std::vector<ChannelMoments> moments(static_cast<std::size_t>(range_count(blocks, 1)),
                                      ChannelMoments(e.filters));
  parallel_ranges(blocks, 1, [&](std::int64_t begin, std::int64_t end, int range) {
    HWY_DYNAMIC_DISPATCH(training_blocks)
    (arguments, begin, end, scratch + range * floats, moments[static_cast<std::size_t>(range)]);
  });
  for (std::size_t range = 1; range < moments.size(); ++range) moments[0].merge(moments[range]);
  moments[0].store(mean, variance);
}

void winograd_inference(const float* x, const float* filters, const float* shift, bool pool,
                        float* y, const ConvolutionExtents& e, float* scratch) {
  const ForwardArguments arguments{x, filters, shift, y, e};
  const std::int64_t floats = ForwardMemory::floats(e);
  parallel_ranges(block_count(e), 1, [&](std::int64_t begin, std::int64_t end, int range) {
    HWY_DYNAMIC_DISPATCH(inference_blocks)
    (arguments, pool, begin, end, scratch + range * floats);
  });
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
