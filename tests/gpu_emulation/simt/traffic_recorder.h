// Counts the bytes of device memory that launches read and write, to check what the kernels'
// headers say of their traffic.
//
// The kernels are compiled once more with g++'s -fsanitize=thread, but without its run-time
// library: the compiler then announces every access to memory by a call, and the calls end here
// (traffic_recorder.cpp). An access counts when it lies in memory that the recorder was told of.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/traffic.h"

namespace simt {

/// Counts from its making to its end; one at a time.
class TrafficRecorder {
 public:
  TrafficRecorder();
  ~TrafficRecorder();
  TrafficRecorder(const TrafficRecorder&) = delete;
  TrafficRecorder& operator=(const TrafficRecorder&) = delete;

  /// Device memory; ranges do not overlap.
  void add_range(const void* pointer, std::size_t bytes);

  /// The distinct bytes that each launch read and wrote, in the order in which they ran.
  const std::vector<protolith::cuda::Traffic>& launches() const { return launches_; }
  /// Their sum; no operations are counted.
  protolith::cuda::Traffic total() const;

  /// What the compiler's calls report.
  void note(std::uintptr_t address, std::size_t bytes, unsigned char kind);

 private:
  struct Range {
    std::uintptr_t begin, end;
    std::unique_ptr<unsigned char[]> marks;     // For each byte: kRead, kWritten.
    std::uintptr_t first_marked, after_marked;  // What lies outside has no marks.
  };
  void finish_launch();

  std::vector<Range> ranges_;
  std::vector<protolith::cuda::Traffic> launches_;
};

}  // namespace simt
