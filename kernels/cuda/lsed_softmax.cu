#include "kernels/cuda/lsed_softmax.h"

#include <cmath>
#include <limits>

#include "kernels/cuda/launch.cuh"
#include "kernels/cuda/row_reduce.cuh"

namespace protolith::cuda {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

// eq. 6 with one product and sum: d up to the threshold, d * slope + threshold * (1 - slope) beyond
// it, which is exactly d when the slope is 1 and exactly d * slope when the threshold is 0.
struct Leaky {
  float threshold;  // -infinity stands for 0: the slope holds everywhere
  float slope, offset;

  __device__ __forceinline__ float value(float d) const {
    return d > threshold ? fmaf(d, slope, offset) : d;
  }
  __device__ __forceinline__ float derivative(float d) const {
    return d > threshold ? slope : 1.0F;
  }
};

// A warp and its row of at most 32 * kPerLane classes, in registers.
template <int kPerLane>
struct WarpRow {
  __device__ __forceinline__ WarpRow(const float* row, int row_classes) : classes(row_classes) {
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      const int j = k * kWarp + lane_index();
      distances[k] = j < classes ? row[j] : 0.0F;
    }
  }
  // f(class, distance) for the thread's share of the row.
  template <class F>
  __device__ __forceinline__ void for_each(F&& f) const {
#pragma unroll
    for (int k = 0; k < kPerLane; ++k) {
      const int j = k * kWarp + lane_index();
      if (j < classes) f(j, distances[k]);
    }
  }
  template <class Op>
  __device__ __forceinline__ float reduce(float value, Op op) const {
    return warp_reduce(value, op);
  }
  __device__ __forceinline__ bool leads() const {
    return lane_index() == 0;
  }

  float distances[kPerLane];
  int classes;
};

// A block of kWarps warps and its row, in memory.
template <int kWarps>
struct BlockRow {
  template <class F>
  __device__ __forceinline__ void for_each(F&& f) const {
    for (std::int64_t j = threadIdx.x; j < classes; j += kWarps * kWarp) f(j, row[j]);
  }
  template <class Op>
  __device__ __forceinline__ float reduce(float value, Op op) const {
    return block_reduce(value, op, partial);
  }
  __device__ __forceinline__ bool leads() const { return threadIdx.x == 0; }

  const float* row;
  std::int64_t classes;
  float (&partial)[kWarps];
};

// A row's weights are e_j = exp(nearest - leaky_j). The label's is kept apart from the sum of the
// others, so that 1 - p_y is exact to rounding however close p_y is to 1. The gradient computes the
// weights again rather than keep them: registers are dearer than an exponential.
template <class Row>
__device__ __forceinline__ void loss_row(const LsedSoftmax& s, const Leaky& leaky,
                                         std::int64_t index, const Row& row) {
  const std::int64_t first = index * s.classes;
  const std::int64_t label = s.labels[index];
  const bool known = label >= 0 && label < s.classes;
  float nearest = kInfinity;
  row.for_each([&](auto j, float d) {
    const float value = leaky.value(d);
    nearest = Least()(nearest, value);
    if (s.leaky != nullptr) s.leaky[first + j] = value;
  });
  nearest = row.reduce(nearest, Least());

  float others = 0.0F, earlier = 0.0F;  // earlier: classes before the label that are as near
  row.for_each([&](auto j, float d) {
    const float value = leaky.value(d);
    if (j != label) others += expf(nearest - value);
    if (j < label && value == nearest) earlier = 1.0F;
  });
  others = row.reduce(others, Sum());
  // A NaN here, or an infinite nearest, makes the total NaN, and with it everything below.
  const float own = known ? leaky.value(s.distances[first + label]) : kNan;
  const float own_weight = expf(nearest - own);
  if (s.hit != nullptr) {
    earlier = row.reduce(earlier, Sum());
    if (row.leads()) s.hit[index] = own == nearest && earlier == 0.0F ? 1.0F : 0.0F;
  }
  // log of the total, which is at least 1, without losing what exceeds 1.
  if (row.leads()) s.loss[index] = own - nearest + log1pf(others + (own_weight - 1.0F));
  if (s.gradient == nullptr && s.leaky_gradient == nullptr) return;

  const float inverse = 1.0F / (own_weight + others);
  row.for_each([&](auto j, float d) {
    const float slope = (j == label ? others : -expf(nearest - leaky.value(d))) * inverse;
    if (s.leaky_gradient != nullptr) s.leaky_gradient[first + j] = slope;
    if (s.gradient != nullptr) {
      s.gradient[first + j] = slope * leaky.derivative(d) * s.gradient_scale;
    }
  });
}

// One warp for each of an SM's four schedulers: an episode has few rows, and small blocks spread
// them over the SMs. Registers: at most 40 for rows of up to 256 classes, 128 (four warps of each
// scheduler) for 1,024. Occupancy: at least 25 %.
constexpr int kRowsPerBlock = 4;

template <int kPerLane>
__global__ void __launch_bounds__(kRowsPerBlock* kWarp)
    warp_rows_kernel(LsedSoftmax s, Leaky leaky) {
  const std::int64_t index = std::int64_t{blockIdx.x} * kRowsPerBlock + warp_index();
  if (index >= s.rows) return;
  const WarpRow<kPerLane> row(s.distances + index * s.classes, static_cast<int>(s.classes));
  loss_row(s, leaky, index, row);
}

// At least four elements a thread for the rows that come here. As many registers as all threads of
// an SM may have: 32 where it holds 2048. Occupancy: at least 100 %.
constexpr int kWarpsPerLongRow = 8;

__global__ void __launch_bounds__(kWarpsPerLongRow* kWarp)
    block_rows_kernel(LsedSoftmax s, Leaky leaky) {
  SHARED_ARRAY(float, partial, [kWarpsPerLongRow]);
  const std::int64_t index = blockIdx.x;
  const BlockRow<kWarpsPerLongRow> row{s.distances + index * s.classes, s.classes, partial};
  loss_row(s, leaky, index, row);
}

// The narrowest kernel from kPerLane on that holds a row.
template <int kPerLane>
void launch_rows(const LsedSoftmax& s, const Leaky& leaky, Stream stream) {
  if (s.classes <= kPerLane * kWarp) {
    launch(warp_rows_kernel<kPerLane>, blocks_for(s.rows, kRowsPerBlock), kRowsPerBlock * kWarp, 0,
           stream, s, leaky);
  } else if constexpr (kPerLane < 32) {
    launch_rows<2 * kPerLane>(s, leaky, stream);
  } else {
    launch(block_rows_kernel, blocks_for(s.rows, 1), kWarpsPerLongRow * kWarp, 0, stream, s, leaky);
  }
}

}  // namespace

void lsed_softmax(const LsedSoftmax& s, Stream stream) {
  const double offset = static_cast<double>(s.threshold) * (1.0 - static_cast<double>(s.slope));
  const Leaky leaky{s.threshold == 0.0F ? -kInfinity : s.threshold, s.slope,
                    static_cast<float>(offset)};
  launch_rows<1>(s, leaky, stream);
}

}  // namespace protolith::cuda
