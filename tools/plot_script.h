// What plot.cpp tells gnuplot.
#pragma once

#include <string>

#include "tools/plot.h"

namespace protolith {

/// What gnuplot's output is to be: an SVG file, an SVG element to stand on a page's own background,
/// or a PNG of twice as many pixels each way.
enum class PlotFormat : std::uint8_t { svg, svg_element, png };

/// The commands that make gnuplot write `figure` to its stdout. They hold the numbers, and nothing
/// that changes from one call to the next. Every series must have as many x, y and errors as its
/// style needs.
std::string gnuplot_script(const Figure& figure, PlotFormat format);

}  // namespace protolith
