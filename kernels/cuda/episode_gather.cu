#include "kernels/cuda/episode_gather.h"

#include <cmath>
#include <limits>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/vector4.cuh"

namespace protolith::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// Four elements a thread: one block for a 28 x 28 image of one channel. At most 40 registers, so
// that six blocks share an SM. Occupancy: at least 75 %.
constexpr int kThreads = 256;

// Where pixel (y, x) of a turned image lies in the image: origin + y * down + x * right.
struct Turned {
  std::int64_t origin, down, right;
};

__device__ __forceinline__ Turned turned(std::int32_t turns, std::int64_t height,
                                         std::int64_t width) {
  switch (turns) {
    case 1:
      return {width - 1, -1, width};
    case 2:
      return {height * width - 1, -width, -1};
    case 3:
      return {(height - 1) * width, 1, -width};
    default:
      return {0, width, 1};
  }
}

// A block's elements lie in one image: `blocks` of them share it.
template <int N>
__global__ void __launch_bounds__(kThreads)
    episode_gather_kernel(const std::uint8_t* images, std::int64_t images_count,
                          const std::int32_t* indices, const std::int32_t* turns,
                          std::int64_t height, std::int64_t width, std::int64_t channels,
                          const float* scale, const float* shift, float* out, std::int64_t blocks) {
  const std::int64_t image = blockIdx.x / blocks, packs = height * width * channels / N;
  const std::int64_t pack = blockIdx.x % blocks * kThreads + threadIdx.x, first = N * pack;
  if (pack >= packs) return;
  const std::int64_t index = indices[image];
  const std::int32_t turn = turns[image];
  const bool fits = index >= 0 && index < images_count && turn >= 0 && turn <= 3 &&
                    (turn % 2 == 0 || height == width);
  const Turned places = turned(turn, height, width);
  const std::uint8_t* const from = images + index * packs * N;
  std::int64_t c = first % channels, x = first / channels % width, y = first / channels / width;
  const auto next = [&](int) {
    if (!fits) return kNan;
    const std::int64_t pixel = places.origin + y * places.down + x * places.right;
    const float value = fmaf(static_cast<float>(from[pixel * channels + c]), scale[c], shift[c]);
    if (++c == channels) c = 0, ++x;
    if (x == width) x = 0, ++y;
    return value;
  };
  store<N>(out + N * (image * packs + pack), make_pack<N>(next));
}

}  // namespace

void episode_gather(const std::uint8_t* images, std::int64_t images_count,
                    const std::int32_t* indices, const std::int32_t* turns, std::int64_t count,
                    std::int64_t height, std::int64_t width, std::int64_t channels,
                    const float* scale, const float* shift, float* out, Stream stream) {
  const std::int64_t size = height * width * channels;
  with_width(size % 4 == 0 && aligned16(out), [&](auto width_of_pack) {
    const std::int64_t blocks = blocks_for(size, width_of_pack.value * kThreads);
    launch(episode_gather_kernel<width_of_pack.value>, blocks_for(count * blocks, 1), kThreads, 0,
           stream, images, images_count, indices, turns, height, width, channels, scale, shift, out,
           blocks);
  });
}

}  // namespace protolith::cuda
