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

/// Tiles that go through the pass together: enough that reading the filters costs little.
constexpr std::int64_t kForwardTiles = 54;

/// How a pass divides its work and each thread's memory.
struct ForwardPlan {
  explicit ForwardPlan(const ConvolutionExtents& e) : ForwardPlan(e, TileGrid(e)) {}
  ForwardPlan(const ConvolutionExtents& e, const TileGrid& tiles)
      : grid(tiles),
        block_rows(grid.block_rows(kForwardTiles)),
        input_layout(grid, block_rows, e.channels),
        product_layout(grid, block_rows, e.filters) {}
  /// Of scratch memory for one thread.
  std::int64_t floats() const {
    return input_layout.floats() + product_layout.floats() + zeros() +
           3 * product_layout.channels() + Strip::floats(Strip::input_columns(grid));
  }
  std::int64_t zeros() const { return grid.width * input_layout.channels(); }
  /// Blocks of rows of tiles, of all images.
  std::int64_t blocks() const { return (grid.tile_rows() + block_rows - 1) / block_rows; }
  TileRows block(std::int64_t index) const {
    return {index * block_rows, std::min((index + 1) * block_rows, grid.tile_rows())};
  }

  TileGrid grid;
  std::int64_t block_rows;
  PlaneLayout input_layout, product_layout;
};

/// What one thread works with, laid out in its share of the scratch memory.
struct ForwardMemory {
  ForwardMemory(const ForwardPlan& plan, float* scratch)
      : inputs(scratch),
        products(inputs + plan.input_layout.floats()),
        zeros(products + plan.product_layout.floats()),
        sums(zeros + plan.zeros()),
        strip(sums + 3 * plan.product_layout.channels(), Strip::input_columns(plan.grid)) {}

  float* inputs;
  float* products;
  float* zeros;  ///< a row of pixels outside the images
  float* sums;   ///< [3, K]: an estimate of the mean, sums about it and sums of squares about it
  Strip strip;
};

struct ForwardArguments {
  const float* x;
  const float* filters;
  const float* shift;  ///< inference only
  float* y;
  ConvolutionExtents e;
  ForwardPlan plan;
};

}  // namespace
}  // namespace protolith::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

/// Calls finish(block) for blocks [begin, end), with a block's products in memory.
template <class Finish>
HWY_INLINE void for_blocks(const ForwardArguments& a, const ForwardMemory& memory,
                           std::int64_t begin, std::int64_t end, const Finish& finish) {
  std::fill_n(memory.zeros, a.e.width * a.e.channels, 0.0F);
  for (std::int64_t index = begin; index < end; ++index) {
    const TileRows block = a.plan.block(index);
    transform_inputs(a.x, a.plan.grid, block, a.plan.input_layout, memory.zeros, memory.strip,
                     memory.inputs);
    for (int plane = 0; plane < kPlanes; ++plane) {
      const int i = plane / kMaxPatchSide;
      const int j = plane % kMaxPatchSide;
      if (!a.plan.grid.has_plane(i, j)) continue;
      multiply_tiles(memory.inputs + a.plan.input_layout.offset(plane),
                     a.plan.grid.tiles(block, i, j), a.e.channels,
                     a.filters + plane * a.e.channels * a.e.filters, a.e.filters,
                     memory.products + a.plan.product_layout.offset(plane));
    }
    finish(block);
  }
}

/// One tile between the transforms along its rows and its columns.
struct OutputTile {
  float values[kMaxTileSide * kMaxPatchSide * kChannelStep];

  float* at(int row, int column) { return values + (row * kMaxPatchSide + column) * kChannelStep; }
};

/// Along the rows: tile [kOutputs, points] from products [kOutputs + 2, points] of a tile at
/// `offset` in its planes.
template <int kOutputs>
HWY_INLINE void transform_output_rows(const TileRowPlanes& products, std::int64_t offset,
                                      int points, OutputTile& tile) {
  const ChannelTag d;
  for (int j = 0; j < points; ++j) {
    ChannelVector in[kOutputs + 2];
    ChannelVector out[kOutputs];
    unrolled<kOutputs + 2>([&](auto i)
                               PROTOLITH_LAMBDA { in[i] = hn::LoadU(d, products(i, j) + offset); });
    transform<OutputTransform<kOutputs>>(d, in, out);
    unrolled<kOutputs>([&](auto i) PROTOLITH_LAMBDA { hn::StoreU(out[i], d, tile.at(i, j)); });
  }
}

/// Along the columns: the outputs of one row of a tile.
template <int kOutputs>
HWY_INLINE void transform_output_columns(OutputTile& tile, int row, ChannelVector* out) {
  const ChannelTag d;
  ChannelVector in[kOutputs + 2];
  unrolled<kOutputs + 2>([&](auto j) PROTOLITH_LAMBDA { in[j] = hn::LoadU(d, tile.at(row, j)); });
  transform<OutputTransform<kOutputs>>(d, in, out);
}

/// Sums about an estimate of the mean.
struct OutputSums {
  ChannelVector pivot, sum, squares;

