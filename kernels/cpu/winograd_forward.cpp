#include "kernels/cpu/winograd_forward.h"

#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd_forward.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/channel_moments.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pool_window-inl.h"
#include "kernels/cpu/streamed.h"
#include "kernels/cpu/winograd_filter.h"
#include "kernels/cpu/winograd_gemm-inl.h"
#include "kernels/cpu/winograd_input-inl.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/winograd_transform-inl.h"

#ifndef PROTOLITH_KERNELS_CPU_WINOGRAD_FORWARD_ONCE
#define PROTOLITH_KERNELS_CPU_WINOGRAD_FORWARD_ONCE
namespace protolith::cpu {
namespace {

/// How a pass divides its work and each thread's memory.
struct ForwardPlan {
  explicit ForwardPlan(const ConvolutionExtents& e) : ForwardPlan(e, TileGrid(e)) {}
  ForwardPlan(const ConvolutionExtents& e, const TileGrid& tiles)
      : grid(tiles),
        channels(e.channels),
        filters(e.filters),
        stride(std::max(Strips::stride_for(Strips::input_columns(grid), channels),
                        Strips::stride_for(Strips::output_columns(grid), filters))) {}
  /// Of scratch memory for one thread.
  std::int64_t floats() const {
    return Strips::floats(grid, stride) + PlaneRow::floats(grid, channels) +
           PlaneRow::floats(grid, filters) + row() + 3 * filters;
  }
  std::int64_t row() const { return grid.width * channels; }
  WorkParts parts() const { return {grid.images, 1, grid.block_images()}; }

  TileGrid grid;
  std::int64_t channels, filters, stride;
};

/// What one thread works with, laid out in its share of the scratch memory.
struct ForwardMemory {
  ForwardMemory(const ForwardPlan& plan, float* scratch)
      : input_strips(scratch, plan.grid, plan.stride, plan.channels),
        output_strips(scratch, plan.grid, plan.stride, plan.filters),
        inputs(scratch += Strips::floats(plan.grid, plan.stride), plan.grid, plan.channels),
        products(scratch += PlaneRow::floats(plan.grid, plan.channels), plan.grid, plan.filters),
        zeros(scratch += PlaneRow::floats(plan.grid, plan.filters)),
        sums(scratch += plan.row()) {}

  Strips input_strips;
  Strips output_strips;  ///< in the inputs' place
  PlaneRow inputs, products;
  float* zeros;  ///< a row of pixels outside the images
  float* sums;   ///< [3, K]: an estimate of the mean, sums about it and sums of squares about it
};

struct ForwardArguments {
  const float* x;
  const float* filters;
  const float* shift;  ///< inference only
  float* y;
  ConvolutionExtents e;
  ForwardPlan plan;
  bool streamed;  ///< y, in training
};

}  // namespace
}  // namespace protolith::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

/// Along the columns: a tile's part of a strip, from its elements at `offset` in the planes.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void transform_output_columns(const TileRowPlanes& products,
                                                      std::int64_t offset, std::int64_t filters,
                                                      float* HWY_RESTRICT strip) {
  const ChannelTag d;
  for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
    ChannelVector in[kOutputs + 2];
    ChannelVector out[kOutputs];
    unrolled<kOutputs + 2>(
        [&](auto j) PROTOLITH_LAMBDA { in[j] = hn::LoadU(d, products(j) + offset + k); });
    transform<OutputTransform<kOutputs>>(d, in, out);
    unrolled<kOutputs>([&](auto j)
                           PROTOLITH_LAMBDA { hn::StoreU(out[j], d, strip + j * filters + k); });
  }
}

/// memory.output_strips i: A^T P along the columns of the products P in the planes of i.
HWY_INLINE void planes_to_output_strips(const ForwardArguments& a, const ForwardMemory& memory,
                                        const TileRows& block, int i) {
  const TileGrid& grid = a.plan.grid;
  const std::int64_t filters = a.e.filters;
  for_tiles_with_point(grid, block, i, memory.products,
                       [&](auto m, std::int64_t row, std::int64_t tile,
                           const TileRowPlanes& products) PROTOLITH_LAMBDA {
                         transform_output_columns<m>(
                             products, tile * filters, filters,
                             memory.output_strips.at(row, i) + grid.columns.start(tile) * filters);
                       });
}

