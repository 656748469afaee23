// A first block's winners as the decisions that the reference takes.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/cpu/first_block.h"
#include "tests/reference/conv_block.h"

namespace protolith::test {

/// Where ReLU lets nothing pass there is no winner, and any place will do.
inline reference::Decisions first_block_decisions(std::span<const std::uint8_t> winners) {
  reference::Decisions decisions;
  for (const std::uint8_t winner : winners) {
    const bool active = winner != cpu::kNoWinner;
    decisions.active.push_back(active ? 1 : 0);
    decisions.winner.push_back(active ? winner : 0);
  }
  return decisions;
}

}  // namespace protolith::test
