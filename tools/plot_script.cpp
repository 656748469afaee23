#include "tools/plot_script.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>

namespace protolith {
namespace {

// Okabe and Ito's colours, which people who confuse red and green tell apart, without the yellow
// that is too pale for a line on white.
constexpr std::array<std::string_view, 7> kPalette{"#0072B2", "#D55E00", "#009E73", "#CC79A7",
                                                   "#E69F00", "#56B4E9", "#555555"};

/// Pixels of a panel in a row of one, two, three or more; text takes more of a small one's height.
struct PanelSize {
  int width, height;
};
constexpr std::array<PanelSize, 4> kPanelSizes{{{640, 460}, {350, 262}, {300, 244}, {260, 232}}};

constexpr int kTitleHeight = 34;
constexpr int kPngScale = 2;

/// `text` as a gnuplot string. In single quotes nothing is special but the quote itself.
std::string gnuplot_text(std::string_view text) {
  std::string result = "'";
  for (const char c : text) {
    if (c == '\'') result += '\'';
    result += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
  }
  return result + "'";
}

/// A page has its own captions.
bool shows_title(const Figure& figure, PlotFormat format) {
  return !figure.title.empty() && format != PlotFormat::svg_element;
}

PanelSize panel_size(int columns) {
  return kPanelSizes[static_cast<std::size_t>(std::min(columns, 4) - 1)];
}

/// In points, so that the title fits into the figure's width.
int title_size(const Figure& figure) {
  constexpr double kLetterWidth = 0.78;  // pixels for each point, on average and a little more
  constexpr double kSize = 14, kLeastSize = 6;
  const auto letters = std::count_if(figure.title.begin(), figure.title.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0U) != 0x80U;  // UTF-8's first bytes
  });
  const int columns = std::max(1, figure.columns);
  const double fitting =
      panel_size(columns).width * columns / (kLetterWidth * static_cast<double>(letters));
  return static_cast<int>(std::clamp(fitting, kLeastSize, kSize));
}

std::string terminal(const Figure& figure, PlotFormat format) {
  const int columns = std::max(1, figure.columns);
  const int rows = (static_cast<int>(figure.panels.size()) + columns - 1) / columns;
  const PanelSize panel = panel_size(columns);
  const int width = panel.width * columns;
  const int height = panel.height * rows + (shows_title(figure, format) ? kTitleHeight : 0);
  if (format == PlotFormat::png) {
    return fmt::format(
        "set terminal pngcairo enhanced size {},{} font 'Sans,10' fontscale {} linewidth {} "
        "pointscale {} background '#ffffff'\n",
        width * kPngScale, height * kPngScale, kPngScale, kPngScale, kPngScale);
  }
  return fmt::format("set terminal svg enhanced size {},{} font 'sans-serif,12'{}\n", width, height,
                     format == PlotFormat::svg ? " background '#ffffff'" : "");
}

constexpr std::string_view kStyle = R"(set border 3 linecolor rgb '#777777' linewidth 0.8
set grid xtics ytics back linetype 1 dashtype solid linecolor rgb '#e4e4e4' linewidth 0.7
set key bmargin center horizontal Left reverse noautotitle samplen 1.6 height 0.5 textcolor rgb '#333333'
set format '%h'
set errorbars 0.6
set pointintervalbox 0.001
)";

/// The least and the greatest of the values on an axis.
struct Extent {
  double min = HUGE_VAL, max = -HUGE_VAL;
  bool whole = true;  ///< whether all are whole numbers, such as epochs
  void add(double value) {
    min = std::min(min, value);
    max = std::max(max, value);
    whole = whole && value == std::floor(value);
  }
};

/// Of what is drawn: on the x axis the bars' edges, on the y axis no intervals.
struct Extents {
  Extent x, y;
};

Extents extents_of(const Panel& panel) {
  Extents extents;
  for (const Series& series : panel.series) {
    for (std::size_t i = 0; i < series.y.size(); ++i) {
      if (!is_drawable(panel, series, i)) continue;
      extents.x.add(series.x[i]);
      extents.y.add(series.y[i]);
      if (series.style == SeriesStyle::histogram) extents.x.add(series.x[i + 1]);
    }
  }
  return extents;
}

/// Where bars start: bars and intervals cannot reach zero on a logarithmic axis.
double bar_base(const Panel& panel) {
  return panel.y.logarithmic ? panel.y.range.min.value_or(extents_of(panel).y.min / 2) : 0;
}

