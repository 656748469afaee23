// A block of tiles' inputs in Winograd's domain, once per instruction set: what the forward pass
// multiplies by the filters and the backward pass by the gradients of the outputs.
// A row of tiles goes first along the rows of the image, for all its columns at once, into strips;
// then, for one row of planes at a time, tile by tile along the columns. So the columns that two
// neighbours share are transformed once, and all memory but the planes is read and written in
// order.
#if defined(PROTOLITH_KERNELS_CPU_WINOGRAD_INPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PROTOLITH_KERNELS_CPU_WINOGRAD_INPUT_INL_H_
#undef PROTOLITH_KERNELS_CPU_WINOGRAD_INPUT_INL_H_
#else
#define PROTOLITH_KERNELS_CPU_WINOGRAD_INPUT_INL_H_
#endif

#include <algorithm>
#include <array>

#include "hwy/highway.h"
#include "kernels/cpu/winograd_strip.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/winograd_transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {

/// Along the rows: `elements` of kOutputs + 2 strips, `stride` apart, from those of as many rows.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void transform_input_rows(const float* const* rows, std::int64_t elements,
                                                  float* HWY_RESTRICT strip, std::int64_t stride) {
  const ChannelTag d;
  constexpr int kPoints = kOutputs + 2;
  for (std::int64_t at = 0; at < elements; at += static_cast<std::int64_t>(hn::Lanes(d))) {
    ChannelVector in[kPoints];
    ChannelVector out[kPoints];
    unrolled<kPoints>([&](auto i) PROTOLITH_LAMBDA { in[i] = hn::LoadU(d, rows[i] + at); });
    transform<InputTransform<kOutputs>>(d, in, out);
    unrolled<kPoints>([&](auto i)
                          PROTOLITH_LAMBDA { hn::StoreU(out[i], d, strip + i * stride + at); });
  }
}

/// B^T d along the rows of the patches d of x [N,H,W,C] around the tiles of a block. zeros: W * C
/// of them, a row of pixels outside the images.
HWY_INLINE void input_strips(const float* x, const TileGrid& grid, const TileRows& block,
                             const float* zeros, const Strips& strips) {
  const std::int64_t channels = strips.channels();
  const std::int64_t columns = Strips::input_columns(grid);
  const std::int64_t width = std::min(grid.width, columns - 1);
  for (std::int64_t tile_row = block.first; tile_row < block.end; ++tile_row) {
    const std::int64_t in_image = grid.in_image(tile_row);
    const int outputs = grid.rows.outputs(in_image);
    std::array<const float*, kMaxPatchSide> rows;
    for (int i = 0; i < outputs + 2; ++i) {
      const std::int64_t row = grid.rows.start(in_image) - 1 + i;
      const bool inside = row >= 0 && row < grid.height;
      const std::int64_t pixel = (grid.image(tile_row) * grid.height + row) * grid.width;
      rows[static_cast<std::size_t>(i)] = inside ? x + pixel * channels : zeros;
      float* const strip = strips.at(tile_row - block.first, i);
      std::fill_n(strip, channels, 0.0F);
      std::fill_n(strip + (width + 1) * channels, (columns - width - 1) * channels, 0.0F);
    }
    with_outputs(outputs, [&](auto m) PROTOLITH_LAMBDA {
      transform_input_rows<m>(rows.data(), width * channels,
                              strips.at(tile_row - block.first, 0) + channels, strips.stride());
    });
  }
}

/// Calls f(m, row, tile, planes) for the tiles of a block that have point i: m is the number of
/// their outputs along the columns, an integral constant; `row` counts the block's rows of tiles.
template <class F>
HWY_INLINE void for_tiles_with_point(const TileGrid& grid, const TileRows& block, int i,
                                     const PlaneRow& planes, const F& f) {
  std::int64_t before = 0;
  for (std::int64_t row = 0; row < block.end - block.first; ++row) {
    if (i >= grid.rows.outputs(grid.in_image(block.first + row)) + 2) continue;
    const TileRowPlanes row_planes(planes, grid, before++);
    for (std::int64_t tile = 0; tile < grid.columns.tiles(); ++tile) {
      with_outputs(grid.columns.outputs(tile),
                   [&](auto m) PROTOLITH_LAMBDA { f(m, row, tile, row_planes); });
    }
  }
}

/// Along the columns: the elements of one tile, whose part of the strip begins at `strip`, to
/// `offset` in its planes.
template <class Transform>
PROTOLITH_TILE_FUNCTION void transform_columns(const float* HWY_RESTRICT strip,
                                               std::int64_t channels, const TileRowPlanes& planes,
                                               std::int64_t offset) {
  const ChannelTag d;
  constexpr int kInputs = Folded<Transform>::kColumns;
  constexpr int kPoints = Folded<Transform>::kRows;
  for (std::int64_t c = 0; c < channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
    ChannelVector in[kInputs];
    ChannelVector out[kPoints];
    unrolled<kInputs>([&](auto j)
                          PROTOLITH_LAMBDA { in[j] = hn::LoadU(d, strip + j * channels + c); });
    transform<Transform>(d, in, out);
    unrolled<kPoints>([&](auto j)
                          PROTOLITH_LAMBDA { hn::StoreU(out[j], d, planes(j) + offset + c); });
  }
}

/// planes (i, 0 ... 8) of a block from its strips: Transform<m> along the columns, m outputs.
template <template <int> class Transform>
HWY_INLINE void strips_to_planes(const Strips& strips, const TileGrid& grid, const TileRows& block,
                                 int i, const PlaneRow& planes) {
  const std::int64_t channels = strips.channels();
  for_tiles_with_point(
      grid, block, i, planes,
      [&](auto m, std::int64_t row, std::int64_t tile, const TileRowPlanes& targets)
          PROTOLITH_LAMBDA {
            transform_columns<Transform<m>>(strips.at(row, i) + grid.columns.start(tile) * channels,
                                            channels, targets, tile * channels);
          });
}

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
