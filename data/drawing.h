#pragma once

#include <cstdint>
#include <span>
#include <string>

namespace protolith {

// Pictures of pen strokes, from a scanner, a camera or a program: grey [side, side], ink darker
// than its paper or lighter. What most of the border shows is paper. Each of these throws Error
// naming the image (`name`) when nothing stands out from the paper.

/// 0 where the ink is and 255 on paper, in place: the two are told apart by Otsu's threshold, which
/// leaves the least variance within both (N. Otsu, "A threshold selection method from gray-level
/// histograms", 1979). An image of two values keeps its shapes exactly.
void separate_ink(std::span<std::uint8_t> grey, std::int32_t side, const std::string& name);

/// 255 on the strongest ink, 0 on paper, soft edges between, in place: the value is the share of
/// the way from the border's median to the value that is farthest from it. An image of ink 255 on
/// paper 0 stays as it is.
void stretch_ink(std::span<std::uint8_t> grey, std::int32_t side, const std::string& name);

}  // namespace protolith
