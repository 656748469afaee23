// The shape of a batch of NHWC images, as the kernels of every device take it.
#pragma once

#include <cstdint>

namespace protolith {

/// Extents of the input of a 2x2 pool: [images, height, width, channels].
struct ImageExtents {
  std::int64_t images, height, width, channels;
};

}  // namespace protolith