/// The rows of one series; a blank line is a gap.
std::string points(const Panel& panel, const Series& series) {
  std::string rows;
  const double base = bar_base(panel);
  for (std::size_t i = 0; i < series.y.size(); ++i) {
    if (!is_drawable(panel, series, i)) {
      rows += '\n';
    } else if (series.style == SeriesStyle::histogram) {
      rows += fmt::format("{} {} {} {} {} {}\n", series.x[i], series.y[i], series.x[i],
                          series.x[i + 1], base, series.y[i]);
    } else {
      rows += fmt::format("{} {}\n", series.x[i], series.y[i]);
    }
  }
  return rows;
}

/// Calls f(i, lower end, upper end) for each interval of a series.
template <class F>
void for_intervals(const Panel& panel, const Series& series, const F& f) {
  const double floor = panel.y.logarithmic ? extents_of(panel).y.min : -HUGE_VAL;
  for (std::size_t i = 0; i < series.error.size(); ++i) {
    if (!is_drawable(panel, series, i) || !std::isfinite(series.error[i])) continue;
    f(i, std::max(series.y[i] - series.error[i], floor), series.y[i] + series.error[i]);
  }
}

/// The rows of one series' intervals: x, y, lower and upper end.
std::string intervals(const Panel& panel, const Series& series) {
  std::string rows;
  for_intervals(panel, series, [&](std::size_t i, double lower, double upper) {
    rows += fmt::format("{} {} {} {}\n", series.x[i], series.y[i], lower, upper);
  });
  return rows;
}

/// What the y axis must hold.
Extent with_intervals(const Panel& panel, Extent y) {
  for (const Series& series : panel.series) {
    for_intervals(panel, series, [&](std::size_t, double lower, double upper) {
      y.min = std::min(y.min, lower);
      y.max = std::max(y.max, upper);
    });
  }
  return y;
}

std::string style_of(const Series& series) {
  switch (series.style) {
    case SeriesStyle::histogram:
      return "with boxxyerror linewidth 0.6";
    case SeriesStyle::points:
      return "with points pointtype 7 pointsize 0.55";
    case SeriesStyle::line_points:
      return "with linespoints pointtype 7 pointsize 0.5 linewidth 1.6";
    case SeriesStyle::line:
      break;
  }
  return "with lines linewidth 1.6";
}

/// A panel's data, by name, and the plot commands that draw them.
struct Drawing {
  std::string data;
  std::vector<std::string> plots;

  void add(const std::string& name, const std::string& rows, const std::string& plot) {
    if (rows.find_first_not_of('\n') == std::string::npos) return;
    data += fmt::format("${} << END\n{}END\n", name, rows);
    plots.push_back(fmt::format("${} {}", name, plot));
  }
};

Drawing drawing_of(const Panel& panel, std::size_t number) {
  Drawing drawing;
  for (std::size_t i = 0; i < panel.series.size(); ++i) {
    const Series& series = panel.series[i];
    const std::size_t index = series.colour ? static_cast<std::size_t>(*series.colour) : i;
    const LineLook look = line_look(index);
    const std::string colour = fmt::format("linecolor rgb '{}'", look.colour);
    const std::string dashes =
        look.dashes.empty() ? "solid" : fmt::format("({})", fmt::join(look.dashes, ","));
    const std::string title =
        series.name.empty() ? "notitle" : "title " + gnuplot_text(series.name) + " noenhanced";
    const char* columns =
        series.style == SeriesStyle::histogram ? "using 1:2:3:4:5:6" : "using 1:2";
    drawing.add(fmt::format("intervals_{}_{}", number, i), intervals(panel, series),
                fmt::format("using 1:2:3:4 with yerrorbars pointtype 0 pointsize 0 linewidth 1 {} "
                            "notitle",
                            colour));
    drawing.add(
        fmt::format("points_{}_{}", number, i), points(panel, series),
        fmt::format("{} {} {} dashtype {} {}", columns, style_of(series), colour, dashes, title));
  }
  return drawing;
}

/// The distance of two tics, such that at most six fit between the ends, none of them between whole
/// numbers where all are `whole`; on a logarithmic axis the quotient of two.
double tic_step(const Axis& axis, double min, double max, bool whole) {
  if (axis.logarithmic) return std::pow(10, std::max(1.0, std::ceil(std::log10(max / min) / 5)));
  const double least = std::max((max - min) / 6, whole ? 1.0 : 0.0);
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * power >= least) return factor * power;
  }
  return 10 * power;
}

