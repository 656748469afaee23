#include "kernels/cuda/scores.h"

#include <cmath>
#include <limits>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_reduce.cuh"

namespace protolith::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

// A row a thread for the few hundred rows of an episode; the block is alone on its SM.
// Occupancy: at least 12 %, that of one block.
constexpr int kWarps = 8;

__global__ void __launch_bounds__(kWarps* kWarp)
    record_scores_kernel(const float* mean_loss, const float* hit, std::int64_t rows,
                         const std::int32_t* slot, float* ring, std::int64_t capacity,
                         float* failed) {
  SHARED_ARRAY(float, partial, [kWarps]);
  float hits = 0.0F;
  for (std::int64_t row = threadIdx.x; row < rows; row += kWarps * kWarp) hits += hit[row];
  hits = block_reduce(hits, Sum(), partial);
  if (threadIdx.x != 0) return;
  const float loss = *mean_loss;
  const std::int64_t place = *slot;
  const bool inside = place >= 0 && place < capacity;
  if (inside) {
    ring[2 * place] = loss;
    ring[2 * place + 1] = hits / static_cast<float>(rows);
  }
  if (!inside || !(fabsf(loss) < kInfinity)) *failed = 1.0F;
}

}  // namespace

void record_scores(const float* mean_loss, const float* hit, std::int64_t rows,
                   const std::int32_t* slot, float* ring, std::int64_t capacity, float* failed,
                   Stream stream) {
  launch(record_scores_kernel, 1, kWarps * kWarp, 0, stream, mean_loss, hit, rows, slot, ring,
         capacity, failed);
}

const void* any_kernel() {
  return reinterpret_cast<const void*>(record_scores_kernel);
}

}  // namespace protolith::cuda