/// Calls finish(block) for the blocks of images [begin, end), with a block's output strips in
/// memory.
template <class Finish>
HWY_INLINE void for_blocks(const ForwardArguments& a, const ForwardMemory& memory,
                           std::int64_t begin, std::int64_t end, const Finish& finish) {
  const TileGrid& grid = a.plan.grid;
  const std::int64_t stride = winograd_filter_stride(a.e.filters, a.e.channels);
  std::fill_n(memory.zeros, a.plan.row(), 0.0F);
  const TileBlocks blocks(grid, begin, end);
  for (std::int64_t b = 0; b < blocks.count(); ++b) {
    const TileRows block = blocks[b];
    input_strips(a.x, grid, block, memory.zeros, memory.input_strips);
    for (int i = 0; i < grid.rows.points(); ++i) {
      strips_to_planes<InputTransform>(memory.input_strips, grid, block, i, memory.inputs);
      for (int j = 0; j < grid.columns.points(); ++j) {
        multiply_tiles(memory.inputs.plane(j), grid.tiles(block, i, j), a.e.channels,
                       a.filters + (i * kMaxPatchSide + j) * stride,
                       a.filters + grid.planes().after(i, j) * stride, a.e.filters,
                       memory.products.plane(j));
      }
      planes_to_output_strips(a, memory, block, i);
    }
    finish(block);
  }
}

/// Along the rows: the first kOutputs rows of outputs, from the strips at `strip`.
template <int kOutputs>
HWY_INLINE void transform_output_rows(const float* HWY_RESTRICT strip, std::int64_t stride,
                                      ChannelVector* out) {
  const ChannelTag d;
  ChannelVector in[kOutputs + 2];
  unrolled<kOutputs + 2>([&](auto i)
                             PROTOLITH_LAMBDA { in[i] = hn::LoadU(d, strip + i * stride); });
  transform<OutputTransform<kOutputs>>(d, in, out);
}

/// Stores a row of tiles' outputs to y (of its first one), past the caches if `streamed`, and adds
/// them to `sums`: [3, K] as in ForwardMemory.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void store_rows(const float* HWY_RESTRICT strip, std::int64_t stride,
                                        std::int64_t width, std::int64_t filters,
                                        float* HWY_RESTRICT y, float* HWY_RESTRICT sums,
                                        bool streamed) {
  const ChannelTag d;
  for (std::int64_t column = 0; column < width; ++column) {
    for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
      const std::int64_t at = column * filters + k;
      ChannelVector out[kOutputs];
      transform_output_rows<kOutputs>(strip + at, stride, out);
      const ChannelVector pivot = hn::LoadU(d, sums + k);
      ChannelVector sum = hn::LoadU(d, sums + filters + k);
      ChannelVector squares = hn::LoadU(d, sums + 2 * filters + k);
      unrolled<kOutputs>([&](auto i) PROTOLITH_LAMBDA {
        store(out[i], d, y + i * width * filters + at, streamed);
        const ChannelVector centred = hn::Sub(out[i], pivot);
        sum = hn::Add(sum, centred);
        squares = hn::MulAdd(centred, centred, squares);
      });
      hn::StoreU(sum, d, sums + filters + k);
      hn::StoreU(squares, d, sums + 2 * filters + k);
    }
  }
}

/// Stores one row of tiles' outputs and adds them to memory.sums.
HWY_INLINE void store_and_sum(const ForwardArguments& a, const ForwardMemory& memory,
                              const TileRows& block, std::int64_t tile_row) {
  const TileGrid& grid = a.plan.grid;
  const std::int64_t in_image = grid.in_image(tile_row);
  float* const y = a.y + (grid.image(tile_row) * a.e.height + grid.rows.start(in_image)) *
                             a.e.width * a.e.filters;
  with_outputs(grid.rows.outputs(in_image), [&](auto m) PROTOLITH_LAMBDA {
    store_rows<m>(memory.output_strips.at(tile_row - block.first, 0), a.plan.stride, a.e.width,
                  a.e.filters, y, memory.sums, a.streamed);
  });
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
  hwy::FlushStream();
}

/// Stores relu(out + shift) of a row of tiles to y, of its first output.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void activate_rows(const float* HWY_RESTRICT strip, std::int64_t stride,
                                           std::int64_t width, std::int64_t filters,
                                           const float* HWY_RESTRICT shift, float* HWY_RESTRICT y) {
  const ChannelTag d;
  for (std::int64_t column = 0; column < width; ++column) {
    for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
      const std::int64_t at = column * filters + k;
      ChannelVector out[kOutputs];
      transform_output_rows<kOutputs>(strip + at, stride, out);
      unrolled<kOutputs>([&](auto i) PROTOLITH_LAMBDA {
        hn::StoreU(relu(d, hn::Add(out[i], hn::LoadU(d, shift + k))), d,
                   y + i * width * filters + at);
      });
    }
  }
}

