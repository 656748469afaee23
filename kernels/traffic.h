// What a kernel family moves and computes at a shape, as its header states it: for the benchmarks,
// the tables in docs, and the emulation, whose counters check the CUDA kernels'.
#pragma once

#include <cstdint>

namespace protolith {

/// Distinct bytes of memory read and written, floating-point operations, and launches (on the CPU:
/// calls). An operand that a kernel reads twice in a row counts once when a cache would hold it.
struct Traffic {
  std::int64_t read = 0, written = 0;
  std::int64_t flops = 0;
  std::int64_t launches = 1;

  friend Traffic operator+(Traffic a, const Traffic& b) {
    return {a.read + b.read, a.written + b.written, a.flops + b.flops, a.launches + b.launches};
  }
};

}  // namespace protolith
