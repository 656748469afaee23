#include "kernels/cpu/winograd_backward.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/winograd_backward.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/channel_sums-inl.h"
#include "kernels/cpu/channel_sums.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/pool_window-inl.h"
#include "kernels/cpu/streamed.h"
#include "kernels/cpu/winograd_filter.h"
#include "kernels/cpu/winograd_gemm-inl.h"
#include "kernels/cpu/winograd_input-inl.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/winograd_transform-inl.h"

#ifndef PROTOLITH_KERNELS_CPU_WINOGRAD_BACKWARD_ONCE
#define PROTOLITH_KERNELS_CPU_WINOGRAD_BACKWARD_ONCE
namespace protolith::cpu {
namespace {

/// How the pass divides its work and each thread's memory.
struct BackwardPlan {
  explicit BackwardPlan(const ConvolutionExtents& e)
      : grid(e),
        channels(e.channels),
        filters(e.filters),
        input_stride(Strips::stride_for(Strips::input_columns(grid), channels)),
        gradient_stride(Strips::stride_for(Strips::output_columns(grid), filters)) {}
  /// Of scratch memory for one thread.
  std::int64_t floats() const {
    return Strips::floats(grid, input_stride) + Strips::floats(grid, gradient_stride) +
           PlaneRow::floats(grid, channels) + PlaneRow::floats(grid, filters) + 2 * row() +
           winograd_filter_elements(filters, channels);
  }
  std::int64_t row() const { return grid.width * channels; }
  std::int64_t taps() const { return 9 * filters * channels; }
  WorkParts parts() const { return {grid.images, 1, grid.block_images()}; }

  TileGrid grid;
  std::int64_t channels, filters, input_stride, gradient_stride;
};

/// What one thread works with, laid out in its share of the scratch memory.
struct BackwardMemory {
  BackwardMemory(const BackwardPlan& plan, float* scratch)
      : input_strips(scratch, plan.grid, plan.input_stride, plan.channels),
        gradient_strips(scratch += Strips::floats(plan.grid, plan.input_stride), plan.grid,
                        plan.gradient_stride, plan.filters),
        inputs(scratch += Strips::floats(plan.grid, plan.gradient_stride), plan.grid,
               plan.channels),
        gradients(scratch += PlaneRow::floats(plan.grid, plan.channels), plan.grid, plan.filters),
        zeros(scratch += PlaneRow::floats(plan.grid, plan.filters)),
        outside(scratch += plan.row()),
        dfilters(scratch += plan.row()) {}

  Strips input_strips;  ///< of x, and then of dx in their place
  Strips gradient_strips;
  PlaneRow inputs;     ///< V, and then P in its place
  PlaneRow gradients;  ///< D
  float* zeros;        ///< a row of pixels outside the images
  float* outside;      ///< takes dx of such a row
  float* dfilters;     ///< [81,K,C] with gaps: of a part of the images
};

}  // namespace
}  // namespace protolith::cpu
#endif  // once

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

/// The gradient of the convolution's output in a row of tiles of one image.
struct RowGradient {
  const WinogradBackward& in;
  const DataGradient& gradient;
  const ConvolutionExtents& e;
  std::int64_t image, row;  ///< of the tiles' first outputs

  /// dz of the first kOutputs rows at one column, for the vector of filters at k; with a pool
  /// before what comes through the winners, which add_pool() adds.
  template <int kOutputs, bool kPool>
  HWY_INLINE void column(std::int64_t column, std::int64_t k, ChannelVector* dz) const {
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
  HWY_INLINE void add_pool(std::int64_t column, std::int64_t k, ChannelVector* left,
                           ChannelVector* right) const {
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
      const auto add = [&](auto r, std::uint8_t place) PROTOLITH_LAMBDA {
        if constexpr (r >= 0 && r < kOutputs) {
          left[r] = hn::Add(left[r], Winner::gradient_at(place, places, g));
          right[r] = hn::Add(right[r],
                             Winner::gradient_at(static_cast<std::uint8_t>(place + 1), places, g));
        }
      };
      add(std::integral_constant<int, kUpperRow>(), 0);
      add(std::integral_constant<int, kUpperRow + 1>(), 2);
    });
  }
};

