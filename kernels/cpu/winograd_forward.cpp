#include "kernels/cpu/winograd_forward.h"

#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd_forward.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/channel_moments.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pool_window-inl.h"
#include "kernels/cpu/winograd_filter.h"
#include "kernels/cpu/winograd_gemm-inl.h"
#include "kernels/cpu/winograd_input-inl.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/winograd_transform-inl.h"

#ifndef PROTOLITH_KERNELS_CPU_WINOGRAD_FORWARD_ONCE
#define PROTOLITH_KERNELS_CPU_WINOGRAD_FORWARD_ONCE
namespace protolith::cpu {
namespace {

/// Tiles that go through the pass together: enough that reading the filters costs little, few
/// enough that their planes (1 MB with 64 channels and filters) stay in an L2 cache.
constexpr std::int64_t kForwardTiles = 24;

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

/// Calls finish(block) for the blocks of images [begin, end), with a block's products in memory.
template <class Finish>
HWY_INLINE void for_blocks(const ForwardArguments& a, const ForwardMemory& memory,
                           std::int64_t begin, std::int64_t end, const Finish& finish) {
  std::fill_n(memory.zeros, a.e.width * a.e.channels, 0.0F);
  const std::int64_t last = end * a.plan.grid.rows.tiles();
  for (std::int64_t first = begin * a.plan.grid.rows.tiles(); first < last;
       first += a.plan.block_rows) {
    const TileRows block{first, std::min(first + a.plan.block_rows, last)};
    transform_inputs(a.x, a.plan.grid, block, a.plan.input_layout, memory.zeros, memory.strip,
                     memory.inputs);
    for (int plane = 0; plane < kPlanes; ++plane) {
      const int i = plane / kMaxPatchSide;
      const int j = plane % kMaxPatchSide;
      if (!a.plan.grid.planes().has(i, j)) continue;
      multiply_tiles(memory.inputs + a.plan.input_layout.offset(plane),
                     a.plan.grid.tiles(block, i, j), a.e.channels,
                     a.filters + plane * winograd_filter_stride(a.e.filters, a.e.channels),
                     a.e.filters, memory.products + a.plan.product_layout.offset(plane));
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
PROTOLITH_TILE_FUNCTION void transform_output_rows(const TileRowPlanes& products,
                                                   std::int64_t offset, int points,
                                                   OutputTile& tile) {
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

/// Stores a tile to y (of its first output).
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void store_tile(OutputTile& tile, int rows, float* y,
                                        std::int64_t row_stride, std::int64_t filters,
                                        OutputSums& sums) {
  const ChannelTag d;
  for (int i = 0; i < rows; ++i, y += row_stride) {
    ChannelVector out[kOutputs];
    transform_output_columns<kOutputs>(tile, i, out);
    unrolled<kOutputs>([&](auto j) PROTOLITH_LAMBDA {
      hn::StoreU(out[j], d, y + j * filters);
      sums.add(out[j]);
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
        store_tile<m>(transformed, grid.rows.outputs(in_image),
                      y + grid.columns.start(tile) * filters + k, a.e.width * filters, filters,
                      sums);
      });
    }
    hn::StoreU(sums.sum, d, memory.sums + filters + k);
    hn::StoreU(sums.squares, d, memory.sums + 2 * filters + k);
  }
}

/// Images [begin, end): y, and the moments of what was stored.
void training_images(const ForwardArguments& a, const ForwardMemory& memory, std::int64_t begin,
                     std::int64_t end, ChannelMoments& moments) {
  const std::int64_t filters = a.e.filters;
  const auto pixels = [&](std::int64_t tile_row) {
    return a.plan.grid.rows.outputs(a.plan.grid.in_image(tile_row)) * a.e.width;
  };
  for_blocks(a, memory, begin, end, [&](const TileRows& block) PROTOLITH_LAMBDA {
    if (block.first == begin * a.plan.grid.rows.tiles()) {
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

/// Where a tile's outputs go after the activation.
struct ActivationTarget {
  float* y;                 ///< that of the tile's first output, or of the window it is in
  std::int64_t row_stride;  ///< between rows of y
  std::int64_t filters;
  ChannelVector shift;

  HWY_INLINE float* at(std::int64_t row, std::int64_t column) const {
    return y + row * row_stride + column * filters;
  }
  HWY_INLINE ChannelVector activate(ChannelVector out) const {
    return relu(ChannelTag(), hn::Add(out, shift));
  }
};

/// Stores relu(out + shift) of a tile.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void activate_tile(OutputTile& tile, int rows,
                                           const ActivationTarget& target) {
  for (int i = 0; i < rows; ++i) {
    ChannelVector out[kOutputs];
    transform_output_columns<kOutputs>(tile, i, out);
    unrolled<kOutputs>([&](auto j) PROTOLITH_LAMBDA {
      hn::StoreU(target.activate(out[j]), ChannelTag(), target.at(i, j));
    });
  }
}

/// The same for all 2x2 windows that a tile of `rows` x kOutputs outputs has any of. lower, kRight:
/// its first row or column is a window's second one; the tile before has stored that window's
/// maximum so far.
template <int kOutputs, bool kRight>
PROTOLITH_TILE_FUNCTION void pool_tile(OutputTile& tile, int rows, bool lower,
                                       const ActivationTarget& target) {
  const ChannelTag d;
  const auto lead = [](ChannelVector& best, ChannelVector other) PROTOLITH_LAMBDA {
    best = hn::IfThenElse(takes_lead(other, best), other, best);
  };
  int row = lower ? -1 : 0;
  for (int i = 0; row < rows; ++i, row += 2) {
    ChannelVector best[kOutputs];
    transform_output_columns<kOutputs>(tile, std::max(row, 0), best);
    if (row >= 0 && row + 1 < rows) {
      ChannelVector below[kOutputs];
      transform_output_columns<kOutputs>(tile, row + 1, below);
      unrolled<kOutputs>([&](auto j) PROTOLITH_LAMBDA { lead(best[j], below[j]); });
    }
    unrolled<(kOutputs + 1 + (kRight ? 1 : 0)) / 2>([&](auto j) PROTOLITH_LAMBDA {
      constexpr int kColumn = 2 * decltype(j)::value - (kRight ? 1 : 0);
      ChannelVector largest = best[kColumn < 0 ? 0 : kColumn];
      if constexpr (kColumn >= 0 && kColumn + 1 < kOutputs) lead(largest, best[kColumn + 1]);
      largest = target.activate(largest);
      float* const y = target.at(i, j);
      if (row < 0 || kColumn < 0) lead(largest, hn::LoadU(d, y));
      hn::StoreU(largest, d, y);
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
  const int outputs = grid.rows.outputs(in_image);
  const std::int64_t row = grid.rows.start(in_image);
  const std::int64_t filters = a.e.filters;
  const std::int64_t height = a.e.height / kStep;
  const std::int64_t width = a.e.width / kStep;
  float* const y = a.y + (grid.image(tile_row) * height + row / kStep) * width * filters;
  OutputTile transformed;
  for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
    for (std::int64_t tile = 0; tile < grid.columns.tiles(); ++tile) {
      const std::int64_t column = grid.columns.start(tile);
      const ActivationTarget target{y + column / kStep * filters + k, width * filters, filters,
                                    hn::LoadU(d, a.shift + k)};
      with_outputs(outputs, [&](auto m) PROTOLITH_LAMBDA {
        transform_output_rows<m>(products, tile * filters + k, grid.columns.outputs(tile) + 2,
                                 transformed);
      });
      with_outputs(grid.columns.outputs(tile), [&](auto m) PROTOLITH_LAMBDA {
        if constexpr (!kPool) {
          activate_tile<m>(transformed, outputs, target);
        } else if (column % 2 == 0) {
          pool_tile<m, false>(transformed, outputs, row % 2 == 1, target);
        } else {
          pool_tile<m, true>(transformed, outputs, row % 2 == 1, target);
        }
      });
    }
  }
}

void inference_images(const ForwardArguments& a, const ForwardMemory& memory, bool pool,
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
HWY_EXPORT(training_images);
HWY_EXPORT(inference_images);

/// The pool drops an odd last row or column.
ForwardPlan inference_plan(const ConvolutionExtents& e, bool pool) {
  return pool ? ForwardPlan(e, TileGrid(e, e.height / 2 * 2, e.width / 2 * 2)) : ForwardPlan(e);
}

std::int64_t scratch_floats(const ForwardPlan& plan) {
  return range_count(plan.grid.images, 1) * plan.floats();
}

/// Calls f(begin, end, memory, range) for each thread's images.
template <class F>
void for_ranges(const ForwardPlan& plan, float* scratch, const F& f) {
  parallel_ranges(plan.grid.images, 1, [&](std::int64_t begin, std::int64_t end, int range) {
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
  const auto ranges = static_cast<std::size_t>(range_count(e.images, 1));
  std::vector<ChannelMoments> moments(ranges, ChannelMoments(e.filters));
  for_ranges(arguments.plan, scratch,
             [&](std::int64_t begin, std::int64_t end, const ForwardMemory& memory, int range) {
               HWY_DYNAMIC_DISPATCH(training_images)
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
               HWY_DYNAMIC_DISPATCH(inference_images)(arguments, memory, pool, begin, end);
             });
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
