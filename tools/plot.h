// Pictures of numbers, drawn by gnuplot: a figure is a grid of panels, a panel some series.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace protolith {

/// A line, points (with error bars where `error` is given), or a histogram: bar i from x[i] to
/// x[i + 1], so that x has one value more than y.
enum class SeriesStyle : std::uint8_t { line, points, line_points, histogram };

struct Series {
  std::string name;  ///< in the panel's key; empty: not listed
  std::vector<double> x, y;
  std::vector<double> error = {};  ///< half the interval of each y; empty: none
  SeriesStyle style = SeriesStyle::line;
  std::optional<int> colour = std::nullopt;  ///< an index into the palette; default: its number
};

/// The ends of an axis that are fixed; the others follow the data.
struct AxisRange {
  std::optional<double> min = std::nullopt, max = std::nullopt;
};

struct Axis {
  std::string label;  ///< with the unit
  bool logarithmic = false;
  AxisRange range = {};
};

struct Panel {
  std::string title;
  Axis x, y;
  std::vector<Series> series;
};

/// Panels in rows of `columns`.
struct Figure {
  std::string title;
  int columns = 1;
  std::vector<Panel> panels;
};

/// The numbers as CSV: a row per point with the columns panel, series, x, y, error; a bar has its
/// lower and upper edge in x and x_upper.
std::string to_csv(const Figure& figure);

/// Whether gnuplot is installed.
bool can_draw();

/// Writes STEM.csv, then STEM.svg and STEM.png. Throws Error when gnuplot is missing (the CSV is
/// there all the same), saying how to install it, or when it fails, with what it said. Throws Error
/// on a figure that holds nothing to draw.
void draw(const Figure& figure, const std::filesystem::path& stem);

/// The figure as one SVG element, to stand inside an HTML page. Throws Error as draw().
std::string to_svg(const Figure& figure);

}  // namespace protolith