/// Along the rows: strips of A dz. kLower: see add_pool().
template <int kOutputs, bool kLower>
PROTOLITH_TILE_FUNCTION void transform_gradient_rows(const RowGradient& row,
                                                     float* HWY_RESTRICT strip,
                                                     std::int64_t stride) {
  const ChannelTag d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const std::int64_t filters = row.e.filters;
  const std::int64_t width = row.e.width;
  const auto store = [&](std::int64_t column, std::int64_t k, const ChannelVector* dz)
                         PROTOLITH_LAMBDA {
                           ChannelVector out[kOutputs + 2];
                           transform<OutputAdjoint<kOutputs>>(d, dz, out);
                           float* const target = strip + column * filters + k;
                           unrolled<kOutputs + 2>([&](auto i) PROTOLITH_LAMBDA {
                             hn::StoreU(out[i], d, target + i * stride);
                           });
                         };
  ChannelVector dz[2][kOutputs];
  if (row.in.winner == nullptr) {
    for (std::int64_t column = 0; column < width; ++column) {
      for (std::int64_t k = 0; k < filters; k += lanes) {
        row.template column<kOutputs, false>(column, k, dz[0]);
        store(column, k, dz[0]);
      }
    }
    return;
  }
  std::int64_t column = 0;
  for (; column + 2 <= width; column += 2) {
    for (std::int64_t k = 0; k < filters; k += lanes) {
      row.template column<kOutputs, true>(column, k, dz[0]);
      row.template column<kOutputs, true>(column + 1, k, dz[1]);
      row.template add_pool<kOutputs, kLower>(column, k, dz[0], dz[1]);
      store(column, k, dz[0]);
      store(column + 1, k, dz[1]);
    }
  }
  if (column == width) return;
  for (std::int64_t k = 0; k < filters; k += lanes) {
    row.template column<kOutputs, true>(column, k, dz[0]);
    store(column, k, dz[0]);
  }
}

/// What a thread needs for its images.
struct BackwardTask {
  const WinogradBackward& in;
  const DataGradient gradient;
  const ConvolutionExtents& e;
  const BackwardPlan& plan;
  const BackwardMemory& memory;
  const bool streamed;  ///< dx
};

/// memory.gradient_strips: A dz of a block.
HWY_INLINE void gradient_strips(const BackwardTask& task, const TileRows& block) {
  const TileGrid& grid = task.plan.grid;
  const Strips& strips = task.memory.gradient_strips;
  for (std::int64_t tile_row = block.first; tile_row < block.end; ++tile_row) {
    const std::int64_t in_image = grid.in_image(tile_row);
    const RowGradient row{task.in, task.gradient, task.e, grid.image(tile_row),
                          grid.rows.start(in_image)};
    float* const strip = strips.at(tile_row - block.first, 0);
    with_outputs(grid.rows.outputs(in_image), [&](auto m) PROTOLITH_LAMBDA {
      if (row.row % 2 == 0) {
        transform_gradient_rows<m, false>(row, strip, strips.stride());
      } else {
        transform_gradient_rows<m, true>(row, strip, strips.stride());
      }
    });
  }
}

