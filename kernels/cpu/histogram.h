// A histogram of f32 values, or of their magnitudes, over ascending edges of any spacing. A bin is
// told by comparing the value itself with the f32 edges: no logarithm or division is rounded on the
// way, so that counting the same values again in any precision gives the same counts.
// Each value is compared with all edges, a vector of them at a time, and the comparisons that hold
// are counted: for the few dozen edges of a picture that is faster than a search that branches.
// Memory traffic: reads 4 bytes a value; the edges and counts stay in cache.
#pragma once

#include <cstdint>

#include "kernels/traffic.h"

namespace protolith::cpu {

/// Counts values [count] in `bins` bins [edges[i], edges[i + 1]), the last one closed. edges
/// [bins + 1], ascending, no NaN; counts [bins + 3]: below the first edge, the bins, above the last
/// edge, NaN. `magnitudes`: of |value|.
void histogram(const float* values, std::int64_t count, const float* edges, std::int64_t bins,
               bool magnitudes, std::int32_t* counts);

inline Traffic histogram_traffic(std::int64_t count, std::int64_t bins) {
  return {4 * (count + bins + 1), 4 * (bins + 3), 0, 1};
}

}  // namespace protolith::cpu
