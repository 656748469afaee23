#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tests/tools/program_json.h"
#include "tools/reproduce_table.h"

namespace protolith::testing {
namespace {

/// A training of a second.
const std::string kSmallTable =
    "--data synthetic --train-way 5 --train-query 2 --val-way 5 --val-query 2 --val-episodes 3 "
    "--epoch-episodes 5 --test-way 5 --test-query 2 --test-episodes 10 --threads 1 "
    "--convolution direct ";  // the address sanitizer makes Winograd's kernels slow

std::vector<std::string> lines(const std::string& target, bool quick = false,
                               const Assignments& flags = {}) {
  std::vector<std::string> result;
  for (const ReproduceStep& step :
       reproduce_steps({.target = target, .quick = quick, .out = "out", .flags = flags})) {
    result.push_back(step_line(step));
  }
  return result;
}

Assignment flag(const char* key, const char* value) {
  return {find_option(key), value, ""};
}

nlohmann::json comparison(double sed, double lsed) {
  return {{"accuracy", sed},
          {"ci95", 0.0016},
          {"loss", 0.2},
          {"other_accuracy", lsed},
          {"other_ci95", 0.0015},
          {"other_loss", 0.1},
          {"difference", lsed - sed},
          {"difference_ci95", 0.001},
          {"way", 20},
          {"shot", 1}};
}

}  // namespace

TEST_CASE("targets are these commands") {
  using Lines = std::vector<std::string>;
  CHECK(lines("fig2").empty());
  CHECK(lines("fig3") ==
        Lines{"protolith grad-hist --preset omniglot-20w1s-sed --metric "
              "sed,lsed:0:0.1,lsed:0:0.01 --at 0 --out out/hist --json > out/hist.json"});
  CHECK(contains(lines("fig4").at(0), "--metric sed --at 0,8,16"));
  CHECK(contains(lines("fig5").at(0), "--metric lsed:0:0.01 --at 0,8,16"));
  CHECK(contains(lines("fig6").at(0), "--metric sed --at 0,50,100"));
  CHECK(contains(lines("fig7").at(0), "--metric lsed:4:0.01 --at 0,50,100"));
  CHECK(lines("fig8") ==
        Lines{"protolith sweep --preset omniglot-20w1s-lsed --s 0,1,2,4,8,16 --r 0.01 --metric "
              "lsed:4:1,lsed:4:0.1,lsed:4:0.001 --reference lsed:4:0.01 --out out/sweep --json > "
              "out/sweep.json"});
  CHECK(lines("fig9") ==
        Lines{"protolith train --preset omniglot-20w1s-sed --out out/sed --json > "
              "out/train-sed.json",
              "protolith train --preset omniglot-20w1s-lsed --out out/lsed --json > "
              "out/train-lsed.json",
              "protolith report out/sed out/lsed --out out/report.html --json > out/report.json"});
  const Lines table = lines("table1");
  REQUIRE(table.size() == 6);
  CHECK(table[3] ==
        "protolith train --preset omniglot-20w5s-sed --out out/sed-5shot --json > "
        "out/train-sed-5shot.json");
  CHECK(table[5] ==
        "protolith eval out/sed-5shot --compare out/lsed-5shot --json > out/eval-5shot.json");
  CHECK_THROWS_WITH_AS(lines("fig1"), doctest::Contains("table1"), UsageError);
}

TEST_CASE("miniImageNet has its own presets") {
  const Assignments flags{flag("data", "mini-imagenet:mini.tar")};
  CHECK(contains(lines("fig6", false, flags).at(0), "--preset mini-5w1s-sed --metric sed"));
  CHECK(contains(lines("fig8", false, flags).at(0), "--preset mini-5w1s-lsed --s"));
  CHECK(contains(lines("fig9", false, flags).at(1), "--preset mini-5w1s-lsed --data"));
  CHECK(contains(lines("table1", false, flags).at(3), "--preset mini-5w5s-sed --data"));
}

TEST_CASE("flags go to the commands that take them, over --quick's own") {
  const Assignments flags{flag("data", "omniglot:a b"), flag("episodes", "400"),
                          flag("threads", "2"), flag("deterministic", "off"), flag("seed", "3")};
  const std::vector<std::string> table = lines("table1", true, flags);
  CHECK(table.at(0) ==
        "protolith train --preset omniglot-20w1s-sed --epoch-episodes 40 --val-episodes 20 "
        "--test-episodes 100 --data 'omniglot:a b' --episodes 400 --threads 2 --deterministic=off "
        "--seed 3 --out out/sed-1shot --json > out/train-sed-1shot.json");
  CHECK(table.at(2) ==
        "protolith eval out/sed-1shot --compare out/lsed-1shot --threads 2 --deterministic=off "
        "--json > out/eval-1shot.json");
  CHECK(contains(lines("fig3", true, flags).at(0), "--at 0 --data 'omniglot:a b' --episodes 400"));
  const auto steps =
      reproduce_steps({.target = "fig9", .quiet = true, .out = "out", .flags = flags});
  CHECK(steps.at(1).resume == words("train --resume out/lsed --threads 2 --deterministic=off "
                                    "--json --quiet"));
}

TEST_CASE("table 1 has ours and the paper's beside") {
  nlohmann::json one = comparison(0.95, 0.9562), five = comparison(0.985, 0.9871);
  one["paper_sed"] = 0.9514;
  one["paper_lsed"] = 0.9565;
  five["shot"] = 5;
  const std::string table = table1_markdown({one, five});
  CHECK(contains(table,
                 "| 20-way 1-shot | 95.00 +- 0.16 | 95.62 +- 0.15 | +0.62 +- 0.10 | 95.14 | 95.65 "
                 "| +0.51 |\n"));
  CHECK(
      contains(table, "| 20-way 5-shot | 98.50 +- 0.16 | 98.71 +- 0.15 | +0.21 +- 0.10 | | | |\n"));
  CHECK(contains(table1_csv({one, five}), "\n1,,0.95,0.0016,0.9562,0.0015,"));
  CHECK(contains(table1_csv({one, five}), ",0.9514,0.9565\n5,,"));
  CHECK(table1_means({one, five}).empty());
  one.erase("difference");
  CHECK_THROWS_WITH_AS(table1_markdown({one}), doctest::Contains("difference"), Error);
}

TEST_CASE("the paper's numbers stand beside its own experiments only") {
  CHECK(paper_accuracy("omniglot", 20, 1)->lsed == 0.9565);
  CHECK(paper_accuracy("omniglot", 20, 5)->sed == 0.9854);
  CHECK(paper_accuracy("mini-imagenet", 5, 1)->lsed == 0.5174);
  CHECK(paper_accuracy("mini-imagenet", 5, 5)->sed == 0.6794);
  CHECK_FALSE(paper_accuracy("omniglot", 5, 1));
  CHECK_FALSE(paper_accuracy("omniglot", 20, 2));
  CHECK_FALSE(paper_accuracy("mini-imagenet", 20, 1));
  CHECK_FALSE(paper_accuracy("synthetic", 20, 1));
  CHECK_FALSE(paper_accuracy("folder", 20, 1));
}

TEST_CASE("the mean over seeds has Student's interval") {
  Table1Rows rows;
  for (const int seed : {1, 2, 3, 4, 5}) {
    rows.push_back(comparison(0.94 + 0.002 * seed, 0.96));
    rows.back()["seed"] = seed;
  }
  // SED: deviations -4, -2, 0, 2, 4 thousandths: s = sqrt(10), t = 2.776 for 4 degrees of freedom.
  const Table1Rows means = table1_means(rows);
  REQUIRE(means.size() == 1);
  CHECK(means[0]["seeds"] == 5);
  CHECK(means[0]["accuracy"].get<double>() == doctest::Approx(0.946).epsilon(1e-12));
  const double half = 2.776 * 1e-3 * std::sqrt(10.0) / std::sqrt(5.0);
  CHECK(means[0]["ci95"].get<double>() == doctest::Approx(half).epsilon(1e-9));
  CHECK(means[0]["other_ci95"].get<double>() < 1e-12);
  CHECK(means[0]["difference"].get<double>() == doctest::Approx(0.014).epsilon(1e-12));
  CHECK(means[0]["difference_ci95"].get<double>() == doctest::Approx(half).epsilon(1e-9));
  const std::string table = table1_markdown(rows);
  CHECK(contains(table, "| 20-way 1-shot, seed 5 | 95.00 +- 0.16 |"));
  CHECK(contains(table,
                 "| 20-way 1-shot, mean of 5 seeds | 94.60 +- 0.39 | 96.00 +- 0.00 | +1.40 "
                 "+- 0.39 |"));
  CHECK(contains(table1_csv(rows), "\n1,5,0.95,"));
  // Beyond the table of quantiles: 31 seeds, t = 2.0423.
  rows.clear();
  for (int seed = 0; seed < 31; ++seed) rows.push_back(comparison(seed % 2 == 0 ? 0.9 : 0.8, 0.9));
  const double mean = (16 * 0.9 + 15 * 0.8) / 31;
  const double squares = 16 * std::pow(0.9 - mean, 2) + 15 * std::pow(0.8 - mean, 2);
  CHECK(table1_means(rows)[0]["ci95"].get<double>() ==
        doctest::Approx(2.0423 * std::sqrt(squares / 30 / 31)).epsilon(3e-4).scale(0));
}

TEST_CASE("table 1 of several seeds: the commands of each, in its own folder") {
  const auto steps = reproduce_steps(
      {.target = "table1", .out = "out", .flags = {flag("data", "omniglot:x")}, .seeds = {2, 7}});
  REQUIRE(steps.size() == 12);
  CHECK(step_line(steps[7]) ==
        "protolith train --preset omniglot-20w1s-lsed --data omniglot:x --seed 7 --out "
        "out/seed-7/lsed-1shot --json > out/seed-7/train-lsed-1shot.json");
  CHECK(step_line(steps[5]) ==
        "protolith eval out/seed-2/sed-5shot --compare out/seed-2/lsed-5shot --json > "
        "out/seed-2/eval-5shot.json");
  CHECK(steps[5].name == "eval-5shot, seed 2");
  CHECK(steps[5].seed == 2);
  CHECK(steps[7].resume == words("train --resume out/seed-7/lsed-1shot --json"));
}

TEST_CASE("seeds are a list with ranges") {
  using Seeds = std::vector<std::int64_t>;
  CHECK(parse_seeds("3") == Seeds{3});
  CHECK(parse_seeds("1:3,0,9:9") == Seeds{1, 2, 3, 0, 9});
  const std::pair<const char*, const char*> wrong[] = {
      {"", "no number at ''"},          {"1,", "no number at ''"},
      {"-1", "no number at '-1'"},      {"1:3,2", "2 is there twice"},
      {"5:1", "5:1 is no range"},       {"1:2:3", "':3' is left"},
      {"1 2", "' 2' is left"},          {"x", "no number at 'x'"},
      {"0:1000", "0:1000 is no range"}, {"99999999999999999999", "no number at '9999"}};
  for (const auto& [text, message] : wrong) {
    CHECK_THROWS_WITH_AS(parse_seeds(text), doctest::Contains(message), UsageError);
  }
}

TEST_CASE("table 1 of several seeds grows in one folder") {
  const TemporaryFolder folder;
  const std::string command =
      "reproduce table1 " + kSmallTable + "--episodes 5 --out table --seeds ";
  json_of(run_program(command + "4 --json", folder.path()));
  const ProgramResult two = run_program(command + "4:5", folder.path());
  REQUIRE_MESSAGE(two.code == 0, two.errors);
  CHECK(contains(two.errors, "train-sed-1shot, seed 4: already done"));
  CHECK(contains(two.output, "| 5-way 1-shot, seed 5 |"));
  CHECK(contains(two.output, "| 5-way 5-shot, mean of 2 seeds |"));
  CHECK(contains(two.output, "Student's"));
  const nlohmann::json table = nlohmann::json::parse(slurp(folder / "table/table1.json"));
  REQUIRE(table["rows"].size() == 4);
  REQUIRE(table["means"].size() == 2);
  CHECK(table["rows"][0]["accuracy"] != table["rows"][2]["accuracy"]);
  CHECK(table["means"][0]["accuracy"].get<double>() ==
        doctest::Approx((table["rows"][0]["accuracy"].get<double>() +
                         table["rows"][2]["accuracy"].get<double>()) /
                        2));
}

TEST_CASE("table 1 from training to text; a second call only reads; other settings are refused") {
  const TemporaryFolder folder;
  const std::string command = "reproduce table1 " + kSmallTable + "--episodes 10 --out table ";
  const ProgramResult result = run_program(command, folder.path());
  INFO(result.errors);
  REQUIRE(result.code == 0);
  CHECK(contains(result.output, "| 20-way 5-shot |") == false);  // 5-way: as was tested
  CHECK(contains(result.output, "| 5-way 5-shot |"));
  CHECK(contains(result.output, "generated glyphs"));
  CHECK(contains(result.errors, "protolith train --preset omniglot-20w5s-lsed"));
  CHECK(contains(result.errors, "epoch 2: 10 episodes"));  // the commands' progress
  CHECK(contains(result.output, slurp(folder / "table/table1.md")));
  CHECK(contains(result.output, " | | | |\n"));  // the paper has nothing of 5 ways, nor of glyphs
  CHECK_FALSE(contains(result.output, "Student's"));
  const nlohmann::json rows = nlohmann::json::parse(slurp(folder / "table/table1.json"))["rows"];
  REQUIRE(rows.size() == 2);
  const nlohmann::json scored =
      json_of(run_program("eval table/sed-1shot --compare table/lsed-1shot --json", folder.path()));
  CHECK(rows[0]["accuracy"] == scored["accuracy"]);
  CHECK(rows[0]["other_accuracy"] == scored["other_accuracy"]);
  CHECK_FALSE(rows[0].contains("paper_lsed"));

  const auto written =
      std::filesystem::last_write_time(folder / "table/lsed-5shot/last.safetensors");
  const ProgramResult again = run_program(command + "--json --deterministic", folder.path());
  CHECK(json_of(again)["rows"] == rows);
  CHECK(contains(again.errors, "already done"));
  CHECK(std::filesystem::last_write_time(folder / "table/lsed-5shot/last.safetensors") == written);

  const ProgramResult other = run_program(command + "--quick --bn-init ones", folder.path());
  CHECK(other.code == 2);
  CHECK_MESSAGE(contains(other.errors, "bn_init: not given before, \"ones\" now"), other.errors);
  CHECK_MESSAGE(contains(other.errors, "quick: false before, true now"), other.errors);
}

TEST_CASE("Ctrl-C stops the command and its training, which goes on where it was") {
  const TemporaryFolder folder;
  const std::string command = "reproduce table1 " + kSmallTable + "--episodes 40 --json --out ";
  const nlohmann::json whole =
      json_of(run_program(command + "'" + (folder / "whole").string() + "'"));
  const auto out = folder / "parts";
  const pid_t child = start(words(command + out.string()), folder / "log", true);
  CHECK(wait_for([&] { return std::filesystem::exists(out / "lsed-1shot/last.safetensors"); }));
  kill(-child, SIGINT);
  CHECK(wait_for_exit(child) == 130);
  const std::string log = slurp(folder / "log");
  CHECK_MESSAGE(contains(log, "continue with: protolith reproduce table1 --data synthetic"), log);
  CHECK(contains(log, "train --resume"));
  CHECK_FALSE(std::filesystem::exists(out / "table1.md"));
  const ProgramResult rest = run_program(command + "'" + out.string() + "'");
  CHECK(json_of(rest)["rows"] == whole["rows"]);
  CHECK(contains(rest.errors, "resuming"));
}

TEST_CASE("a histogram figure that was begun is made anew, a finished one is read") {
  const TemporaryFolder folder;
  const std::string command = "reproduce fig5 --quick " + kSmallTable + "--json --out fig5";
  std::filesystem::create_directories(folder / "fig5/hist");
  spill(folder / "fig5/hist/gradients.npy", "half");
  const ProgramResult result = run_program(command, folder.path());
  const nlohmann::json numbers = json_of(result);
  REQUIRE(numbers["results"].size() == 3);
  CHECK(numbers["results"][1]["iteration"] == 8);
  CHECK(numbers["results"][1]["metric"] == "lsed:0:0.01");
  CHECK(std::filesystem::exists(folder / "fig5/hist/figure.png"));
  CHECK_FALSE(std::filesystem::exists(folder / "fig5/hist/gradients.npy"));
  const ProgramResult again =
      run_program("reproduce fig5 --quick " + kSmallTable + "--out fig5", folder.path());
  CHECK(again.code == 0);
  CHECK(contains(again.errors, "already done"));
  CHECK(contains(again.output, "lsed:0:0.01"));
  CHECK_FALSE(contains(again.output, "--quick"));  // it changes nothing here
  CHECK(contains(again.output, "generated glyphs"));
}

TEST_CASE("figure 9 is the curves of two runs, and a report") {
  const TemporaryFolder folder;
  const std::string command = "reproduce fig9 " + kSmallTable + "--episodes 15 --out fig9";
  const ProgramResult result = run_program(command, folder.path());
  INFO(result.errors);
  REQUIRE(result.code == 0);
  CHECK(contains(result.output, "LSED"));
  const std::string csv = slurp(folder / "fig9/figure9.csv");
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 1 + 2 * 2 * 3);
  CHECK(contains(csv, "LSED (s = 0, r = 0.01)"));
  for (const char* file : {"figure9.svg", "figure9.png", "report.html"}) {
    CHECK(std::filesystem::exists(folder / "fig9" / file));
  }
  const nlohmann::json numbers = json_of(run_program(command + " --json", folder.path()));
  CHECK(numbers["sed"]["episodes"] == 15);
  CHECK(numbers["lsed"]["val_accuracy"].get<double>() > 0);
}

