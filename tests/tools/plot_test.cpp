#include "tools/plot.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "engine/check.h"
#include "tests/engine/environment.h"
#include "tests/engine/temporary_folder.h"
#include "tests/tools/program.h"
#include "tools/plot_script.h"

namespace protolith {
namespace {

using testing::contains;
using testing::Environment;
using testing::slurp;
using testing::spill;
using testing::TemporaryFolder;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t found = 0;
  for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
    ++found;
  }
  return found;
}

Figure one_panel(Series series) {
  return {.title = "A figure",
          .columns = 1,
          .panels = {{.title = "A panel",
                      .x = {.label = "episodes"},
                      .y = {.label = "loss"},
                      .series = {std::move(series)}}}};
}

Series line(std::vector<double> y) {
  Series series{.name = "a line", .x = {}, .y = std::move(y)};
  for (std::size_t i = 0; i < series.y.size(); ++i) series.x.push_back(static_cast<double>(i));
  return series;
}

TEST_CASE("numbers as CSV: points, errors, bars, what is not finite, names in quotes") {
  Figure figure = one_panel({.name = "a, \"b\"",
                             .x = {1, 2, 3},
                             .y = {0.1, -kNan, -kInfinity},
                             .error = {0.01, 0, kInfinity}});
  figure.panels.push_back(
      {.title = "bars",
       .x = {},
       .y = {},
       .series = {
           {.name = "", .x = {0, 0.5, 1}, .y = {3, 1e-300}, .style = SeriesStyle::histogram}}});
  CHECK(to_csv(figure) ==
        "panel,series,x,x_upper,y,error\n"
        "A panel,\"a, \"\"b\"\"\",1,,0.1,0.01\n"
        "A panel,\"a, \"\"b\"\"\",2,,nan,0\n"
        "A panel,\"a, \"\"b\"\"\",3,,-inf,inf\n"
        "bars,,0,0.5,3,\n"
        "bars,,0.5,1,1e-300,\n");
}

TEST_CASE("without gnuplot the numbers are there and the error says what to install") {
  const TemporaryFolder folder;
  const Environment path("PATH", "");
  CHECK_FALSE(can_draw());
  const std::string stem = (folder / "figure.v2").string();
  CHECK_THROWS_WITH_AS(
      draw(one_panel(line({1, 2})), stem),
      ("gnuplot is missing, so " + stem +
       ".svg was not drawn; install it with: apt-get install gnuplot-nox (the numbers are in " +
       stem + ".csv)")
          .c_str(),
      Error);
  CHECK(slurp(stem + ".csv") == to_csv(one_panel(line({1, 2}))));
  CHECK(folder.entries() == 1);
  CHECK_THROWS_WITH_AS(to_svg(one_panel(line({1, 2}))), doctest::Contains("gnuplot-nox"), Error);
}

TEST_CASE("a gnuplot that fails is quoted, and the numbers are there") {
  const TemporaryFolder folder;
  spill(folder / "gnuplot", "#!/bin/sh\necho 'no such terminal' >&2\nexit 3\n");
  std::filesystem::permissions(folder / "gnuplot", std::filesystem::perms::owner_all);
  const Environment path("PATH", folder.path().c_str());
  const std::string stem = (folder / "figure").string();
  CHECK_THROWS_WITH_AS(
      draw(one_panel(line({1, 2})), stem),
      ("gnuplot could not draw " + stem +
       ".svg (exit code 3): no such terminal\n (the numbers are in " + stem + ".csv)")
          .c_str(),
      Error);
  CHECK(slurp(stem + ".csv") == to_csv(one_panel(line({1, 2}))));
  CHECK(folder.entries() == 2);
}

TEST_CASE("a figure without anything to draw is an error, before anything is written") {
  const TemporaryFolder folder;
  Figure logarithmic = one_panel(line({0, -1}));
  logarithmic.panels[0].y.logarithmic = true;
  for (const Figure& figure :
       {Figure{}, one_panel({}), one_panel(line({kNan, kInfinity})), logarithmic}) {
    CHECK_THROWS_WITH_AS(draw(figure, folder / "figure"), doctest::Contains("can be drawn"), Error);
    CHECK_THROWS_AS(to_svg(figure), Error);
  }
  CHECK(folder.entries() == 0);
}

