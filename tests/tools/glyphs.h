// The data set that the tests of training and evaluation share.
#pragma once

#include "tools/session.h"

namespace protolith::testing {

/// Generated glyphs, drawn once.
inline const Dataset& glyphs() {
  static const Dataset dataset = open_dataset("synthetic", {.use_cache = false});
  return dataset;
}

}  // namespace protolith::testing
