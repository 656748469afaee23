#include "kernels/cuda/gather_rows.h"

#include <limits>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/vector4.cuh"

namespace protolith::cuda {
namespace {

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// At most 32 registers, so that eight blocks fill an SM. Occupancy: at least 100 %.
constexpr int kThreads = 256;

template <int N>
__global__ void __launch_bounds__(kThreads)
    gather_rows_kernel(const float* table, std::int64_t rows, std::int64_t features,
                       const std::int32_t* indices, std::int64_t count, float* out) {
  const std::int64_t first = N * (std::int64_t{blockIdx.x} * kThreads + threadIdx.x);
  if (first >= count * features) return;
  const std::int64_t index = indices[first / features];
  const bool fits = index >= 0 && index < rows;
  store<N>(out + first, fits ? load<N>(table + index * features + first % features)
                             : make_pack<N>([](int) { return kNan; }));
}

}  // namespace

void gather_rows(const float* table, std::int64_t rows, std::int64_t features,
                 const std::int32_t* indices, std::int64_t count, float* out, Stream stream) {
  with_width(features % 4 == 0 && aligned16(table, out), [&](auto width) {
    launch(gather_rows_kernel<width.value>, blocks_for(count * features, width.value * kThreads),
           kThreads, 0, stream, table, rows, features, indices, count, out);
  });
}

}  // namespace protolith::cuda