TEST_CASE("lengths that do not fit are an error") {
  CHECK_THROWS_AS(to_svg(one_panel({.name = "", .x = {1, 2}, .y = {1}})), Error);
  CHECK_THROWS_AS(to_svg(one_panel({.name = "", .x = {1}, .y = {1}, .error = {1, 2}})), Error);
  CHECK_THROWS_AS(
      to_svg(one_panel({.name = "", .x = {1}, .y = {1}, .style = SeriesStyle::histogram})), Error);
}

/// Skips a test case that needs gnuplot where there is none.
bool skips() {
  if (!can_draw()) MESSAGE("skipped: gnuplot is not installed");
  return !can_draw();
}

TEST_CASE("a figure becomes CSV, SVG and PNG, the same each time") {
  if (skips()) return;
  const TemporaryFolder folder;
  const Figure figure = one_panel(line({3, 2, 1}));
  draw(figure, folder / "one");
  draw(figure, folder / "two");
  CHECK(folder.entries() == 6);
  CHECK(slurp(folder / "one.csv") == to_csv(figure));
  CHECK(slurp(folder / "one.svg") == slurp(folder / "two.svg"));
  CHECK(slurp(folder / "one.png").substr(0, 8) == "\x89PNG\r\n\x1a\n");
  const std::string svg = slurp(folder / "one.svg");
  CHECK(svg.ends_with("</svg>\n\n"));
  for (const char* text : {"A figure", "A panel", "episodes", "loss", "a line"}) {
    CAPTURE(text);
    CHECK(contains(svg, text));
  }
}

TEST_CASE("text is shown as it is: no mark-up, no commands, quotes and line ends included") {
  if (skips()) return;
  const TemporaryFolder folder;
  const std::string bad = "it's <b> & \"x\" a_b^c {/Bold d} \\n `touch " +
                          (folder / "made").string() + "` é\n!touch x\nEND";
  Figure figure = one_panel(line({1, 2}));
  figure.title = figure.panels[0].title = figure.panels[0].x.label = figure.panels[0].y.label =
      figure.panels[0].series[0].name = bad;
  const std::string svg = to_svg(figure);
  CHECK(folder.entries() == 0);
  CHECK_FALSE(contains(svg, "<b>"));
  // The panel's title, two labels, the key and its tooltip, the label of the whole.
  CHECK(count(svg, "it's &lt;b&gt; &amp; \"x\" a_b^c {/Bold d} \\n `touch ") +
            count(svg, "it's &lt;b> &amp; \"x\" a_b^c {/Bold d} \\n `touch ") +
            count(svg, "it's &lt;b> &amp; &quot;x&quot; a_b^c {/Bold d} \\n `touch ") >=
        6);
  CHECK(contains(svg, "` é !touch x END"));
}

TEST_CASE("what is not finite is a gap in a line") {
  if (skips()) return;
  // A path starts with M and goes on with L.
  const auto strokes = [](const Figure& figure) {
    const std::string svg = to_svg(figure);
    const std::size_t start = svg.find("d='M", svg.find("<title>a line"));
    const std::string path = svg.substr(start, svg.find('/', start) - start);
    return std::pair(count(path, "M"), count(path, "L"));
  };
  const auto whole = strokes(one_panel(line({1, 2, 3, 4, 5, 6})));
  CHECK(whole.second >= 5);
  const auto broken = strokes(one_panel(line({1, 2, kNan, 4, kInfinity, 5, 6})));
  CHECK(broken.first == whole.first + 2);
}

