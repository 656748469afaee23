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

/// Tiles that go through the pass together: enough that reading the filters and adding to their
/// gradients costs little, few enough that their planes stay in an L2 cache.
constexpr std::int64_t kBackwardTiles = 24;

/// How the pass divides its work and each thread's memory.
struct BackwardPlan {
  explicit BackwardPlan(const ConvolutionExtents& e)
      : grid(e),
        block_rows(grid.block_rows(kBackwardTiles)),
        input_layout(grid, block_rows, e.channels),
        gradient_layout(grid, block_rows, e.filters) {}
  /// Of scratch memory for one thread, its filters' gradients not counted.
  std::int64_t floats() const {
    return input_layout.floats() + gradient_layout.floats() + zeros() +
           Strip::floats(Strip::input_columns(grid));
  }
  std::int64_t zeros() const { return grid.width * input_layout.channels(); }

  TileGrid grid;
  std::int64_t block_rows;
  PlaneLayout input_layout, gradient_layout;
};

/// What one thread works with, laid out in its share of the scratch memory.
struct BackwardMemory {
  BackwardMemory(const BackwardPlan& plan, float* scratch)
      : inputs(scratch),
        gradients(inputs + plan.input_layout.floats()),
        zeros(gradients + plan.gradient_layout.floats()),
        strip(zeros + plan.zeros(), Strip::input_columns(plan.grid)) {}

  float* inputs;     ///< V, and then P in its place
  float* gradients;  ///< D
  float* zeros;      ///< a row of pixels outside the images
  Strip strip;
};

}  // namespace
}  // namespace protolith::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

/// The gradient of the convolution's output, and its place: a row of tiles of one image, for the
/// vector of filters at k.
struct RowGradient {
  const WinogradBackward& in;
  const DataGradient& gradient;
  const ConvolutionExtents& e;
  std::int64_t image, row;  ///< of the tiles' first outputs
  std::int64_t k;

  /// dz of the first kOutputs rows at one column; with a pool before what comes through the
  /// winners, which add_pool() adds.
  template <int kOutputs, bool kPool>
  HWY_INLINE void column(std::int64_t column, ChannelVector* dz) const {
    const ChannelTag d;
    const std::int64_t first = ((image * e.height + row) * e.width + column) * e.filters + k;
    unrolled<kOutputs>([&](auto i) PROTOLITH_LAMBDA {
      const std::int64_t at = first + i * e.width * e.filters;
      const ChannelVector z = hn::LoadU(d, in.z + at);
      if constexpr (kPool) {
        dz[i] = gradient.base(d, z, k);
      } else {
        const ChannelVector g = relu_gradient(d, hn::LoadU(d, in.y + at), hn::LoadU(d, in.dy + at));
        dz[i] = gradient(d, z, g, k);
      }
    });
  }
  /// Adds to two neighbouring columns what comes through the winners of the windows in them. The
  /// first row is a window's lower one if kLower.
  template <int kOutputs, bool kLower>
  HWY_INLINE void add_pool(std::int64_t column, ChannelVector* left, ChannelVector* right) const {
    const ChannelTag d;
    using Winner = WinnerBytes<ChannelTag>;
    const std::int64_t width = e.width / 2;
    const std::int64_t first =
        ((image * (e.height / 2) + row / 2) * width + column / 2) * e.filters + k;
    const ChannelVector factor = hn::LoadU(d, gradient.factor + k);
    const std::int64_t windows = e.height / 2 - row / 2;
    unrolled<(kOutputs + 1 + (kLower ? 1 : 0)) / 2>([&](auto p) PROTOLITH_LAMBDA {
      if (p >= windows) return;
      constexpr int kUpperRow = 2 * decltype(p)::value - (kLower ? 1 : 0);
      const std::int64_t at = first + p * width * e.filters;
      const ChannelVector g =
          hn::Mul(factor, relu_gradient(d, hn::LoadU(d, in.y + at), hn::LoadU(d, in.dy + at)));
      const auto places = Winner::load(in.winner + at);
      const auto add = [&](auto r, int place) PROTOLITH_LAMBDA {
        if constexpr (r >= 0 && r < kOutputs) {
          left[r] = hn::Add(left[r], Winner::gradient_at(place, places, g));
          right[r] = hn::Add(right[r], Winner::gradient_at(place + 1, places, g));
        }
      };
      add(std::integral_constant<int, kUpperRow>(), 0);
      add(std::integral_constant<int, kUpperRow + 1>(), 2);
    });
  }
};

