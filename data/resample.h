#pragma once

#include <cstdint>

#include "data/image_codec.h"

namespace protolith {

/// The centre square of `image` at `side` x `side` pixels, to `pixels` [side, side, channels]: the
/// shorter side is scaled to `side`, and what the longer one has too much is cut from both ends
/// alike. The filter is a triangle as wide as the larger of a source and a target pixel on either
/// side, so that shrinking averages (no aliasing) and enlarging is bilinear. A square of that size
/// is copied unchanged.
void fit_square(const DecodedImage& image, std::int32_t side, std::uint8_t* pixels);

}  // namespace protolith
