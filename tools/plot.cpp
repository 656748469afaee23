#include "tools/plot.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <string_view>

#include "engine/check.h"
#include "engine/file.h"
#include "tools/child_process.h"
#include "tools/plot_script.h"

namespace protolith {
namespace {

void check(const Figure& figure) {
  bool drawable = false;
  for (const Panel& panel : figure.panels) {
    for (const Series& series : panel.series) {
      const std::size_t edges = series.style == SeriesStyle::histogram ? 1 : 0;
      PROTOLITH_CHECK(series.x.size() == series.y.size() + edges &&
                          (series.error.empty() || series.error.size() == series.y.size()),
                      "series '{}' of panel '{}' has {} x for {} y and {} errors", series.name,
                      panel.title, series.x.size(), series.y.size(), series.error.size());
      for (std::size_t i = 0; i < series.y.size(); ++i) {
        drawable = drawable || is_drawable(panel, series, i);
      }
    }
  }
  PROTOLITH_CHECK(drawable, "figure '{}' holds no value that can be drawn", figure.title);
}

/// What gnuplot writes. `consequence` ends the sentence on a missing gnuplot, `target` names the
/// figure.
std::string run_gnuplot(const Figure& figure, PlotFormat format, const std::string& target,
                        const std::string& hint) {
  PROTOLITH_CHECK(can_draw(), "gnuplot is missing, so {} was not drawn; {}{}", target,
                  kInstallGnuplot, hint);
  // Without a user's own settings, which could change how our figures look.
  const ChildResult result = run_child(
      {"gnuplot", "--default-settings"},
      {.input = gnuplot_script(figure, format), .capture_output = true, .capture_errors = true});
  PROTOLITH_CHECK(result.code == 0 && !result.output.empty(),
                  "gnuplot could not draw {} (exit code {}): {}{}", target, result.code,
                  std::string_view(result.errors).substr(0, 2000), hint);
  return result.output;
}

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size()) {
    text.replace(at, from.size(), to);
  }
}

/// Removes every stretch of `text` from `open` to `close`, both included.
void remove_all(std::string& text, std::string_view open, std::string_view close) {
  for (std::size_t at = 0; (at = text.find(open, at)) != std::string::npos;) {
    const std::size_t end = text.find(close, at);
    text.erase(at, end == std::string::npos ? end : end + close.size() - at);
  }
}

std::string html_attribute(std::string text) {
  replace_all(text, "&", "&amp;");
  replace_all(text, "<", "&lt;");
  replace_all(text, "\"", "&quot;");
  return text;
}

/// FNV-1a, to tell figures apart.
std::uint32_t hash(std::string_view text) {
  std::uint32_t value = 2166136261U;
  for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 16777619U;
  return value;
}

}  // namespace

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = text;
  replace_all(quoted, "\"", "\"\"");
  return "\"" + quoted + "\"";
}

std::string csv_number(double value) {
  return std::isnan(value) ? "nan" : fmt::format("{}", value);  // a NaN may have a sign
}

std::string to_csv(const Figure& figure) {
  std::string csv = "panel,series,x,x_upper,y,error\n";
  for (const Panel& panel : figure.panels) {
    for (const Series& series : panel.series) {
      const bool bars = series.style == SeriesStyle::histogram;
      for (std::size_t i = 0; i < series.y.size(); ++i) {
        csv += fmt::format("{},{},{},{},{},{}\n", csv_text(panel.title), csv_text(series.name),
                           csv_number(series.x[i]), bars ? csv_number(series.x[i + 1]) : "",
                           csv_number(series.y[i]),
                           series.error.empty() ? "" : csv_number(series.error[i]));
      }
    }
  }
  return csv;
}

bool can_draw() {
  return is_on_path("gnuplot");
}

void draw(const Figure& figure, const std::filesystem::path& stem) {
  check(figure);
  const std::string name = stem.string();
  write_file_atomically(name + ".csv", to_csv(figure));
  const std::string hint = fmt::format(" (the numbers are in {}.csv)", name);
  write_file_atomically(name + ".svg", run_gnuplot(figure, PlotFormat::svg, name + ".svg", hint));
  write_file_atomically(name + ".png", run_gnuplot(figure, PlotFormat::png, name + ".png", hint));
}

std::string try_draw(const Figure& figure, const std::filesystem::path& stem) {
  try {
    draw(figure, stem);
    return "";
  } catch (const Error& error) {
    return error.what();
  }
}

std::string to_svg(const Figure& figure) {
  check(figure);
  std::string svg =
      run_gnuplot(figure, PlotFormat::svg_element, fmt::format("figure '{}'", figure.title), "");
  const std::size_t start = svg.find("<svg");
  PROTOLITH_CHECK(start != std::string::npos, "gnuplot wrote no SVG for figure '{}'", figure.title);
  svg.erase(0, start);
  // Titles show as tooltips: a series' name may, gnuplot's own words may not.
  remove_all(svg, "<title>Gnuplot", "</title>");
  remove_all(svg, "<title>gnuplot_plot", "</title>");
  remove_all(svg, "<desc>Produced", "</desc>");
  // Names must be unique on a page that holds several figures.
  const std::string prefix = fmt::format("f{:08x}-", hash(svg + figure.title));
  for (const char* name : {"id='", "id=\"", "xlink:href='#", "url(#"}) {
    replace_all(svg, name, name + prefix);
  }
  replace_all(svg, "<svg",
              fmt::format("<svg role=\"img\" aria-label=\"{}\"", html_attribute(figure.title)));
  return svg;
}

}  // namespace protolith
