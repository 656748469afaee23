#pragma once

#include <span>
#include <string_view>

#include "data/image_set.h"

namespace protolith {

/// A class of ImageNet, by its WordNet number ("n01532829"), belongs to `split`.
struct ImagenetClass {
  std::string_view wnid;
  Split split;
};

/// The standard split of miniImageNet: 64 training, 16 validation and 20 test classes, in that
/// order, each by WordNet number.
std::span<const ImagenetClass> ravi_split();

}  // namespace protolith
