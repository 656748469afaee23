// What the headers of kernels/cpu state of their bytes and operations, counted by hand.
#include <doctest/doctest.h>

#include "kernels/cpu/batch_norm_relu_pool.h"
#include "kernels/cpu/first_block.h"
#include "kernels/cpu/winograd_backward.h"
#include "kernels/cpu/winograd_forward.h"

namespace protolith::cpu {
namespace {

TEST_CASE("traffic: elements of tiles, one by one") {
  for (const std::int64_t side : {1, 2, 7, 8, 10, 14, 15, 21, 42}) {
    CAPTURE(side);
    const TileGrid grid({2, side, side + 3, 16, 16});
    std::int64_t elements = 0;
    for (std::int64_t i = 0; i < grid.rows.tiles(); ++i) {
      for (std::int64_t j = 0; j < grid.columns.tiles(); ++j) {
        elements += std::int64_t{grid.rows.outputs(i) + 2} * (grid.columns.outputs(j) + 2);
      }
    }
    CHECK(grid.elements() == 2 * elements);
    std::int64_t planes = 0;
    for (int plane = 0; plane < kPlanes; ++plane) {
      planes += grid.planes().has(plane / kMaxPatchSide, plane % kMaxPatchSide) ? 1 : 0;
    }
    CHECK(grid.planes().count() == planes);
  }
}

TEST_CASE("traffic: Winograd's passes at 14x14") {
  // Four tiles of 7x7 outputs an image: 4 * 9 * 9 elements, all 81 planes.
  const ConvolutionExtents e{10, 14, 14, 64, 32};
  constexpr std::int64_t kElements = 10 * 4 * 81, kPixels = 10 * 14 * 14;
  const Traffic forward = winograd_forward_traffic(e);
  CHECK(forward.read == 4 * (kPixels * 64 + 81 * 64 * 32));
  CHECK(forward.written == 4 * (kPixels * 32 + 2 * 32));
  CHECK(forward.flops == kElements * (2 * 64 * 32 + 20 * (64 + 32)) + 4 * kPixels * 32);
  CHECK(forward.launches == 1);
  const Traffic inference = winograd_inference_traffic(e, true);
  CHECK(inference.read == forward.read + 4 * 32);
  CHECK(inference.written == 4 * kPixels / 4 * 32);
  CHECK(inference.launches == 1);
  const Traffic backward = winograd_backward_traffic(e, true, true);
  CHECK(backward.read ==
        4 * (kPixels * (64 + 32) + 81 * 64 * 32 + 5 * 32) + 9 * (kPixels / 4) * 32);
  CHECK(backward.written == 4 * (9 * 64 * 32 + kPixels * 64));
  CHECK(backward.flops == kElements * (4 * 64 * 32 + 20 * (2 * 64 + 32)));
  CHECK(winograd_backward_traffic(e, true, false).written == 4 * 9 * 64 * 32);
}

TEST_CASE("traffic: a pool leaves an odd row and column out") {
  // 7x7 outputs, of which windows take 6x6: one tile of 8x8 elements.
  const ConvolutionExtents e{1, 7, 7, 16, 16};
  CHECK(winograd_inference_traffic(e, true).flops == 64 * (2 * 16 * 16 + 20 * 32) + 11 * 9 * 16);
  CHECK(winograd_inference_traffic(e, true).written == 4 * 9 * 16);
  CHECK(affine_relu_pool_traffic({1, 7, 7, 16}, true).read == 4 * 36 * 16 + 8 * 16);
  CHECK(affine_relu_pool_traffic({1, 7, 7, 16}, true).written == 9 * 9 * 16);
}

TEST_CASE("traffic: the first block's products, one by one") {
  for (const std::int64_t channels : {1, 3}) {
    CAPTURE(channels);
    std::int64_t flops = 0;  // a pixel's
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t d = 0; d < channels; ++d) flops += 2 * 3 * 5;
      flops += 1;
    }
    const ConvolutionExtents e{2, 6, 4, channels, 16};
    CHECK(patch_statistics_traffic(e).flops == 48 * flops);
    CHECK(patch_statistics_traffic(e).read == 4 * 48 * channels);
    CHECK(first_block_forward_traffic(e, true).written == 5 * 12 * 16);
    CHECK(first_block_backward_traffic(e).flops == 18 * channels * 16 * 12);
  }
}

}  // namespace
}  // namespace protolith::cpu
