#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "data/image_set.h"

namespace protolith {

inline constexpr std::int32_t kSyntheticSide = 28;
inline constexpr std::int32_t kSyntheticDrawings = 20;                         ///< per class
inline constexpr std::array<std::int32_t, 3> kSyntheticClasses{320, 80, 120};  ///< train, val, test
inline constexpr const char* kSyntheticPreprocessing = "28x28 glyphs, ink = 255, version 1";

/// Hand-written-looking glyphs made from `seed`, to try everything without a download. A class is a
/// few pen strokes (curves between random points); a drawing is the same strokes by an unsteady
/// hand: sheared, stretched, moved, each point off a little, with another pen. 28x28x1, ink = 255.
/// The pixels are a pure function of the seed, on every machine and thread count.
Dataset make_synthetic(std::uint64_t seed);

/// "synthetic:SEED"; an empty argument is seed 1. Throws UsageError when it is not a number.
Dataset open_synthetic(const std::string& seed, const DatasetOptions& options);

}  // namespace protolith
