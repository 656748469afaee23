// Rows of a matrix by index. A thread copies 4 elements of a row, or 1 where a row is no multiple
// of 16 bytes. Memory traffic: count * features * 4 bytes read and written, and the indices.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

/// out[n] = table[indices[n]] for table [rows, features], out [count, features]; NaN where an index
/// is outside [0, rows).
void gather_rows(const float* table, std::int64_t rows, std::int64_t features,
                 const std::int32_t* indices, std::int64_t count, float* out, Stream stream);

inline Traffic gather_rows_traffic(std::int64_t features, std::int64_t count) {
  return {4 * count * (features + 1), 4 * count * features, 0, 1};
}

}  // namespace protolith::cuda
