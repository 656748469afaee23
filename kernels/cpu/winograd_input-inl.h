// A block of tiles' inputs in Winograd's domain, once per instruction set: what the forward pass
// multiplies by the filters and the backward pass by the gradients of the outputs.
#if defined(PROTOLITH_KERNELS_CPU_WINOGRAD_INPUT_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PROTOLITH_KERNELS_CPU_WINOGRAD_INPUT_INL_H_
#undef PROTOLITH_KERNELS_CPU_WINOGRAD_INPUT_INL_H_
#else
#define PROTOLITH_KERNELS_CPU_WINOGRAD_INPUT_INL_H_
#endif

#include "hwy/highway.h"
#include "kernels/cpu/winograd_gemm-inl.h"
#include "kernels/cpu/winograd_tiles.h"
#include "kernels/cpu/winograd_transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {

/// planes [36][count, C], `stride` floats apart: B^T d B of the patches d of x [N,H,W,C] around
/// tiles first ... first + count - 1. zeros: C of them, what lies outside the images.
HWY_INLINE void transform_inputs(const float* x, std::int64_t channels, const TileGrid& grid,
                                 std::int64_t first, std::int64_t count, const float* zeros,
                                 float* planes, std::int64_t stride) {
  const ChannelTag d;
  for (std::int64_t t = 0; t < count; ++t) {
    const Tile tile = grid.tile(first + t);
    const float* pixels[kPlanes];
    for (int i = 0; i < kPatchSide; ++i) {
      for (int j = 0; j < kPatchSide; ++j) {
        const bool inside = grid.has_row(tile, i) && grid.has_column(tile, j);
        pixels[i * kPatchSide + j] = inside ? x + grid.patch_pixel(tile, i, j) * channels : zeros;
      }
    }
    float* const target = planes + t * channels;
    for (std::int64_t c = 0; c < channels; c += static_cast<std::int64_t>(hn::Lanes(d))) {
      transform_square<InputTransform>(
          d,
          [&](auto i, auto j)
              PROTOLITH_LAMBDA { return hn::LoadU(d, pixels[i * kPatchSide + j] + c); },
          [&](auto i, auto j, auto v)
              PROTOLITH_LAMBDA { hn::StoreU(v, d, target + (i * kPatchSide + j) * stride + c); });
    }
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
