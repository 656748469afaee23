// Rows put into their place in a larger array that is zero elsewhere, in one launch: the gradient
// of taking a slice of rows, without filling the array first. Memory traffic: reads the source,
// writes the target.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

/// target[offset + i] = source[i] for i in [0, source_elements), 0 elsewhere in
/// [0, target_elements); 0 <= offset and offset + source_elements <= target_elements.
void place_rows(const float* source, std::int64_t source_elements, float* target,
                std::int64_t offset, std::int64_t target_elements, Stream stream);

inline Traffic place_rows_traffic(std::int64_t source_elements, std::int64_t target_elements) {
  return {4 * source_elements, 4 * target_elements, 0, 1};
}

}  // namespace protolith::cuda