/// The same of the maxima of all 2x2 windows that a row of tiles has any of: `windows` of them in a
/// row. kLower: its first row is a window's second one; the row of tiles before has stored that
/// window's maximum so far.
template <int kOutputs, bool kLower>
PROTOLITH_TILE_FUNCTION void pool_rows(const float* HWY_RESTRICT strip, std::int64_t stride,
                                       std::int64_t windows, std::int64_t filters,
                                       const float* HWY_RESTRICT shift, float* HWY_RESTRICT y) {
  const ChannelTag d;
  const auto lead = [](ChannelVector& best, ChannelVector other) PROTOLITH_LAMBDA {
    best = hn::IfThenElse(takes_lead(other, best), other, best);
  };
  for (std::int64_t window = 0; window < windows; ++window) {
    for (std::int64_t k = 0; k < filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
      ChannelVector best[kOutputs];
      ChannelVector right[kOutputs];
      transform_output_rows<kOutputs>(strip + 2 * window * filters + k, stride, best);
      transform_output_rows<kOutputs>(strip + (2 * window + 1) * filters + k, stride, right);
      unrolled<kOutputs>([&](auto i) PROTOLITH_LAMBDA { lead(best[i], right[i]); });
      unrolled<(kOutputs + 1 + (kLower ? 1 : 0)) / 2>([&](auto i) PROTOLITH_LAMBDA {
        constexpr int kRow = 2 * decltype(i)::value - (kLower ? 1 : 0);
        ChannelVector largest = best[kRow < 0 ? 0 : kRow];
        if constexpr (kRow >= 0 && kRow + 1 < kOutputs) lead(largest, best[kRow + 1]);
        largest = relu(d, hn::Add(largest, hn::LoadU(d, shift + k)));
        float* const target = y + (i * windows + window) * filters + k;
        if constexpr (kRow < 0) lead(largest, hn::LoadU(d, target));
        hn::StoreU(largest, d, target);
      });
    }
  }
}

/// One row of tiles for inference.
HWY_INLINE void activate_tile_row(const ForwardArguments& a, const ForwardMemory& memory, bool pool,
                                  const TileRows& block, std::int64_t tile_row) {
  const TileGrid& grid = a.plan.grid;
  const std::int64_t in_image = grid.in_image(tile_row);
  const std::int64_t row = grid.rows.start(in_image);
  const std::int64_t step = pool ? 2 : 1;
  const std::int64_t width = a.e.width / step;
  float* const y =
      a.y + (grid.image(tile_row) * (a.e.height / step) + row / step) * width * a.e.filters;
  const float* const strip = memory.output_strips.at(tile_row - block.first, 0);
  with_outputs(grid.rows.outputs(in_image), [&](auto m) PROTOLITH_LAMBDA {
    if (!pool) {
      activate_rows<m>(strip, a.plan.stride, width, a.e.filters, a.shift, y);
    } else if (row % 2 == 0) {
      pool_rows<m, false>(strip, a.plan.stride, width, a.e.filters, a.shift, y);
    } else {
      pool_rows<m, true>(strip, a.plan.stride, width, a.e.filters, a.shift, y);
    }
  });
}

void inference_images(const ForwardArguments& a, const ForwardMemory& memory, bool pool,
                      std::int64_t begin, std::int64_t end) {
  for_blocks(a, memory, begin, end, [&](const TileRows& block) PROTOLITH_LAMBDA {
    for (std::int64_t tile_row = block.first; tile_row < block.end; ++tile_row) {
      activate_tile_row(a, memory, pool, block, tile_row);
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
  return plan.parts().workers() * plan.floats();
}

/// Calls f(begin, end, memory, part) for the images of each part.
template <class F>
void for_parts(const ForwardPlan& plan, float* scratch, const F& f) {
  parallel_parts(plan.parts(), [&](std::int64_t begin, std::int64_t end, int part, int worker) {
    f(begin, end, ForwardMemory(plan, scratch + worker * plan.floats()), part);
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
  const ForwardArguments arguments{
      x, filters, nullptr, y, e, ForwardPlan(e), is_streamed(y, e.pixels() * e.filters)};
  const auto parts = static_cast<std::size_t>(arguments.plan.parts().count());
  std::vector<ChannelMoments> moments(parts, ChannelMoments(e.filters));
  for_parts(arguments.plan, scratch,
            [&](std::int64_t begin, std::int64_t end, const ForwardMemory& memory, int part) {
              HWY_DYNAMIC_DISPATCH(training_images)
              (arguments, memory, begin, end, moments[static_cast<std::size_t>(part)]);
            });
  for (std::size_t part = 1; part < parts; ++part) moments[0].merge(moments[part]);
  moments[0].store(mean, variance);
}

void winograd_inference(const float* x, const float* filters, const float* shift, bool pool,
                        float* y, const ConvolutionExtents& e, float* scratch) {
  const ForwardArguments arguments{x, filters, shift, y, e, inference_plan(e, pool), false};
  for_parts(arguments.plan, scratch,
            [&](std::int64_t begin, std::int64_t end, const ForwardMemory& memory, int) {
              HWY_DYNAMIC_DISPATCH(inference_images)(arguments, memory, pool, begin, end);
            });
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
