// What a command line's words become before CLI11 reads them, and what the program makes of them.
#include "tools/arguments.h"

#include <doctest/doctest.h>

#include <CLI/CLI.hpp>

#include "engine/check.h"
#include "tests/tools/program.h"
#include "tools/reproduce_plan.h"

namespace protolith::testing {
namespace {

using Line = std::vector<std::string>;

/// `words` after the command `do`, which has an option of each kind, in their plain form.
Line plain(Line words) {
  CLI::App app;
  CLI::App* const command = app.add_subcommand("do");
  std::string text;
  bool json = false, graph = true;
  Line images, files;
  command->add_option("--out", text);
  command->add_option("--images", images);
  command->add_option("files", files);
  command->add_flag("--json", json);
  command->add_flag("--graph,!--no-graph", graph);
  words.insert(words.begin(), "do");
  Line result = plain_arguments(app, words);
  REQUIRE(!result.empty());
  CHECK(result.front() == "do");
  result.erase(result.begin());
  return result;
}

}  // namespace

TEST_CASE("an option's value is what stands behind its =, and nothing else") {
  CHECK(plain({"--out=", "--json"}) == Line{"--out", "", "--json"});
  CHECK(plain({"--out=x=y"}) == Line{"--out", "x=y"});
  CHECK(plain({"--out=--json"}) == Line{"--out", "--json"});
  CHECK(plain({"--out", "-1"}) == Line{"--out", "-1"});
  CHECK(plain({"--out"}) == Line{"--out"});
  CHECK_THROWS_WITH_AS(
      plain({"--out", "--json"}),
      "--out: its value is missing; if --json is meant to be it, write --out=--json", UsageError);
  CHECK_THROWS_AS(plain({"--images", "--no-graph"}), UsageError);
}

TEST_CASE("a flag stands alone or is on or off") {
  CHECK(plain({"--json", "x"}) == Line{"--json", "x"});
  CHECK(plain({"--json=true", "--graph=on"}) == Line{"--json", "--graph"});
  CHECK(plain({"--json=false"}) == Line{});
  CHECK(plain({"--graph=false", "--graph=off"}) == Line{"--graph=false", "--graph=off"});
  CHECK_THROWS_WITH_AS(plain({"--json="}), "--json=: takes no value but on or off", UsageError);
  CHECK_THROWS_AS(plain({"--no-graph=2"}), UsageError);
}

TEST_CASE("a file's name is no list and no separator") {
  CHECK(plain({"[a]", "[a,b]", "++", "[a"}) == Line{"./[a]", "./[a,b]", "./++", "[a"});
  CHECK(plain({"--images", "[a]", "[b]"}) == Line{"--images", "./[a]", "./[b]"});
  CHECK(plain({"--images=[a]"}) == Line{"--images", "./[a]"});
  CHECK(plain({"--out", "[a]"}) == Line{"--out", "[a]"});  // one value is none of CLI11's lists
}

TEST_CASE("after -- all are files' names; before the command it is refused") {
  CHECK(plain({"--json", "--", "-x", "--json", "[a]", "y"}) ==
        Line{"--json", "./-x", "./--json", "./[a]", "y"});
  CLI::App app;
  app.add_subcommand("do");
  CHECK_THROWS_AS(plain_arguments(app, {"--", "do"}), UsageError);
  CHECK(plain_arguments(app, {"undo", "x"}) == Line{"undo", "x"});
}

TEST_CASE("whole numbers are decimal") {
  const auto read = [](std::string text) { return decimal()(text).empty() ? text : "refused"; };
  CHECK(read("10") == "10");
  CHECK(read("010") == "10");
  CHECK(read("-08") == "-8");
  CHECK(read("000") == "0");
  for (const char* const text : {"", "-", "0x10", "1e3", "5.", "+5", " 5"}) {
    CAPTURE(text);
    CHECK(read(text) == "refused");
  }
}

TEST_CASE("what a command line most probably does not mean is refused before anything is done") {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "images/a");
  const std::vector<std::pair<std::string, std::string>> cases{
      {"train --out= --json", "--out: its value is empty"},
      {"train --out --quiet", "write --out=--quiet"},
      {"train --trace runs/", "--trace runs/: is a folder"},
      {"train --out q/ --trace q", "--trace q: is the run's folder"},
      {"train --profile-episodes 1:0", "write 1:1"},
      {"-- info", "goes after the command"},
      {"report '[a]'", "./[a]: "},
      {"classify --modle m --support s --query q", "'--modle'; did you mean '--model'?"},
      {"eval run --way 0x10", "0x10 is no whole number"},
      {"bench cost --way 1e1", "1e1 is no whole number"},
      {"train --print-config=banana", "--print-config=banana: takes no value"},
      {"sweep --s 0,,4 --out x", "--s : must be"},
      {"sweep --s banana --print-config", "--s banana: must be"},
      {"reproduce fig4 --data synthetic --split-seed 3", "no effect with data synthetic"},
      {"reproduce fig4 --data folder:images --out images/figure", "images"},
  };
  for (const auto& one : cases) {
    CAPTURE(one.first);
    const ProgramResult result = run_program(one.first, folder.path());
    CHECK(result.code == 2);
    CHECK_MESSAGE(contains(result.errors, one.second), result.errors);
    CHECK(result.output.empty());
  }
  CHECK(std::distance(std::filesystem::recursive_directory_iterator(folder.path()), {}) == 2);
  CHECK(run_program("train --print-config=true").code == 0);
}

TEST_CASE("reproduce's own commands have the words that its own had") {
  const ProgramResult dash =
      run_program("reproduce fig9 --data synthetic --print --episodes 10 --out=-x");
  CHECK(dash.code == 0);
  CHECK_MESSAGE(contains(dash.output, "report ./-x/sed ./-x/lsed"), dash.output);
  CHECK(run_program("reproduce fig4 --data folder:x --split-lists '' --print").code == 0);
  CHECK(parse_seeds("9223372036854775806:9223372036854775807").size() == 2);
}

TEST_CASE("a result that has nowhere to go is a failure") {
  const ProgramResult result = run_program("info --json >&-");
  CHECK(result.code == 1);
  CHECK(contains(result.errors, "the results cannot be written to standard output"));
}

}  // namespace protolith::testing