  HWY_INLINE void add(ChannelVector value) {
    const ChannelVector centred = hn::Sub(value, pivot);
    sum = hn::Add(sum, centred);
    squares = hn::MulAdd(centred, centred, squares);
  }
};

/// Stores the first `rows` rows and `columns` columns of a tile to y (of its first output).
template <int kOutputs>
HWY_INLINE void store_tile(OutputTile& tile, int rows, int columns, float* y,
                           std::int64_t row_stride, std::int64_t filters, OutputSums& sums) {
  const ChannelTag d;
  for (int i = 0; i < rows; ++i, y += row_stride) {
    ChannelVector out[kOutputs];
    transform_output_columns<kOutputs>(tile, i, out);
    unrolled<kOutputs>([&](auto j) PROTOLITH_LAMBDA {
      if (j < columns) {
        hn::StoreU(out[j], d, y + j * filters);
        sums.add(out[j]);
      }
    });
  }
}

/// Stores one row of tiles' outputs and adds them to memory.sums.
HWY_INLINE void store_and_sum(const ForwardArguments& a, const ForwardMemory& memory,
                              const TileRows& block, std::int64_t tile_row) {
  const ChannelTag d;
  const TileGrid& grid = a.plan.grid;
  const TileRowPlanes products(grid, a.plan.product_layout, block, tile_row, memory.products);
  const std::int64_t in_image = grid.in_image(tile_row);
  const std::int64_t filters = a.e.filters;
  float* const y =
      a.y + (grid.image(tile_row) * a.e.height + grid.rows.start(in_image)) * a.e.width * filters;
  OutputTile transformed;
  for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
    OutputSums sums{hn::LoadU(d, memory.sums + k), hn::LoadU(d, memory.sums + filters + k),
                    hn::LoadU(d, memory.sums + 2 * filters + k)};
    for (std::int64_t tile = 0; tile < grid.columns.tiles(); ++tile) {
      const int outputs = grid.columns.outputs(tile);
      with_outputs(grid.rows.outputs(in_image), [&](auto m) PROTOLITH_LAMBDA {
        transform_output_rows<m>(products, tile * filters + k, outputs + 2, transformed);
      });
      with_outputs(outputs, [&](auto m) PROTOLITH_LAMBDA {
        store_tile<m>(transformed, grid.rows.inside(in_image), grid.columns.inside(tile),
                      y + grid.columns.start(tile) * filters + k, a.e.width * filters, filters,
                      sums);
      });
    }
    hn::StoreU(sums.sum, d, memory.sums + filters + k);
    hn::StoreU(sums.squares, d, memory.sums + 2 * filters + k);
  }
}

/// Blocks [begin, end): y, and the moments of what was stored.
void training_blocks(const ForwardArguments& a, const ForwardMemory& memory, std::int64_t begin,
                     std::int64_t end, ChannelMoments& moments) {
  const std::int64_t filters = a.e.filters;
  const auto pixels = [&](std::int64_t tile_row) {
    return a.plan.grid.rows.inside(a.plan.grid.in_image(tile_row)) * a.e.width;
  };
  for_blocks(a, memory, begin, end, [&](const TileRows& block) PROTOLITH_LAMBDA {
    if (block.first == a.plan.block(begin).first) {
      // The mean of the first row of tiles is the estimate that all sums are taken about.
      std::fill_n(memory.sums, 3 * filters, 0.0F);
      store_and_sum(a, memory, block, block.first);
      const float count = static_cast<float>(pixels(block.first));
      for (std::int64_t k = 0; k < filters; ++k) memory.sums[k] = memory.sums[filters + k] / count;
      moments.start(memory.sums);
    }
    std::fill_n(memory.sums + filters, 2 * filters, 0.0F);
    std::int64_t count = 0;
    for (std::int64_t tile_row = block.first; tile_row < block.end; ++tile_row) {
      store_and_sum(a, memory, block, tile_row);
      count += pixels(tile_row);
    }
    moments.add(count, memory.sums + filters, memory.sums + 2 * filters);
  });
}

/// Stores relu(out + shift) of a tile: of its first `rows` rows and `columns` columns of outputs,
/// or with kPool of windows.
template <int kOutputs, bool kPool>
HWY_INLINE void activate_tile(OutputTile& tile, int rows, int columns, ChannelVector shift,
                              float* y, std::int64_t row_stride, std::int64_t filters) {
  const ChannelTag d;
  constexpr int kStep = kPool ? 2 : 1;
  for (int i = 0; i < rows; ++i, y += row_stride) {
    ChannelVector out[kStep][kOutputs];
    unrolled<kStep>([&](auto r) PROTOLITH_LAMBDA {
      transform_output_columns<kOutputs>(tile, kStep * i + r, out[r]);
    });
    unrolled<kOutputs / kStep>([&](auto j) PROTOLITH_LAMBDA {
      constexpr int kColumn = kStep * decltype(j)::value;
      if (j >= columns) return;
      ChannelVector best = out[0][kColumn];
      if constexpr (kPool) {
        const auto compare = [&](ChannelVector other) PROTOLITH_LAMBDA {
          best = hn::IfThenElse(takes_lead(other, best), other, best);
        };
        compare(out[0][kColumn + 1]);
        compare(out[1][kColumn]);
        compare(out[1][kColumn + 1]);
      }
      hn::StoreU(relu(d, hn::Add(best, shift)), d, y + j * filters);
    });
  }
}