/// Along the columns: the part of a strip around one tile (+)= B of its elements. The tile before
/// has written the first two columns, unless it is the first.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void add_input_columns(const TileRowPlanes& planes, std::int64_t offset,
                                               std::int64_t channels, bool add,
                                               float* HWY_RESTRICT strip) {
  const ChannelTag d;
  for (std::int64_t c = 0; c < channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
    ChannelVector in[kOutputs + 2];
    ChannelVector out[kOutputs + 2];
    unrolled<kOutputs + 2>([&](auto j)
                               PROTOLITH_LAMBDA { in[j] = hn::LoadU(d, planes(j) + offset + c); });
    transform<InputAdjoint<kOutputs>>(d, in, out);
    if (add) {
      unrolled<2>([&](auto j) PROTOLITH_LAMBDA {
        out[j] = hn::Add(out[j], hn::LoadU(d, strip + j * channels + c));
      });
    }
    unrolled<kOutputs + 2>(
        [&](auto j) PROTOLITH_LAMBDA { hn::StoreU(out[j], d, strip + j * channels + c); });
  }
}

/// memory.input_strips i: B P along the columns of the products P in the planes of i.
HWY_INLINE void planes_to_input_strips(const BackwardTask& task, const TileRows& block, int i) {
  const TileGrid& grid = task.plan.grid;
  const Strips& strips = task.memory.input_strips;
  const std::int64_t channels = strips.channels();
  for_tiles_with_point(
      grid, block, i, task.memory.inputs,
      [&](auto m, std::int64_t row, std::int64_t tile, const TileRowPlanes& products)
          PROTOLITH_LAMBDA {
            add_input_columns<m>(products, tile * channels, channels, tile > 0,
                                 strips.at(row, i) + grid.columns.start(tile) * channels);
          });
}

/// Along the rows: `elements` of dx in the rows of pixels around a row of tiles. The row of tiles
/// before has written the first two (`add`), unless it is the image's first. The next one reads the
/// last two: they are never streamed.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void add_input_rows(const float* HWY_RESTRICT strip, std::int64_t stride,
                                            bool add, float* const* rows, std::int64_t elements,
                                            bool streamed) {
  const ChannelTag d;
  for (std::int64_t at = 0; at < elements; at += static_cast<std::int64_t>(hn::Lanes(d))) {
    ChannelVector in[kOutputs + 2];
    ChannelVector out[kOutputs + 2];
    unrolled<kOutputs + 2>([&](auto i)
                               PROTOLITH_LAMBDA { in[i] = hn::LoadU(d, strip + i * stride + at); });
    transform<InputAdjoint<kOutputs>>(d, in, out);
    if (add) {
      unrolled<2>([&](auto i)
                      PROTOLITH_LAMBDA { out[i] = hn::Add(out[i], hn::LoadU(d, rows[i] + at)); });
    }
    unrolled<kOutputs + 2>(
        [&](auto i) PROTOLITH_LAMBDA { store(out[i], d, rows[i] + at, streamed && i < kOutputs); });
  }
}

/// dx += B P B^T on the patches of a block. Rows of tiles come in order, so that a pixel is first
/// written by the first whose patches hold it: dx needs no zeros beforehand.
HWY_INLINE void input_gradients(const BackwardTask& task, const TileRows& block, float* dx) {
  const TileGrid& grid = task.plan.grid;
  const Strips& strips = task.memory.input_strips;
  const std::int64_t elements = task.plan.row();
  for (std::int64_t tile_row = block.first; tile_row < block.end; ++tile_row) {
    const std::int64_t in_image = grid.in_image(tile_row);
    const int outputs = grid.rows.outputs(in_image);
    std::array<float*, kMaxPatchSide> rows{};
    for (int i = 0; i < outputs + 2; ++i) {
      const std::int64_t row = grid.rows.start(in_image) - 1 + i;
      rows[static_cast<std::size_t>(i)] =
          row >= 0 && row < grid.height ? dx + (grid.image(tile_row) * grid.height + row) * elements
                                        : task.memory.outside;
    }
    with_outputs(outputs, [&](auto m) PROTOLITH_LAMBDA {
      add_input_rows<m>(strips.at(tile_row - block.first, 0) + strips.channels(), strips.stride(),
                        in_image > 0, rows.data(), elements, task.streamed);
    });
  }
}