TEST_CASE("every style, logarithmic axes, errors and an empty panel draw") {
  if (skips()) return;
  Figure figure{.title = "All", .columns = 3, .panels = {}};
  for (const SeriesStyle style :
       {SeriesStyle::line, SeriesStyle::points, SeriesStyle::line_points, SeriesStyle::histogram}) {
    for (const bool logarithmic : {false, true}) {
      Series series = line({0, 1, 20, 400});
      series.style = style;
      series.error = {1, 5, kNan, -kInfinity};
      if (style == SeriesStyle::histogram) series.x.push_back(4);
      figure.panels.push_back({.title = "panel",
                               .x = {.label = "x", .logarithmic = logarithmic},
                               .y = {.label = "y", .logarithmic = logarithmic},
                               .series = {series, series}});
    }
  }
  figure.panels.push_back({.title = "empty", .x = {}, .y = {}, .series = {line({kNan})}});
  const std::string svg = to_svg(figure);
  CHECK(count(svg, "no values") == 1);
  // A constant has no range of its own; one point neither.
  CHECK_NOTHROW(to_svg(one_panel(line({5, 5, 5}))));
  CHECK_NOTHROW(to_svg(one_panel(line({0}))));
}

TEST_CASE("a long title is written smaller, so that it fits") {
  const auto size = [](int columns, const std::string& title) {
    const Figure figure{.title = title, .columns = columns, .panels = {{}, {}}};
    const std::string script = gnuplot_script(figure, PlotFormat::png);
    const std::size_t at = script.find("noenhanced font ',");
    REQUIRE(at != std::string::npos);
    return std::stoi(script.substr(at + 18));
  };
  CHECK(size(2, "All query-prototype pairs of a training episode: omniglot, 60-way") == 13);
  CHECK(size(2, std::string(80, 'x')) == 11);
  CHECK(size(1, std::string(80, 'x')) < size(2, std::string(80, 'x')));
  CHECK(size(2, "short") == 14);
  std::string umlauts;
  for (int i = 0; i < 60; ++i) umlauts += "\u00fc";
  CHECK(size(2, umlauts) == 14);
  CHECK(size(2, std::string(1000, 'x')) == 6);
}

TEST_CASE("tics lie on whole numbers where the values do") {
  if (skips()) return;
  const auto shows = [](const Figure& figure, const std::string& tic) {
    return contains(to_svg(figure), ">" + tic + "</");
  };
  CHECK(shows(one_panel({.name = "", .x = {1, 2, 3}, .y = {0.1, 0.2, 0.3}}), "3"));
  CHECK_FALSE(shows(one_panel({.name = "", .x = {1, 2, 3}, .y = {0.1, 0.2, 0.3}}), "1.5"));
  CHECK(shows(one_panel({.name = "", .x = {1, 2.25, 3}, .y = {0.1, 0.2, 0.3}}), "1.5"));
}

TEST_CASE("tics are as far apart as the intervals around points are long") {
  if (skips()) return;
  const std::string svg = to_svg(one_panel({.name = "",
                                            .x = {1, 2},
                                            .y = {36.21, 36.34},
                                            .error = {1.2, 1.2},
                                            .style = SeriesStyle::line_points}));
  CHECK(contains(svg, ">36</"));
  CHECK(contains(svg, ">36.5</"));
  CHECK_FALSE(contains(svg, ">36.2</"));
}

TEST_CASE("an SVG element has a label and names of its own, and no document around it") {
  if (skips()) return;
  Figure figure = one_panel(line({1, 2}));
  figure.title = "a \"b\" <c> & d";
  const std::string svg = to_svg(figure);
  CHECK(svg.starts_with("<svg role=\"img\" aria-label=\"a &quot;b&quot; &lt;c> &amp; d\""));
  CHECK_FALSE(contains(svg, "gnuplot_plot_1</title>"));
  CHECK_FALSE(contains(svg, "c&gt; &amp; d</text>"));  // not drawn
  CHECK_FALSE(contains(svg, "GNUPLOT"));
  CHECK_FALSE(contains(svg, "background"));
  const auto name = [](const std::string& text) {
    const std::size_t at = text.find("id=\"");
    return text.substr(at, text.find('-', at) - at);
  };
  CHECK(name(svg) == name(to_svg(figure)));
  CHECK(name(svg) != name(to_svg(one_panel(line({1, 3})))));
}

}  // namespace
}  // namespace protolith
