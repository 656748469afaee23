// The order in which threads and blocks run.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tests/gpu_emulation/simt/executor.h"

namespace simt {

/// The order that set_order() chose.
class Sequence {
 public:
  void choose(Order order, std::uint64_t seed);
  /// Arranges [first, last) of ascending numbers.
  void arrange(unsigned* first, unsigned* last);
  /// Whether threads that a barrier or warp operation lets go overtake those that were ready
  /// before: a warp may run far ahead of the others.
  bool overtakes();

 private:
  unsigned random();
  Order order_ = forward;
  std::uint64_t state_ = 1;
};
Sequence& sequence();

/// The numbers of the threads that can go on, in the order in which they will.
class ReadyQueue {
 public:
  /// For numbers below `count`, each in the queue at most once.
  explicit ReadyQueue(unsigned count) : ring_(std::bit_ceil(count)) {}
  bool empty() const { return size_ == 0; }
  void clear() { size_ = 0; }
  unsigned pop() {
    --size_;
    return ring_[first_++ & mask()];
  }
  /// Puts [first, last) behind all others, or before them.
  void add(const unsigned* first, const unsigned* last, bool before);

 private:
  std::size_t mask() const { return ring_.size() - 1; }
  std::vector<unsigned> ring_;
  std::size_t first_ = 0, size_ = 0;
};

}  // namespace simt
