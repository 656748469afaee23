#include "tools/loss_curves.h"

#include <doctest/doctest.h>

#include <cmath>
#include <sstream>

#include "tests/tools/program.h"

namespace protolith::testing {
namespace {

/// A row of a figure's CSV; its texts hold no commas but in quotes.
struct Row {
  std::string panel, series;
  double x = 0, y = 0;
};

/// Splits at commas outside quotes, and drops the quotes.
std::vector<std::string> fields(const std::string& line) {
  std::vector<std::string> result(1);
  bool quoted = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
    } else if (c == ',' && !quoted) {
      result.emplace_back();
    } else {
      result.back() += c;
    }
  }
  return result;
}

std::vector<Row> rows(const std::string& csv) {
  std::istringstream stream(csv);
  std::string line;
  std::getline(stream, line);
  REQUIRE(line == "panel,series,x,x_upper,y,error");
  std::vector<Row> result;
  while (std::getline(stream, line)) {
    const std::vector<std::string> f = fields(line);
    REQUIRE(f.size() == 6);
    result.push_back({f[0], f[1], std::stod(f[2]), std::stod(f[4])});
  }
  return result;
}

/// Equation 6.
long double lsed(long double d, long double s, long double r) {
  return d <= s ? d : s + (d - s) * r;
}

/// Equation 3 as it stands: -log of a quotient of exponentials, in range in long double.
long double loss(long double d0, long double d1) {
  return -std::log(std::exp(-d0) / (std::exp(-d0) + std::exp(-d1)));
}

}  // namespace

TEST_CASE("figure 2's numbers are equations 3 and 6") {
  const TemporaryFolder folder;
  const ProgramResult result =
      run_program("reproduce fig2 --json --out '" + (folder / "fig2").string() + "'");
  INFO(result.errors);
  CHECK((result.code == 0 || contains(result.errors, "gnuplot is missing")));
  int sed_points = 0, lsed_points = 0, distances = 0;
  for (const Row& row : rows(slurp(folder / "fig2" / "figure2.csv"))) {
    CAPTURE(row.panel);
    CAPTURE(row.series);
    CAPTURE(row.x);
    if (row.panel == "equation 6") {
      const bool leaky = row.series == "LSED, s = 4, r = 0.01";
      CHECK((leaky || row.series == "SED"));
      const auto expected = static_cast<double>(leaky ? lsed(row.x, 4, 0.01L) : row.x);
      CHECK(row.y == doctest::Approx(expected).epsilon(1e-6).scale(0));
      ++distances;
      continue;
    }
    const long double d0 = std::exp(static_cast<long double>(-row.x));
    const long double d1 = std::stold(row.series.substr(row.series.find("= ") + 2));
    CHECK((d1 == 1 || d1 == 10 || d1 == 100));
    const bool leaky = row.panel == "LSED, s = 4, r = 0.01";
    CHECK((leaky || row.panel == "SED"));
    const long double expected =
        leaky ? loss(lsed(d0, 4, 0.01L), lsed(d1, 4, 0.01L)) : loss(d0, d1);
    // Below 1e-17 the quotient above rounds to 1; the program's value is then as small.
    CHECK(row.y == doctest::Approx(static_cast<double>(expected)).epsilon(1e-6).scale(1e-12));
    ++(leaky ? lsed_points : sed_points);
  }
  CHECK(sed_points == 3 * 241);
  CHECK(lsed_points == 3 * 241);
  CHECK(distances == 2 * 241);
}

TEST_CASE("the loss of two classes stays finite and exact where exponentials do not") {
  const LeakyDistance sed = Metric{}.leaky();
  CHECK(two_class_loss(1e6, 1, sed) == doctest::Approx(1e6 - 1).epsilon(1e-12));
  CHECK(two_class_loss(1, 100, sed) == doctest::Approx(std::exp(-99.0)).epsilon(1e-12).scale(0));
  CHECK(two_class_loss(5, 5, sed) == doctest::Approx(std::log(2.0)).epsilon(1e-15));
}

}  // namespace protolith::testing