/// Along the rows: strip [points, width] = A dz. kLower: see add_pool().
template <int kOutputs, bool kLower>
PROTOLITH_TILE_FUNCTION void transform_gradient_rows(const RowGradient& row, const Strip& strip) {
  const ChannelTag d;
  const auto store = [&](std::int64_t column, const ChannelVector* dz) PROTOLITH_LAMBDA {
    ChannelVector out[kOutputs + 2];
    transform<OutputAdjoint<kOutputs>>(d, dz, out);
    unrolled<kOutputs + 2>([&](auto i)
                               PROTOLITH_LAMBDA { hn::StoreU(out[i], d, strip.at(i, column)); });
  };
  ChannelVector dz[2][kOutputs];
  if (row.in.winner == nullptr) {
    for (std::int64_t column = 0; column < row.e.width; ++column) {
      row.template column<kOutputs, false>(column, dz[0]);
      store(column, dz[0]);
    }
    return;
  }
  std::int64_t column = 0;
  for (; column + 2 <= row.e.width; column += 2) {
    row.template column<kOutputs, true>(column, dz[0]);
    row.template column<kOutputs, true>(column + 1, dz[1]);
    row.template add_pool<kOutputs, kLower>(column, dz[0], dz[1]);
    store(column, dz[0]);
    store(column + 1, dz[1]);
  }
  if (column < row.e.width) {
    row.template column<kOutputs, true>(column, dz[0]);
    store(column, dz[0]);
  }
}

/// Along the columns: one tile's elements, to `offset` in its planes.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void transform_gradient_columns(const Strip& strip, std::int64_t first,
                                                        int points, const TileRowPlanes& planes,
                                                        std::int64_t offset) {
  const ChannelTag d;
  for (int i = 0; i < points; ++i) {
    ChannelVector in[kOutputs];
    ChannelVector out[kOutputs + 2];
    unrolled<kOutputs>([&](auto j)
                           PROTOLITH_LAMBDA { in[j] = hn::LoadU(d, strip.at(i, first + j)); });
    transform<OutputAdjoint<kOutputs>>(d, in, out);
    unrolled<kOutputs + 2>([&](auto j)
                               PROTOLITH_LAMBDA { hn::StoreU(out[j], d, planes(i, j) + offset); });
  }
}

/// What a thread needs for its images.
struct BackwardTask {
  const WinogradBackward& in;
  const DataGradient gradient;
  const ConvolutionExtents& e;
  const BackwardPlan& plan;
  const BackwardMemory memory;
};

/// memory.gradients: D = A dz A^T of a block.
HWY_INLINE void transform_gradients(const BackwardTask& task, const TileRows& block) {
  const ChannelTag d;
  const TileGrid& grid = task.plan.grid;
  const Strip& strip = task.memory.strip;
  for (std::int64_t tile_row = block.first; tile_row < block.end; ++tile_row) {
    const TileRowPlanes targets(grid, task.plan.gradient_layout, block, tile_row,
                                task.memory.gradients);
    const std::int64_t in_image = grid.in_image(tile_row);
    const int outputs = grid.rows.outputs(in_image);
    for (std::int64_t k = 0; k < task.e.filters; k += static_cast<std::int64_t>(hn::Lanes(d))) {
      const RowGradient row{
          task.in, task.gradient, task.e, grid.image(tile_row), grid.rows.start(in_image), k};
      with_outputs(outputs, [&](auto m) PROTOLITH_LAMBDA {
        if (row.row % 2 == 0) {
          transform_gradient_rows<m, false>(row, strip);
        } else {
          transform_gradient_rows<m, true>(row, strip);
        }
      });
      for (std::int64_t tile = 0; tile < grid.columns.tiles(); ++tile) {
        with_outputs(grid.columns.outputs(tile), [&](auto m) PROTOLITH_LAMBDA {
          transform_gradient_columns<m>(strip, grid.columns.start(tile), outputs + 2, targets,
                                        tile * task.e.filters + k);
        });
      }
    }
  }
}

