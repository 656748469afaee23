#include "kernels/cuda/elementwise.h"

#include <algorithm>

#include "kernels/cuda/elements.cuh"
#include "kernels/cuda/row_tiles.cuh"

namespace protolith::cuda {
namespace {

template <int kWidth>
__global__ void __launch_bounds__(kElementThreads)
    add_kernel(const float* a, const float* b, float* out, std::int64_t count) {
  for_elements<kWidth>(count, [&]<int n>(Width<n>, std::int64_t i) {
    store(out + i, map([](float x, float y) { return x + y; }, load<n>(a + i), load<n>(b + i)));
  });
}

template <int kWidth>
__global__ void __launch_bounds__(kElementThreads)
    scale_kernel(const float* a, const float* factor, float* out, std::int64_t count) {
  const float f = *factor;
  for_elements<kWidth>(count, [&]<int n>(Width<n>, std::int64_t i) {
    store(out + i, map([f](float x) { return x * f; }, load<n>(a + i)));
  });
}

template <int kWidth>
__global__ void __launch_bounds__(kElementThreads)
    fill_kernel(float* out, float value, std::int64_t count) {
  for_elements<kWidth>(count, [&]<int n>(Width<n>, std::int64_t i) {
    Pack<n> values;
    for (float& v : values.v) v = value;
    store(out + i, values);
  });
}

// One block, for a few thousand elements at most: a quarter of the largest SM's threads, each with
// a few loads. Occupancy: at least 25 %, that of one block.
constexpr int kMeanThreads = 512;

__global__ void __launch_bounds__(kMeanThreads)
    mean_kernel(const float* a, std::int64_t count, float* out) {
  double total[1] = {0.0};
  for (std::int64_t i = threadIdx.y; i < count; i += kMeanThreads) {
    total[0] += static_cast<double>(a[i]);
  }
  sum_over_rows<kMeanThreads>(total);
  if (threadIdx.y == 0) *out = static_cast<float>(total[0] / static_cast<double>(count));
}

struct AccumulationList {
  Accumulation items[kMaxAccumulations];
};

// blockIdx.y is the item; blocks past the end of a shorter one leave at once.
__global__ void __launch_bounds__(kElementThreads) accumulate_kernel(AccumulationList list) {
  const Accumulation& item = list.items[blockIdx.y];
  const auto add = [](float x, float y) { return x + y; };
  const bool vectors = aligned16(item.target, item.source);
  for_elements<4>(item.count, [&]<int n>(Width<n>, std::int64_t i) {
    float* const target = item.target + i;
    const float* const source = item.source + i;
    if (vectors) {
      store(target, map(add, load<n>(target), load<n>(source)));
    } else {
      for (int k = 0; k < n; ++k) target[k] += source[k];
    }
  });
}

}  // namespace

void add(const float* a, const float* b, float* out, std::int64_t count, Stream stream) {
  launch_elements(aligned16(a, b, out), add_kernel<4>, add_kernel<1>, count, stream, a, b, out,
                  count);
}

void scale(const float* a, const float* factor, float* out, std::int64_t count, Stream stream) {
  launch_elements(aligned16(a, out), scale_kernel<4>, scale_kernel<1>, count, stream, a, factor,
                  out, count);
}

void fill(float* out, float value, std::int64_t count, Stream stream) {
  launch_elements(aligned16(out), fill_kernel<4>, fill_kernel<1>, count, stream, out, value, count);
}

void mean(const float* a, std::int64_t count, float* out, Stream stream) {
  launch(mean_kernel, 1, dim3(1, kMeanThreads), 0, stream, a, count, out);
}

void accumulate(std::span<const Accumulation> list, Stream stream) {
  while (!list.empty()) {
    const auto batch = list.first(std::min<std::size_t>(list.size(), kMaxAccumulations));
    AccumulationList items{};
    std::copy(batch.begin(), batch.end(), items.items);
    std::int64_t longest = 0;
    for (const Accumulation& item : batch) longest = std::max(longest, item.count);
    const dim3 grid(blocks_for(longest, 4 * kElementThreads), static_cast<unsigned>(batch.size()));
    launch(accumulate_kernel, grid, kElementThreads, 0, stream, items);
    list = list.subspan(batch.size());
  }
}

}  // namespace protolith::cuda
