#include "kernels/cuda/rows.h"

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/vector4.cuh"

namespace protolith::cuda {
namespace {

// At most 32 registers, so that eight blocks fill an SM. Occupancy: at least 100 %.
constexpr int kThreads = 256;

template <int N>
__global__ void __launch_bounds__(kThreads)
    place_rows_kernel(const float* source, std::int64_t source_elements, float* target,
                      std::int64_t offset, std::int64_t target_elements) {
  const std::int64_t first = N * (std::int64_t{blockIdx.x} * kThreads + threadIdx.x);
  if (first >= target_elements) return;
  const std::int64_t from = first - offset;
  const bool inside = from >= 0 && from < source_elements;
  store<N>(target + first, inside ? load<N>(source + from) : Pack<N>{});
}

}  // namespace

void place_rows(const float* source, std::int64_t source_elements, float* target,
                std::int64_t offset, std::int64_t target_elements, Stream stream) {
  const bool fours = source_elements % 4 == 0 && offset % 4 == 0 && target_elements % 4 == 0;
  with_width(fours && aligned16(source, target), [&](auto width) {
    launch(place_rows_kernel<width.value>, blocks_for(target_elements, width.value * kThreads),
           kThreads, 0, stream, source, source_elements, target, offset, target_elements);
  });
}

}  // namespace protolith::cuda
