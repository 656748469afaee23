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
  std::optional<int> colour = std::nullopt;  ///< line_look()'s index; default: its number
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
  bool key = true;  ///< false where the names stand elsewhere, as on a page with its own legend
};

/// Panels in rows of `columns`.
struct Figure {
  std::string title;
  int columns = 1;
  std::vector<Panel> panels;
};

/// Whether the point or bar `index` of `series` shows on `panel`: finite, and positive where the
/// axis is logarithmic.
bool is_drawable(const Panel& panel, const Series& series, std::size_t index);

/// How the lines of one index are drawn. Indices beyond the colours take them again, dashed.
struct LineLook {
  std::string colour;       ///< "#0072B2"
  std::vector<int> dashes;  ///< lengths of strokes and gaps in turn; empty: solid
};
LineLook line_look(std::size_t index);

/// A field of a CSV file (RFC 4180): in quotes where a comma, a quote or the end of a line is in
/// it.
std::string csv_text(const std::string& text);
/// The shortest text that reads back to `value`; "nan" for any NaN.
std::string csv_number(double value);

/// The numbers as CSV: a row per point with the columns panel, series, x, y, error; a bar has its
/// lower and upper edge in x and x_upper.
std::string to_csv(const Figure& figure);

/// Whether gnuplot is installed.
bool can_draw();

/// What to do where it is not, to end an error message.
inline constexpr const char* kInstallGnuplot = "install it with: apt-get install gnuplot-nox";

/// Writes STEM.csv, then STEM.svg and STEM.png. Throws Error when gnuplot is missing (the CSV is
/// there all the same), saying how to install it, or when it fails, with what it said. Throws Error
/// on a figure that holds nothing to draw.
void draw(const Figure& figure, const std::filesystem::path& stem);

/// draw(), for whoever has more to do before a missing picture is reported: returns the Error's
/// message, empty when there was none.
std::string try_draw(const Figure& figure, const std::filesystem::path& stem);

/// The figure as one SVG element, to stand inside an HTML page. Its title is not drawn, as the page
/// has captions, but read aloud (aria-label). Throws Error as draw().
std::string to_svg(const Figure& figure);

}  // namespace protolith
