#pragma once

#include <span>
#include <string_view>

#include "data/image_set.h"

namespace protolith {

/// Characters first..last (inclusive, counted from 1) of an alphabet belong to `split`.
struct CharacterRange {
  std::string_view alphabet;
  int first;
  int last;
  Split split;
};

/// The standard split of Omniglot: 1028 training, 172 validation and 423 test characters.
std::span<const CharacterRange> vinyals_split();

}  // namespace protolith
