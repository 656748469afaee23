// A block of tiles' inputs in Winograd's domain, once per instruction set: what the forward pass
// multiplies by the filters and the backward pass by the gradients of the outputs.
// A row of tiles goes first along the rows of the image, for all its columns at once, into a strip
// of memory that stays in the L1 cache; then tile by tile along the columns. So the columns that
// two neighbours share are transformed once.
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

/// Along the rows: strip [points, 1 ... width] from the first `width` pixels of rows, each with C
/// channels.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void transform_input_rows(const float* const* rows, std::int64_t channels,
                                                  std::int64_t width, const Strip& strip) {
  const ChannelTag d;
  constexpr int kPoints = kOutputs + 2;
  for (std::int64_t column = 0; column < width; ++column) {
    ChannelVector in[kPoints];
    ChannelVector out[kPoints];
    unrolled<kPoints>([&](auto i)
                          PROTOLITH_LAMBDA { in[i] = hn::LoadU(d, rows[i] + column * channels); });
    transform<InputTransform<kOutputs>>(d, in, out);
    unrolled<kPoints>([&](auto i)
                          PROTOLITH_LAMBDA { hn::StoreU(out[i], d, strip.at(i, column + 1)); });
  }
}

/// Along the columns: one tile's elements, to `offset` in its planes, from its part of the strip.
template <int kOutputs>
PROTOLITH_TILE_FUNCTION void transform_input_columns(const Strip& strip, std::int64_t first,
                                                     int points, const TileRowPlanes& planes,
                                                     std::int64_t offset) {
  const ChannelTag d;
  constexpr int kPoints = kOutputs + 2;
  for (int i = 0; i < points; ++i) {
    ChannelVector in[kPoints];
    ChannelVector out[kPoints];
    unrolled<kPoints>([&](auto j)
                          PROTOLITH_LAMBDA { in[j] = hn::LoadU(d, strip.at(i, first + j)); });
    transform<InputTransform<kOutputs>>(d, in, out);
    unrolled<kPoints>([&](auto j)
                          PROTOLITH_LAMBDA { hn::StoreU(out[j], d, planes(i, j) + offset); });
  }
}

/// planes (`layout`): B^T d B of the patches d of x [N,H,W,C] around the tiles of a block. zeros:
/// W * C of them, a row of pixels outside the images.
HWY_INLINE void transform_inputs(const float* x, const TileGrid& grid, const TileRows& block,
                                 const PlaneLayout& layout, const float* zeros, const Strip& strip,
                                 float* planes) {
  const ChannelTag d;
  const std::int64_t channels = layout.channels();
  const std::int64_t columns = Strip::input_columns(grid);
  const std::int64_t width = std::min(grid.width, columns - 1);
  for (std::int64_t tile_row = block.first; tile_row < block.end; ++tile_row) {
    const TileRowPlanes targets(grid, layout, block, tile_row, planes);
    const std::int64_t in_image = grid.in_image(tile_row);
    const int outputs = grid.rows.outputs(in_image);
    std::array<const float*, kMaxPatchSide> rows;
    for (std::int64_t c = 0; c < channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
      for (int i = 0; i < outputs + 2; ++i) {
        const std::int64_t row = grid.rows.start(in_image) - 1 + i;
        const bool inside = row >= 0 && row < grid.height;
        const std::int64_t pixel = (grid.image(tile_row) * grid.height + row) * grid.width;
        rows[static_cast<std::size_t>(i)] = (inside ? x + pixel * channels : zeros) + c;
        hn::StoreU(hn::Zero(d), d, strip.at(i, 0));
        for (std::int64_t column = width + 1; column < columns; ++column) {
          hn::StoreU(hn::Zero(d), d, strip.at(i, column));
        }
      }
      with_outputs(outputs, [&](auto m) PROTOLITH_LAMBDA {
        transform_input_rows<m>(rows.data(), channels, width, strip);
      });
      for (std::int64_t tile = 0; tile < grid.columns.tiles(); ++tile) {
        with_outputs(grid.columns.outputs(tile), [&](auto m) PROTOLITH_LAMBDA {
          transform_input_columns<m>(strip, grid.columns.start(tile), outputs + 2, targets,
                                     tile * channels + c);
        });
      }
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
