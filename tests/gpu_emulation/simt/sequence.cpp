#include "tests/gpu_emulation/simt/sequence.h"

#include <algorithm>
#include <utility>

namespace simt {

Sequence& sequence() {
  static Sequence sequence;
  return sequence;
}

void Sequence::choose(Order order, std::uint64_t seed) {
  order_ = order;
  state_ = seed * 0x9E3779B97F4A7C15U | 1U;
}

// Marsaglia's xorshift64: enough to shuffle with, and the same everywhere.
unsigned Sequence::random() {
  state_ ^= state_ << 13U;
  state_ ^= state_ >> 7U;
  state_ ^= state_ << 17U;
  return static_cast<unsigned>(state_ >> 16U);
}

void Sequence::arrange(unsigned* first, unsigned* last) {
  if (order_ == reverse) std::reverse(first, last);
  if (order_ != shuffled) return;
  for (auto count = static_cast<unsigned>(last - first); count > 1; --count) {
    std::swap(first[count - 1], first[random() % count]);
  }
}

bool Sequence::overtakes() {
  return order_ == reverse || (order_ == shuffled && random() % 2 == 0);
}

void ReadyQueue::add(const unsigned* first, const unsigned* last, bool before) {
  const auto count = static_cast<std::size_t>(last - first);
  if (before) first_ -= count;
  std::size_t to = before ? first_ : first_ + size_;
  while (first != last) ring_[to++ & mask()] = *first++;
  size_ += count;
}

}  // namespace simt