/// Along the columns: strip [points, first ...] += B of one tile's elements. The tile before has
/// written its first two columns, unless it is the first.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void add_input_columns(const TileRowPlanes& planes, std::int64_t offset,
                                               int points, const Strip& strip, std::int64_t first) {
  const ChannelTag d;
  for (int i = 0; i < points; ++i) {
    ChannelVector in[kOutputs + 2];
    ChannelVector out[kOutputs + 2];
    unrolled<kOutputs + 2>([&](auto j)
                               PROTOLITH_LAMBDA { in[j] = hn::LoadU(d, planes(i, j) + offset); });
    transform<InputAdjoint<kOutputs>>(d, in, out);
    if (first > 0) {
      unrolled<2>([&](auto j) PROTOLITH_LAMBDA {
        out[j] = hn::Add(out[j], hn::LoadU(d, strip.at(i, first + j)));
      });
    }
    unrolled<kOutputs + 2>([&](auto j)
                               PROTOLITH_LAMBDA { hn::StoreU(out[j], d, strip.at(i, first + j)); });
  }
}

/// Along the rows: dx of the rows of pixels around a row of tiles; rows outside the image are null.
/// The row of tiles before has written the first two, unless it is the image's first.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void add_input_rows(const Strip& strip, bool add, float* const* rows,
                                            std::int64_t channels, std::int64_t width) {
  const ChannelTag d;
  for (std::int64_t column = 0; column < width; ++column) {
    ChannelVector in[kOutputs + 2];
    ChannelVector out[kOutputs + 2];
    unrolled<kOutputs + 2>([&](auto i)
                               PROTOLITH_LAMBDA { in[i] = hn::LoadU(d, strip.at(i, column + 1)); });
    transform<InputAdjoint<kOutputs>>(d, in, out);
    const std::int64_t at = column * channels;
    if (add) {
      unrolled<2>([&](auto i)
                      PROTOLITH_LAMBDA { out[i] = hn::Add(out[i], hn::LoadU(d, rows[i] + at)); });
    }
    unrolled<kOutputs + 2>([&](auto i) PROTOLITH_LAMBDA {
      if (rows[i] != nullptr) hn::StoreU(out[i], d, rows[i] + at);
    });
  }
}

/// dx += B P B^T on the patches of a block. Rows of tiles come in order, so that a pixel is first
/// written by the first whose patches hold it: dx needs no zeros beforehand.
HWY_INLINE void add_input_gradients(const BackwardTask& task, const TileRows& block, float* dx) {
  const ChannelTag d;
  const TileGrid& grid = task.plan.grid;
  const Strip& strip = task.memory.strip;
  const ConvolutionExtents& e = task.e;
  for (std::int64_t tile_row = block.first; tile_row < block.end; ++tile_row) {
    const TileRowPlanes products(grid, task.plan.input_layout, block, tile_row, task.memory.inputs);
    const std::int64_t in_image = grid.in_image(tile_row);
    const int outputs = grid.rows.outputs(in_image);
    std::array<float*, kMaxPatchSide> rows{};
    for (std::int64_t c = 0; c < e.channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
      for (std::int64_t tile = 0; tile < grid.columns.tiles(); ++tile) {
        with_outputs(grid.columns.outputs(tile), [&](auto m) PROTOLITH_LAMBDA {
          add_input_columns<m>(products, tile * e.channels + c, outputs + 2, strip,
                               grid.columns.start(tile));
        });
      }
      for (int i = 0; i < outputs + 2; ++i) {
        const std::int64_t row = grid.rows.start(in_image) - 1 + i;
        const std::int64_t pixel = (grid.image(tile_row) * e.height + row) * e.width;
        rows[static_cast<std::size_t>(i)] =
            row >= 0 && row < e.height ? dx + pixel * e.channels + c : nullptr;
      }
      with_outputs(outputs, [&](auto m) PROTOLITH_LAMBDA {
        add_input_rows<m>(strip, in_image > 0, rows.data(), e.channels, e.width);
      });
    }
  }
}

