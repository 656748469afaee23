// An episode's loss and accuracy, kept on the device: a ring of pairs that the host reads once in a
// while, so that no step waits for it, and a flag that remembers a loss that was not finite.
// One launch of one block, whatever the number of rows: a second would cost more than it saves.
// Memory traffic: rows * 4 bytes read, and a pair written.
#pragma once

#include <cstdint>

#include "kernels/cuda/stream.h"
#include "kernels/cuda/traffic.h"

namespace protolith::cuda {

/// ring[2 * slot] = mean_loss[0] and ring[2 * slot + 1] = the mean of hit [rows], each 0 or 1;
/// failed[0] = 1 when the loss is not finite, else it stays as it is. ring: [capacity, 2], slot:
/// one i32 in device memory; one outside [0, capacity) leaves the ring alone and sets failed[0]
/// = 1. The mean of up to 2^24 rows is rounded once.
void record_scores(const float* mean_loss, const float* hit, std::int64_t rows,
                   const std::int32_t* slot, float* ring, std::int64_t capacity, float* failed,
                   Stream stream);

/// One of the kernels, to ask CUDA whether there is code of them for a device: they are all
/// compiled for the same ones.
const void* any_kernel();

inline Traffic record_scores_traffic(std::int64_t rows) {
  return {4 * rows + 8, 8, rows, 1};
}

}  // namespace protolith::cuda