TEST_CASE("figure 8 is a sweep with its numbers") {
  const TemporaryFolder folder;
  const std::string command = "reproduce fig8 --quick " + kSmallTable + "--episodes 5 --out fig8";
  const ProgramResult result = run_program(command, folder.path());
  INFO(result.errors);
  REQUIRE(result.code == 0);
  CHECK(contains(result.output, "lsed:16:0.01"));
  CHECK(contains(result.output, "--quick: a small part"));
  CHECK(contains(result.output, "chosen by validation: lsed:"));
  CHECK(std::filesystem::exists(folder / "fig8/sweep/figure8.png"));
  CHECK(json_of(run_program(command + " --json", folder.path()))["cells"].size() == 4);
}

TEST_CASE("reproduce's wrong usage says what to do") {
  const TemporaryFolder folder;
  struct Case {
    std::string arguments;
    int code;
    std::string message;
  };
  const Case cases[] = {
      {"", 2, "target"},
      {"fig1", 2, "fig2"},
      {"table1", 2, "--data omniglot:FOLDER"},
      {"table1 --data omniglott:x", 2, "omniglott"},
      {"table1 --data synthetic --episodes -1", 2, "--episodes -1"},
      {"table1 --data synthetic --seeds 1:x", 2, "--seeds '1:x': no number at 'x'"},
      {"table1 --data synthetic --seeds 1,2 --seed 3", 2, "exclude each other"},
      {"fig9 --data synthetic --seeds 1,2", 2, "fig9 takes --seed"},
      {"table1 --data omniglot:nowhere --out x", 1, "train-sed-1shot"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.arguments);
    const ProgramResult result = run_program("reproduce " + c.arguments, folder.path());
    CHECK(result.code == c.code);
    CHECK(result.output.empty());
    CHECK_MESSAGE(contains(result.errors, c.message), result.errors);
  }
  const ProgramResult print =
      run_program("reproduce fig4 --data synthetic --print --json", folder.path());
  CHECK(json_of(print)["commands"].size() == 1);
  CHECK_FALSE(std::filesystem::exists(folder / "reproduce"));
}

}  // namespace protolith::testing
