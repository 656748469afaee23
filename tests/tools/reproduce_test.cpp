#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tests/tools/program.h"
#include "tools/reproduce_results.h"

namespace protolith::testing {
namespace {

/// A training of a second.
const std::string kSmall =
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

nlohmann::json json_of(const ProgramResult& result) {
  INFO(result.errors);
  REQUIRE(result.code == 0);
  return nlohmann::json::parse(result.output);
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
  const std::map<int, nlohmann::json> by_shot{{1, comparison(0.95, 0.9562)},
                                              {5, comparison(0.985, 0.9871)}};
  const std::string table = table1_markdown(by_shot);
  CHECK(contains(table,
                 "| 20-way 1-shot | 95.00 +- 0.16 | 95.62 +- 0.15 | +0.62 +- 0.10 | 95.14 | 95.65 "
                 "| +0.51 |\n"));
  CHECK(contains(table, "| 98.54 | 98.70 | +0.16 |\n"));
  CHECK(contains(table1_csv(by_shot), "\n1,0.95,0.0016,0.9562,0.0015,"));
  CHECK(contains(table1_csv(by_shot), ",0.9514,0.9565\n5,"));
  nlohmann::json broken = comparison(0.9, 0.9);
  broken.erase("difference");
  CHECK_THROWS_WITH_AS(table1_markdown({{1, broken}}), doctest::Contains("difference"), Error);
}

TEST_CASE("table 1 from training to text; a second call only reads; other settings are refused") {
  const TemporaryFolder folder;
  const std::string command = "reproduce table1 " + kSmall + "--episodes 10 --out table ";
  const ProgramResult result = run_program(command, folder.path());
  INFO(result.errors);
  REQUIRE(result.code == 0);
  CHECK(contains(result.output, "| 20-way 5-shot |") == false);  // 5-way: as was tested
  CHECK(contains(result.output, "| 5-way 5-shot |"));
  CHECK(contains(result.output, "generated glyphs"));
  CHECK(contains(result.errors, "protolith train --preset omniglot-20w5s-lsed"));
  CHECK(contains(result.errors, "epoch 2: 10 episodes"));  // the commands' progress
  CHECK(contains(result.output, slurp(folder / "table/table1.md")));
  CHECK(contains(slurp(folder / "table/table1.csv"), ",0.9854,0.987\n"));
  const nlohmann::json rows = nlohmann::json::parse(slurp(folder / "table/table1.json"))["rows"];
  REQUIRE(rows.size() == 2);
  const nlohmann::json scored =
      json_of(run_program("eval table/sed-1shot --compare table/lsed-1shot --json", folder.path()));
  CHECK(rows[0]["accuracy"] == scored["accuracy"]);
  CHECK(rows[0]["other_accuracy"] == scored["other_accuracy"]);
  CHECK(rows[0]["paper_lsed"] == 0.9565);

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
  const std::string command = "reproduce table1 " + kSmall + "--episodes 15 --json --out ";
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
  const std::string command = "reproduce fig5 --quick " + kSmall + "--json --out fig5";
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
      run_program("reproduce fig5 --quick " + kSmall + "--out fig5", folder.path());
  CHECK(again.code == 0);
  CHECK(contains(again.errors, "already done"));
  CHECK(contains(again.output, "lsed:0:0.01"));
  CHECK_FALSE(contains(again.output, "--quick"));  // it changes nothing here
  CHECK(contains(again.output, "generated glyphs"));
}

TEST_CASE("figure 9 is the curves of two runs, and a report") {
  const TemporaryFolder folder;
  const std::string command = "reproduce fig9 " + kSmall + "--episodes 15 --out fig9";
  const ProgramResult result = run_program(command, folder.path());
  INFO(result.errors);
  REQUIRE(result.code == 0);
  CHECK(contains(result.output, "LSED"));
  const std::string csv = slurp(folder / "fig9/figure9.csv");
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 1 + 2 * 2 * 3);
  for (const char* file : {"figure9.svg", "figure9.png", "report.html"}) {
    CHECK(std::filesystem::exists(folder / "fig9" / file));
  }
  const nlohmann::json numbers = json_of(run_program(command + " --json", folder.path()));
  CHECK(numbers["sed"]["episodes"] == 15);
  CHECK(numbers["lsed"]["val_accuracy"].get<double>() > 0);
}

TEST_CASE("figure 8 is a sweep with its numbers") {
  const TemporaryFolder folder;
  const std::string command = "reproduce fig8 --quick " + kSmall + "--episodes 5 --out fig8";
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