/// One row of tiles for inference.
template <bool kPool>
HWY_INLINE void activate_tile_row(const ForwardArguments& a, const ForwardMemory& memory,
                                  const TileRows& block, std::int64_t tile_row) {
  const ChannelTag d;
  constexpr int kStep = kPool ? 2 : 1;
  const TileGrid& grid = a.plan.grid;
  const TileRowPlanes products(grid, a.plan.product_layout, block, tile_row, memory.products);
  const std::int64_t in_image = grid.in_image(tile_row);
  const std::int64_t filters = a.e.filters;
  const std::int64_t width = a.e.width / kStep;
  float* const y =
      a.y + (grid.image(tile_row) * (a.e.height / kStep) + grid.rows.start(in_image) / kStep) *
                width * filters;
  OutputTile transformed;
  for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
    const ChannelVector shift = hn::LoadU(d, a.shift + k);
    for (std::int64_t tile = 0; tile < grid.columns.tiles(); ++tile) {
      const int outputs = grid.columns.outputs(tile);
      with_outputs(grid.rows.outputs(in_image), [&](auto m) PROTOLITH_LAMBDA {
        transform_output_rows<m>(products, tile * filters + k, outputs + 2, transformed);
      });
      with_outputs(outputs, [&](auto m) PROTOLITH_LAMBDA {
        activate_tile<m, kPool>(
            transformed, grid.rows.inside(in_image) / kStep, grid.columns.inside(tile) / kStep,
            shift, y + grid.columns.start(tile) / kStep * filters + k, width * filters, filters);
      });
    }
  }
}

void inference_blocks(const ForwardArguments& a, const ForwardMemory& memory, bool pool,
                      std::int64_t begin, std::int64_t end) {
  for_blocks(a, memory, begin, end, [&](const TileRows& block) PROTOLITH_LAMBDA {
    for (std::int64_t tile_row = block.first; tile_row < block.end; ++tile_row) {
      if (pool) {
        activate_tile_row<true>(a, memory, block, tile_row);
      } else {
        activate_tile_row<false>(a, memory, block, tile_row);
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
HWY_EXPORT(training_blocks);
HWY_EXPORT(inference_blocks);

/// The pool drops an odd last row or column.
ForwardPlan inference_plan(const ConvolutionExtents& e, bool pool) {
  return pool ? ForwardPlan(e, TileGrid(e, e.height / 2 * 2, e.width / 2 * 2)) : ForwardPlan(e);
}

std::int64_t scratch_floats(const ForwardPlan& plan) {
  return range_count(plan.blocks(), 1) * plan.floats();
}

/// Calls f(begin, end, memory, range) for each thread's blocks.
template <class F>
void for_ranges(const ForwardPlan& plan, float* scratch, const F& f) {
  parallel_ranges(plan.blocks(), 1, [&](std::int64_t begin, std::int64_t end, int range) {
    f(begin, end, ForwardMemory(plan, scratch + range * plan.floats()), range);
  });
}
}  // namespace

std::int64_t winograd_forward_scratch(const ConvolutionExtents& e) {
  return scratch_floats(ForwardPlan(e));
}

std::int64_t winograd_inference_scratch(const ConvolutionExtents& e, bool pool) {
  return scratch_floats(inference_plan(e, pool));
}

void winograd_forward(const float* x, const float* filters, float* y, float* mean, float* variance,
                      const ConvolutionExtents& e, float* scratch) {
  const ForwardArguments arguments{x, filters, nullptr, y, e, ForwardPlan(e)};
  const auto ranges = static_cast<std::size_t>(range_count(arguments.plan.blocks(), 1));
  std::vector<ChannelMoments> moments(ranges, ChannelMoments(e.filters));
  for_ranges(arguments.plan, scratch,
             [&](std::int64_t begin, std::int64_t end, const ForwardMemory& memory, int range) {
               HWY_DYNAMIC_DISPATCH(training_blocks)
               (arguments, memory, begin, end, moments[static_cast<std::size_t>(range)]);
             });
  for (std::size_t range = 1; range < ranges; ++range) moments[0].merge(moments[range]);
  moments[0].store(mean, variance);
}

void winograd_inference(const float* x, const float* filters, const float* shift, bool pool,
                        float* y, const ConvolutionExtents& e, float* scratch) {
  const ForwardArguments arguments{x, filters, shift, y, e, inference_plan(e, pool)};
  for_ranges(arguments.plan, scratch,
             [&](std::int64_t begin, std::int64_t end, const ForwardMemory& memory, int) {
               HWY_DYNAMIC_DISPATCH(inference_blocks)(arguments, memory, pool, begin, end);
             });
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
