#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tests/engine/environment.h"
#include "tests/tools/class_folder.h"
#include "tests/tools/program_json.h"
#include "tools/settings_file.h"
#include "tools/sweep_grid.h"

namespace protolith::testing {
namespace {

/// A cell of a second: 5-way episodes, epochs of 5.
const std::string kSmallGrid =
    "--train-way 5 --train-query 2 --val-way 5 --val-query 2 --val-episodes 3 --epoch-episodes 5 "
    "--test-way 5 --test-query 2 --test-episodes 10 --threads 1 "
    "--convolution direct ";  // the address sanitizer makes Winograd's kernels slow

std::vector<std::string> texts(const std::vector<Metric>& metrics) {
  std::vector<std::string> result;
  for (const Metric& metric : metrics) result.push_back(to_string(metric));
  return result;
}

SweepCell cell(const std::string& metric, double accuracy, double loss) {
  return {Metric::parse(metric), accuracy, 0.01, loss, 3, "runs/" + metric};
}

/// The result without the folders' names.
nlohmann::json without_runs(nlohmann::json result) {
  for (nlohmann::json& one : result["cells"]) one.erase("run");
  return result;
}

}  // namespace

TEST_CASE("a sweep's metrics are the grid, then the lists, each once") {
  using Texts = std::vector<std::string>;
  const Metric base = Metric::parse("lsed:2:0.5");
  CHECK(texts(sweep_metrics({{"0", "4"}, {"0.1", "0.01"}, {}, {}}, base)) ==
        Texts{"lsed:0:0.1", "lsed:0:0.01", "lsed:4:0.1", "lsed:4:0.01"});
  CHECK(texts(sweep_metrics({{"0", "1"}, {}, {}, {}}, base)) == Texts{"lsed:0:0.5", "lsed:1:0.5"});
  CHECK(texts(sweep_metrics({{}, {"0.1"}, {}, {}}, base)) == Texts{"lsed:2:0.1"});
  CHECK(texts(sweep_metrics({{}, {}, {"10", "100"}, {"sed", "lsed:0:1", "sed", "temperature:10"}},
                            base)) ==
        Texts{"temperature:10", "temperature:100", "sed", "lsed:0:1"});
  CHECK(texts(sweep_metrics({{"4.0"}, {"0.010"}, {}, {"lsed:4:0.01"}}, base)) ==
        Texts{"lsed:4:0.01"});
  CHECK_THROWS_WITH_AS(sweep_metrics({}, base), doctest::Contains("--s"), UsageError);
  CHECK_THROWS_WITH_AS(sweep_metrics({{"0", "x"}, {}, {}, {}}, base), doctest::Contains("--s x"),
                       UsageError);
  CHECK_THROWS_WITH_AS(sweep_metrics({{}, {"-1"}, {}, {}}, base), doctest::Contains("--r -1"),
                       UsageError);
  CHECK_THROWS_WITH_AS(sweep_metrics({{}, {}, {"0"}, {}}, base),
                       doctest::Contains("--temperature 0"), UsageError);
  CHECK_THROWS_WITH_AS(sweep_metrics({{}, {}, {}, {"euclid"}}, base), doctest::Contains("euclid"),
                       UsageError);
}

TEST_CASE("accuracy chooses, loss breaks ties") {
  const std::vector<SweepCell> cells{cell("sed", 0.9, 0.1), cell("lsed:0:0.1", 0.95, 0.4),
                                     cell("lsed:0:0.01", 0.95, 0.3), cell("lsed:4:0.1", 0.95, 0.3)};
  CHECK(to_string(chosen_cell(cells).metric) == "lsed:0:0.01");
  CHECK(contains(sweep_table(cells), "* lsed:0:0.01"));
  CHECK_THROWS_AS(chosen_cell({}), Error);
}

TEST_CASE("the figure shows s at the reference's r, r at its s, and temperatures") {
  const std::vector<SweepCell> cells{cell("lsed:4:0.01", 0.93, 1),   cell("lsed:0:0.01", 0.92, 1),
                                     cell("lsed:4:0.1", 0.91, 1),    cell("lsed:0:0.1", 0.5, 1),
                                     cell("lsed:4:0", 0.2, 1),       cell("sed", 0.9, 1),
                                     cell("temperature:10", 0.94, 1)};
  CHECK(to_string(sweep_reference(cells, Metric::parse("lsed:0:0.1"))) == "lsed:0:0.1");
  CHECK(to_string(sweep_reference(cells, Metric::parse("lsed:7:7"))) == "lsed:4:0.01");
  const Figure figure = sweep_figure(cells, Metric::parse("lsed:4:0.01"));
  REQUIRE(figure.panels.size() == 3);
  using Numbers = std::vector<double>;
  const auto close = [](const Numbers& a, const Numbers& b) {
    bool equal = a.size() == b.size();
    for (std::size_t i = 0; equal && i < a.size(); ++i) equal = std::abs(a[i] - b[i]) < 1e-6;
    return equal;
  };
  const auto series = [&](std::size_t panel) { return figure.panels[panel].series.at(0); };
  CHECK(close(series(0).x, {0, 4}));
  CHECK(close(series(0).y, {92, 93}));
  CHECK(close(series(0).error, {1, 1}));
  CHECK(close(series(1).x, {0.01, 0.1}));  // r = 0 has no logarithm
  CHECK(close(series(1).y, {93, 91}));
  CHECK(figure.panels[1].x.logarithmic);
  CHECK(close(series(2).x, {10}));
  CHECK(sweep_figure({cell("sed", 0.9, 1)}, Metric{}).panels.empty());
}

TEST_CASE("settings differ by key, before and now") {
  CHECK(settings_difference({{"a", 1}, {"b", "x"}}, {{"a", 1}, {"b", "x"}}).empty());
  CHECK(settings_difference({{"a", 1}, {"b", "x"}}, {{"a", 2}, {"c", true}}) ==
        "a: 1 before, 2 now; b: \"x\" before, not given now; c: not given before, true now");
}

TEST_CASE("a sweep trains each cell as train does, and tests the chosen one as eval does") {
  const TemporaryFolder folder;
  const std::string command = "sweep " + kSmallGrid + "--episodes 10 --json --out sweep ";
  const nlohmann::json result =
      json_of(run_program(command + "--s 0,4 --metric sed", folder.path()));
  REQUIRE(result["cells"].size() == 3);
  const nlohmann::json& first = result["cells"][0];
  CHECK(first["metric"] == "lsed:0:0.01");
  CHECK(first["s"] == 0);
  CHECK(first["r"] == 0.01);
  CHECK(first["run"] == "sweep/lsed-0-0.01");
  CHECK(result["cells"][2]["s"].is_null());
  CHECK(nlohmann::json::parse(slurp(folder / "sweep/summary.json")) == result);
  CHECK(contains(slurp(folder / "sweep/sweep.csv"), "\nlsed:4:0.01,4,0.01,,"));
  for (const char* file : {"figure8.csv", "figure8.svg", "figure8.png"}) {
    CHECK(std::filesystem::exists(folder / "sweep" / file));
  }

  const nlohmann::json alone = json_of(
      run_program("train " + kSmallGrid + "--episodes 10 --metric lsed:4:0.01 --json --out alone",
                  folder.path()));
  for (const char* key : {"val_accuracy", "val_loss", "best_epoch"}) {
    CHECK(result["cells"][1][key] == alone[key]);
  }
  CHECK(slurp(folder / "sweep/lsed-4-0.01/best.safetensors") ==
        slurp(folder / "alone/best.safetensors"));
  for (const nlohmann::json& one : result["cells"]) {
    if (one["metric"] != result["chosen"]) continue;
    const nlohmann::json scored =
        json_of(run_program("eval " + one["run"].get<std::string>() + " --json", folder.path()));
    CHECK(scored["accuracy"] == result["test_accuracy"]);
    CHECK(scored["ci95"] == result["test_ci95"]);
  }

  // Again with a cell more: the others are not trained anew.
  const auto last = folder / "sweep/sed/last.safetensors";
  const auto written = std::filesystem::last_write_time(last);
  const ProgramResult again = run_program(command + "--s 0,4 --metric sed,lsed:0:1", folder.path());
  const nlohmann::json more = json_of(again);
  REQUIRE(more["cells"].size() == 4);
  for (std::size_t i = 0; i < 3; ++i) CHECK(more["cells"][i] == result["cells"][i]);
  CHECK(std::filesystem::last_write_time(last) == written);

  // Other settings: refused with the difference, and nothing is lost.
  const ProgramResult other =
      run_program(command + "--s 0,4 --lr 0.01 --seed 7 --val-shot 2", folder.path());
  CHECK(other.code == 2);
  for (const char* part : {"lr: 0.001 before, 0.01 now", "seed: 1 before, 7 now",
                           "val_shot: 1 before, 2 now", "--out"}) {
    CHECK_MESSAGE(contains(other.errors, part), other.errors);
  }
  CHECK(nlohmann::json::parse(slurp(folder / "sweep/summary.json")) == more);

  const ProgramResult in_run = run_program(
      "sweep " + kSmallGrid + "--episodes 10 --s 0,4 --out sweep/lsed-0-0.01", folder.path());
  CHECK(in_run.code == 2);
  CHECK_MESSAGE(contains(in_run.errors, "sweep/lsed-0-0.01 holds a run"), in_run.errors);
}

TEST_CASE("Ctrl-C within a cell saves and exits with 130; the same command ends as if without") {
  const TemporaryFolder folder;
  const std::string command = "sweep " + kSmallGrid + "--episodes 40 --r 0.1,0.01 --json --out ";
  const nlohmann::json whole =
      json_of(run_program(command + "'" + (folder / "whole").string() + "'"));
  const auto out = folder / "parts";
  const pid_t child = start(words(command + out.string()), folder / "log");
  CHECK(wait_for([&] { return std::filesystem::exists(out / "lsed-0-0.01/last.safetensors"); }));
  kill(child, SIGINT);
  CHECK(wait_for_exit(child) == 130);
  CHECK(contains(slurp(folder / "log"), "same command continues"));
  CHECK_FALSE(std::filesystem::exists(out / "summary.json"));
  const nlohmann::json parts = json_of(run_program(command + "'" + out.string() + "'"));
  CHECK(without_runs(parts) == without_runs(whole));
  for (const char* run : {"lsed-0-0.1", "lsed-0-0.01"}) {
    CHECK(slurp(out / run / "best.safetensors") ==
          slurp(folder / "whole" / run / "best.safetensors"));
  }
}

TEST_CASE("without a test split a sweep compares by validation alone, and says so") {
  const TemporaryFolder folder;
  const Environment cache("PROTOLITH_CACHE", (folder / "cache").c_str());
  for (int c = 0; c < 9; ++c) write_class(folder / "data" / ("c" + std::to_string(c)), c);
  const std::string command =
      "--train-way 2 --train-query 1 --val-way 2 --val-query 1 --val-episodes 2 --epoch-episodes 2 "
      "--episodes 2 --threads 1 --data folder:data --image-size 16 --split-shares 5,4,0 ";
  const ProgramResult text =
      run_program("sweep " + command + "--r 0.1,0.01 --out sweep", folder.path());
  REQUIRE_MESSAGE(text.code == 0, text.errors);
  CHECK_MESSAGE(contains(text.errors, "no test split"), text.errors);
  CHECK_MESSAGE(contains(text.output, "not tested: the data set has no test split"), text.output);
  CHECK_FALSE(contains(text.output, "test accuracy"));
  const nlohmann::json summary = nlohmann::json::parse(slurp(folder / "sweep/summary.json"));
  CHECK(summary["cells"].size() == 2);
  CHECK(summary["test_accuracy"].is_null());
  const ProgramResult figure =
      run_program("reproduce fig8 --quick " + command + "--out fig8", folder.path());
  REQUIRE_MESSAGE(figure.code == 0, figure.errors);
  CHECK_MESSAGE(contains(figure.output, "not tested: the data set has no test split"),
                figure.output);
}

TEST_CASE("without gnuplot everything else is written, then the sweep fails") {
  const TemporaryFolder folder;
  const std::string path = std::getenv("PATH");
  setenv("PATH", folder.path().c_str(), 1);
  const ProgramResult result =
      run_program("sweep " + kSmallGrid + "--episodes 5 --r 0.1 --json --out sweep", folder.path());
  setenv("PATH", path.c_str(), 1);
  CHECK(result.code == 1);
  CHECK_MESSAGE(contains(result.errors, "gnuplot is missing"), result.errors);
  CHECK(nlohmann::json::parse(result.output)["chosen"] == "lsed:0:0.1");
  for (const char* file : {"figure8.csv", "sweep.csv", "summary.json"}) {
    CHECK(std::filesystem::exists(folder / "sweep" / file));
  }
}

TEST_CASE("a sweep's wrong usage is said before anything is trained") {
  const TemporaryFolder folder;
  spill(folder / "file", "");
  spill(folder / "all.toml", "trainval = true\n");
  struct Case {
    std::string arguments;
    int code;
    std::string message;
  };
  const Case cases[] = {
      {"--s 0 ", 2, "--out"},
      {"--out x", 2, "--temperature"},
      {"--out x --r 0.1,nan", 2, "--r nan"},
      {"--out x --metric cosine", 2, "cosine"},
      {"--out x --s 0 --reference cosine", 2, "cosine"},
      {"--out x --s 0,4 --r 0.1 --reference lsed:4:0.2", 2, "--metric lsed:4:0.2"},
      {"--out x --s 0 --episodes 3", 2, "--epoch-episodes"},
      {"--out x --s 0 --test-shot 30", 2, "32"},
      {"--out x --s 0 --train-shot 30", 2, "32"},
      {"--out x --s 0 --config all.toml", 2, "trainval"},
      {"--out file --s 0", 1, "file"},
      {"--out x --s 0 --data omniglot:nowhere", 1, "nowhere"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.arguments);
    const ProgramResult result = run_program("sweep " + kSmallGrid + c.arguments, folder.path());
    CHECK(result.code == c.code);
    CHECK(result.output.empty());
    CHECK_MESSAGE(contains(result.errors, c.message), result.errors);
  }
  CHECK_FALSE(std::filesystem::exists(folder / "x"));
}

}  // namespace protolith::testing
