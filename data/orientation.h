#pragma once

#include <cstddef>
#include <span>

#include "data/image_codec.h"

namespace protolith {

/// The value, 1 to 8, of the orientation tag (0x0112) in the first directory of EXIF data, which is
/// a TIFF file (Exif 2.3, section 4.6; TIFF 6.0, section 2). 1, the stored orientation, where the
/// tag is absent or the data makes no sense: never throws, whatever the bytes.
int exif_orientation(std::span<const std::byte> tiff) noexcept;

/// Turns and mirrors an image that was stored with that orientation as it is to be seen: 6, say, is
/// a quarter turn clockwise. Others than 2 to 8 change nothing.
void apply_orientation(DecodedImage& image, int orientation);

}  // namespace protolith
