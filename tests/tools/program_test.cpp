// The built program, as a user and a script see it.
#include "tests/tools/program.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "tests/data/fixtures.h"
#include "tests/engine/environment.h"

namespace protolith::testing {
namespace {

TEST_CASE("help and version end with 0 on stdout") {
  const ProgramResult help = run_program("--help");
  CHECK(help.code == 0);
  CHECK(help.errors.empty());
  for (const char* word : {"train", "eval", "verify", "info", "Exit codes", "--help"}) {
    CHECK_MESSAGE(contains(help.output, word), word);
  }
  for (const std::string command : {"train", "eval", "verify", "info"}) {
    const ProgramResult one = run_program(command + " --help");
    CHECK(one.code == 0);
    CHECK(contains(one.output, "protolith " + command));
    CHECK(contains(one.output, "Examples:"));
  }
  CHECK(contains(run_program("train --help").output, "omniglot-20w5s-lsed"));
  const ProgramResult version = run_program("--version");
  CHECK(version.code == 0);
  CHECK(version.output.starts_with("protolith "));
}

TEST_CASE("--help gives defaults where they are what an absent flag stands for") {
  CHECK(contains(run_program("train --help").output, "--data KIND:PATH=synthetic"));
  CHECK(contains(run_program("train --help").output, "--seed INT=1"));
  for (const std::string command : {"eval", "bench"}) {  // a run brings its own, or they are fixed
    const std::string help = run_program(command + " --help").output;
    CAPTURE(help);
    CHECK(contains(help, "--seed INT "));
    CHECK(!contains(help, "=synthetic"));
    CHECK(!contains(help, "=auto"));
  }
}

TEST_CASE("--help names a switch and its opposite, and nothing else") {
  CHECK(contains(run_program("train --help").output, "--graph,--no-graph  "));
}

TEST_CASE("wrong usage ends with 2, names what is wrong on stderr and prints no result") {
  const std::vector<std::pair<std::string, std::string>> cases{
      {"", "a command is needed"},
      {"trian", "unexpected argument 'trian'; did you mean 'train'?"},
      {"train --episode-epochs 3", "unexpected argument '--episode-epochs'; did you mean"},
      {"train --patince=3", "unexpected argument '--patince=3'; did you mean '--patience'?"},
      {"train extra", "unexpected argument 'extra'"},
      {"train --lr", "--lr"},
      {"train --lr nan", "--lr nan: must be a finite number"},
      {"train --lr=-1", "--lr -1: must be a finite number"},
      {"train --metric lsed --s -1", "--s -1: must be a finite number"},
      {"train --metric lsed --r inf", "--r inf: must be a finite number"},
      {"train --metric lsed:0:nan", "--metric lsed:0:nan: "},
      {"train --train-way 0", "--train-way 0: must be an integer from 2"},
      {"train --train-shot 0 --json", "--train-shot 0: must be an integer from 1"},
      {"train --seed 1 --seed 2", "--seed: given twice"},
      {"train --last-pool perhaps", "--last-pool perhaps: must be on or off"},
      {"train --config /no/such.toml", "/no/such.toml: No such file or directory; give"},
      {"train --data mnist", "--data mnist: "},
      {"verify", "data is required"},
      {"bench stop", "what: stop not in {step,eval,ops,kernels,cost}"},
      {"verify mnist:x", "mnist"},
      {"verify synthetic --split-seed 3", "--split-seed 3 has no effect with data synthetic"},
      {"--json info",
       "unexpected argument '--json'; it goes after the command: protolith info --json"},
      {"train --resume ''", "--resume: its value is empty"},
      {"train --out ''", "--out: its value is empty"},
      {"eval '' --data synthetic", "its value is empty"},
      {"info --device cpu", "unexpected argument"}};
  for (const auto& entry : cases) {
    const std::string& message = entry.second;
    CAPTURE(entry.first);
    const ProgramResult result = run_program(entry.first);
    CHECK(result.code == 2);
    CHECK(result.output.empty());
    CHECK(result.errors.starts_with("protolith: error: "));
    CHECK_MESSAGE(contains(result.errors, message), result.errors);
  }
}

TEST_CASE("--print-config writes a file that --config reads back the same") {
  const TemporaryFolder folder;
  const std::string flags =
      "--preset omniglot-20w5s-lsed --data 'omniglot:some \"where\"' --metric lsed:4:0.3333333 "
      "--lr 3e-4 --seed 77 --last-pool on --deterministic=off --bn-init ones --train-way 30";
  const ProgramResult first = run_program("train --print-config " + flags);
  REQUIRE(first.code == 0);
  CHECK(contains(first.output, "s = 4 "));
  CHECK(contains(first.output, "r = 0.3333333 "));
  CHECK(contains(first.output, "last_pool = true"));
  spill(folder / "config.toml", first.output);
  const std::string file = "--config '" + (folder / "config.toml").string() + "'";
  CHECK(run_program("train --print-config " + file).output == first.output);

  const ProgramResult changed = run_program("train --print-config --json --seed 78 " + file);
  const nlohmann::json config = nlohmann::json::parse(changed.output);
  CHECK(config["seed"] == 78);
  CHECK(config["train_way"] == 30);
  CHECK(config["deterministic"] == false);
}

TEST_CASE("info --json is one object with version, devices, build and libraries") {
  const ProgramResult result = run_program("info --json");
  REQUIRE(result.code == 0);
  const nlohmann::json info = nlohmann::json::parse(result.output);
  CHECK(info["version"].is_string());
  CHECK(info["devices"][0]["name"] == "cpu");
  CHECK(info["devices"][0]["available"] == true);
  CHECK(contains(info["devices"][0]["description"], "threads"));
  CHECK(info["devices"][1]["name"] == "cuda");
  CHECK(info["build"]["type"].is_string());
  CHECK(info["libraries"]["oneDNN"].is_string());
  CHECK(info["build"]["cuda"].is_boolean());
  const bool cuda = info["devices"][1]["available"];
  CHECK(contains(run_program("info").output, "not available: ") == !cuda);
}

TEST_CASE("threads that OpenMP is told to bind get as many processors as without a new start") {
  const Environment wait("OMP_WAIT_POLICY", nullptr);
  const Environment bind("OMP_PROC_BIND", "true");
  const std::string threads = run_program("info").output;
  // Where the limit is set already, the program never starts anew.
  const Environment spins("GOMP_SPINCOUNT", "20000");
  CHECK(run_program("info").output == threads);
}

TEST_CASE("names of commands are words like others after a command") {
  const TemporaryFolder folder;
  const ProgramResult report = run_program("report train eval", folder.path());
  CHECK(report.code == 2);
  CHECK_MESSAGE(contains(report.errors, "train: "), report.errors);
  const ProgramResult embed = run_program(
      "embed --model '" PROTOLITH_GOLDENS
      "/../../models/pretrained/omniglot-20w1s-lsed.safetensors' --out x.npy --images info train",
      folder.path());
  CHECK(embed.code == 1);
  CHECK_MESSAGE(contains(embed.errors, "info: "), embed.errors);
  CHECK(run_program("verify synthetic info").code == 2);
  CHECK(std::filesystem::is_empty(folder.path()));
}

TEST_CASE("verify reports sound and missing data") {
  const ProgramResult sound = run_program("verify synthetic --threads 1 --json");
  CHECK(sound.code == 0);
  const nlohmann::json report = nlohmann::json::parse(sound.output);
  CHECK(report["ok"] == true);
  CHECK(report["splits"]["train"]["classes"].get<int>() > 0);
  CHECK(report["problems"].empty());

  const ProgramResult missing = run_program("verify omniglot:/no/such/folder --json");
  CHECK(missing.code == 1);
  const nlohmann::json problems = nlohmann::json::parse(missing.output)["problems"];
  REQUIRE(!problems.empty());
  CHECK(contains(problems[0]["what"], "/no/such/folder"));
  CHECK(!problems[0]["remedy"].get<std::string>().empty());
}

TEST_CASE("a name that is not UTF-8 does not keep the result from being printed") {
  const ProgramResult result = run_program("verify \"$(printf 'omniglot:/no/\\377')\" --json");
  CHECK(result.code == 1);  // there is no such folder
  CHECK_MESSAGE(result.errors.empty(), result.errors);
  CHECK(nlohmann::json::parse(result.output)["data"] == "omniglot:/no/\ufffd");
}

TEST_CASE("a data folder that is not UTF-8 is wrong usage: config.toml could not be read back") {
  const TemporaryFolder folder;
  const ProgramResult result =
      run_program("train --data \"$(printf 'omniglot:/no/\\377')\"", folder.path());
  CHECK(result.code == 2);
  CHECK(contains(result.errors, "--data omniglot:/no/\xff: must be UTF-8"));
}

TEST_CASE("messages go into no file where standard error is closed") {
  const TemporaryFolder folder;
  const Environment cache("PROTOLITH_CACHE", (folder / "cache").c_str());
  for (const char* name : {"data/a/1.png", "data/b/1.png", "data/c/1.png"}) {
    std::filesystem::create_directories((folder / name).parent_path());
    spill(folder / name, png(8, 8, [](int x, int) { return x > 3; }));
  }
  spill(folder / "data/a/note.txt", "skipped with a note");
  const std::string few =
      "--train-way 2 --train-query 1 --val-way 2 --val-query 1 --image-size 16 --split-shares "
      "1,1,1 "
      "--data folder:data --out run";
  run_program("train " + few + " 2>&-", folder.path());  // has too few images
  const ProgramResult verified = run_program(
      "verify folder:data --image-size 16 --split-shares "
      "1,1,1",
      folder.path());
  CHECK(contains(verified.output, "intact: "));
}

TEST_CASE("a result that cannot be written is a failure") {
  const ProgramResult full = run_program("info --json >/dev/full");
  CHECK(full.code == 1);
  CHECK(contains(full.errors, "standard output"));
  for (const char* text : {"--version", "--help", "train --help"}) {
    const ProgramResult help = run_program(std::string(text) + " >/dev/full");
    CHECK(help.code == 1);
    CHECK(contains(help.errors, "standard output"));
  }
}

}  // namespace
}  // namespace protolith::testing