/// Images [begin, end): their dx (unless null), and memory.dfilters in the planes that the grid
/// has.
void backward_images(const WinogradBackward& in, const DataGradientCoefficients& coefficients,
                     const ConvolutionExtents& e, const BackwardPlan& plan, std::int64_t begin,
                     std::int64_t end, const BackwardMemory& memory, float* dx) {
  const BackwardTask task{
      in,     {in.mean, coefficients.factor(), coefficients.slope(), coefficients.offset()},
      e,      plan,
      memory, is_streamed(dx, e.pixels() * e.channels) && is_line_aligned(memory.outside)};
  const std::int64_t stride = winograd_filter_stride(e.filters, e.channels);
  std::fill_n(task.memory.zeros, plan.row(), 0.0F);
  const TileBlocks blocks(plan.grid, begin, end);
  for (std::int64_t b = 0; b < blocks.count(); ++b) {
    const TileRows block = blocks[b];
    input_strips(in.x, plan.grid, block, task.memory.zeros, task.memory.input_strips);
    gradient_strips(task, block);
    for (int i = 0; i < plan.grid.rows.points(); ++i) {
      strips_to_planes<InputTransform>(task.memory.input_strips, plan.grid, block, i,
                                       task.memory.inputs);
      strips_to_planes<OutputAdjoint>(task.memory.gradient_strips, plan.grid, block, i,
                                      task.memory.gradients);
      for (int j = 0; j < plan.grid.columns.points(); ++j) {
        const std::int64_t plane = (i * kMaxPatchSide + j) * stride;
        const std::int64_t next = plan.grid.planes().after(i, j) * stride;
        const std::int64_t tiles = plan.grid.tiles(block, i, j);
        const float* const gradients = task.memory.gradients.plane(j);
        float* const inputs = task.memory.inputs.plane(j);
        outer_products(gradients, e.filters, inputs, e.channels, tiles, b > 0,
                       memory.dfilters + plane, memory.dfilters + next);
        if (dx == nullptr) continue;
        multiply_tiles(gradients, tiles, e.filters, in.filters + plane, in.filters + next,
                       e.channels, inputs);
      }
      if (dx != nullptr) planes_to_input_strips(task, block, i);
    }
    if (dx != nullptr) input_gradients(task, block, dx);
  }
  hwy::FlushStream();
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
  const BackwardPlan plan(e);
  const WorkParts parts = plan.parts();
  return parts.workers() * plan.floats() + parts.count() * plan.taps();
}

void winograd_backward(const WinogradBackward& inputs, float* dweight, float* dx,
                       const ConvolutionExtents& e, float* scratch) {
  const DataGradientCoefficients coefficients(inputs.gamma, inputs.inv_std, inputs.dgamma,
                                              inputs.dbeta, e.pixels(), e.filters);
  const BackwardPlan plan(e);
  const WorkParts parts = plan.parts();
  const std::int64_t taps = plan.taps();
  float* const part_sums = scratch + parts.workers() * plan.floats();
  parallel_parts(parts, [&](std::int64_t begin, std::int64_t end, int part, int worker) {
    const BackwardMemory memory(plan, scratch + worker * plan.floats());
    HWY_DYNAMIC_DISPATCH(backward_images)
    (inputs, coefficients, e, plan, begin, end, memory, dx);
    winograd_filter_gradient(memory.dfilters, plan.grid.planes(), part_sums + part * taps,
                             e.filters, e.channels);
  });
  const auto add = [&](std::int64_t begin, std::int64_t end, int) {
    std::copy(part_sums + begin, part_sums + end, dweight + begin);
    for (int part = 1; part < parts.count(); ++part) {
      for (std::int64_t i = begin; i < end; ++i) dweight[i] += part_sums[part * taps + i];
    }
  };
  parallel_ranges(taps, rows_per_range(parts.count()), add);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
