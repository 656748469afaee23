// A histogram of f32 values, or of their magnitudes, over ascending edges of any spacing, as
// kernels/cpu/histogram.h defines it: a bin is told by comparing the value with the f32 edges, here
// by halving, so that counting again in any precision gives the same counts. Blocks count in shared
// memory and add their counts to the total at the end: integer atomics, exact in any order. More
// edges than 48 KiB hold are searched, and counted, in global memory.
// Two launches: zeros, then the counts. Memory traffic: reads 4 bytes a value and edge, and reads
// and writes each count that is not 0 after writing its zero; other blocks find edges and counts in
// cache.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

/// Counts values [count] in `bins` bins [edges[i], edges[i + 1]), the last one closed. edges
/// [bins + 1], ascending, no NaN; counts [bins + 3]: below the first edge, the bins, above the last
/// edge, NaN. `magnitudes`: of |value|.
void histogram(const float* values, std::int64_t count, const float* edges, std::int64_t bins,
               bool magnitudes, std::int32_t* counts, Stream stream);

/// Where no count is 0.
inline Traffic histogram_traffic(std::int64_t count, std::int64_t bins) {
  return {4 * (count + 2 * bins + 4), 8 * (bins + 3), 0, 2};
}

}  // namespace protolith::cuda