std::string axis_commands(char name, const Axis& axis, AxisRange range, const Extent& extent) {
  const auto end = [](std::optional<double> value) {
    return value ? fmt::format("{}", *value) : std::string("*");
  };
  const double min = range.min.value_or(extent.min), max = range.max.value_or(extent.max);
  std::string tics = fmt::format("set {}tics nomirror out scale 0.5 textcolor rgb '#333333'", name);
  if (min < max && (!axis.logarithmic || min > 0)) {
    tics += fmt::format(" {}", tic_step(axis, min, max, extent.whole));
  } else {
    tics += " autofreq";
  }
  return fmt::format("set {0}label {1} noenhanced textcolor rgb '#333333' offset {2}\n", name,
                     gnuplot_text(axis.label), name == 'x' ? "0,0.4" : "0,0") +
         fmt::format("{0}set logscale {1}\n{2}\nset {1}range [{3}:{4}]\n",
                     axis.logarithmic ? "" : "un", name, tics, end(range.min), end(range.max));
}

/// The x axis ends where the data do, so that panels fill their width; points get some air.
AxisRange x_range(const Panel& panel, const Extent& extent) {
  const bool points = std::any_of(panel.series.begin(), panel.series.end(), [](const Series& s) {
    return s.style == SeriesStyle::points || s.style == SeriesStyle::line_points;
  });
  AxisRange range = panel.x.range;
  if (!(extent.min < extent.max)) return range;
  const bool logarithmic = panel.x.logarithmic;
  const double air = points ? 0.04 : 0;
  const double space =
      logarithmic ? std::pow(extent.max / extent.min, air) : (extent.max - extent.min) * air;
  if (!range.min) range.min = logarithmic ? extent.min / space : extent.min - space;
  if (!range.max) range.max = logarithmic ? extent.max * space : extent.max + space;
  return range;
}

/// The y axis starts where bars do.
AxisRange y_range(const Panel& panel) {
  AxisRange range = panel.y.range;
  const bool only_bars = std::all_of(panel.series.begin(), panel.series.end(), [](const Series& s) {
    return s.style == SeriesStyle::histogram;
  });
  if (only_bars && !range.min) range.min = bar_base(panel);
  return range;
}

std::string panel_commands(const Panel& panel, std::size_t number) {
  const Drawing drawing = drawing_of(panel, number);
  std::string script =
      fmt::format("unset label\nset title {} noenhanced textcolor rgb '#111111' offset 0,-0.3\n",
                  gnuplot_text(panel.title));
  if (drawing.plots.empty()) {
    const Axis x{.label = panel.x.label}, y{.label = panel.y.label};
    return script + axis_commands('x', x, {0, 1}, {}) + axis_commands('y', y, {0, 1}, {}) +
           "unset xtics\nunset ytics\n"
           "set label 'no values' at graph 0.5,0.5 center textcolor rgb '#777777'\n"
           "plot NaN notitle\n";
  }
  const Extents extents = extents_of(panel);
  script += axis_commands('x', panel.x, x_range(panel, extents.x), extents.x);
  script += axis_commands('y', panel.y, y_range(panel), with_intervals(panel, extents.y));
  script += fmt::format("set key {}\n", panel.key ? "on" : "off");
  script += fmt::format("set style fill transparent solid {} border\n",
                        panel.series.size() > 1 ? 0.35 : 0.6);
  return script + drawing.data + fmt::format("plot {}\n", fmt::join(drawing.plots, ", \\\n  "));
}

}  // namespace

LineLook line_look(std::size_t index) {
  static const std::array<std::vector<int>, 3> kDashes{std::vector<int>{}, {6, 3}, {2, 2}};
  return {std::string(kPalette[index % kPalette.size()]),
          kDashes[index / kPalette.size() % kDashes.size()]};
}

bool is_drawable(const Panel& panel, const Series& series, std::size_t index) {
  const auto fits = [](double value, const Axis& axis) {
    return std::isfinite(value) && (!axis.logarithmic || value > 0);
  };
  return fits(series.x[index], panel.x) && fits(series.y[index], panel.y) &&
         (series.style != SeriesStyle::histogram || fits(series.x[index + 1], panel.x));
}

std::string gnuplot_script(const Figure& figure, PlotFormat format) {
  const std::size_t columns = static_cast<std::size_t>(std::max(1, figure.columns));
  const std::size_t rows = (figure.panels.size() + columns - 1) / columns;
  std::string script = "set encoding utf8\n" + terminal(figure, format) + std::string(kStyle);
  script += fmt::format("set multiplot layout {},{}", rows, columns);
  if (shows_title(figure, format)) {
    script += fmt::format(" title {} noenhanced font ',{}'", gnuplot_text(figure.title),
                          title_size(figure));
  }
  script += '\n';
  for (std::size_t i = 0; i < figure.panels.size(); ++i) {
    script += panel_commands(figure.panels[i], i);
  }
  return script + "unset multiplot\n";
}

}  // namespace protolith