/// Images [begin, end): their dx (unless null), and dfilters [81,K,C] of all of them, in the planes
/// that the grid has.
void backward_images(const WinogradBackward& in, const DataGradientCoefficients& coefficients,
                     const ConvolutionExtents& e, const BackwardPlan& plan, std::int64_t begin,
                     std::int64_t end, float* scratch, float* dfilters, float* dx) {
  const BackwardTask task{
      in,
      {in.mean, coefficients.factor(), coefficients.slope(), coefficients.offset()},
      e,
      plan,
      BackwardMemory(plan, scratch)};
  const std::int64_t stride = winograd_filter_stride(e.filters, e.channels);
  std::fill_n(task.memory.zeros, plan.zeros(), 0.0F);
  for (int plane = 0; plane < kPlanes; ++plane) {
    if (plan.grid.planes().has(plane)) {
      std::fill_n(dfilters + plane * stride, e.filters * e.channels, 0.0F);
    }
  }
  const std::int64_t last = end * plan.grid.rows.tiles();
  for (std::int64_t first = begin * plan.grid.rows.tiles(); first < last;
       first += plan.block_rows) {
    const TileRows block{first, std::min(first + plan.block_rows, last)};
    transform_inputs(in.x, plan.grid, block, plan.input_layout, task.memory.zeros,
                     task.memory.strip, task.memory.inputs);
    transform_gradients(task, block);
    for (int plane = 0; plane < kPlanes; ++plane) {
      const std::int64_t tiles =
          plan.grid.tiles(block, plane / kMaxPatchSide, plane % kMaxPatchSide);
      if (tiles == 0) continue;
      const float* const gradients = task.memory.gradients + plan.gradient_layout.offset(plane);
      float* const inputs = task.memory.inputs + plan.input_layout.offset(plane);
      accumulate_outer_products(gradients, e.filters, inputs, e.channels, tiles,
                                dfilters + plane * stride);
      if (dx == nullptr) continue;
      multiply_tiles(gradients, tiles, e.filters, in.filters + plane * stride, e.channels, inputs);
    }
    if (dx != nullptr) add_input_gradients(task, block, dx);
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
         (BackwardPlan(e).floats() + winograd_filter_elements(e.filters, e.channels));
}

void winograd_backward(const WinogradBackward& inputs, float* dweight, float* dx,
                       const ConvolutionExtents& e, float* scratch) {
  const DataGradientCoefficients coefficients(inputs.gamma, inputs.inv_std, inputs.dgamma,
                                              inputs.dbeta, e.pixels(), e.filters);
  const BackwardPlan plan(e);
  const int ranges = range_count(e.images, 1);
  const std::int64_t filters = winograd_filter_elements(e.filters, e.channels);
  float* const dfilters = scratch + ranges * plan.floats();
  parallel_ranges(e.images, 1, [&](std::int64_t begin, std::int64_t end, int range) {
    HWY_DYNAMIC_DISPATCH(backward_images)
    (inputs, coefficients, e, plan, begin, end, scratch + range * plan.floats(),
     dfilters + range * filters, dx);
  });
  winograd_filter_gradient(dfilters, ranges, plan.grid.planes(), dweight, e.filters, e.channels);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
