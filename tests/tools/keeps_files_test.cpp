// What commands must not replace, mix up or report as something else.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/safetensors.h"
#include "tests/engine/environment.h"
#include "tests/tools/class_folder.h"
#include "tests/tools/program.h"

namespace protolith::testing {
namespace {

namespace fs = std::filesystem;

const std::string kSmallRun =
    "--train-way 5 --train-query 2 --val-way 5 --val-query 2 --val-episodes 2 --test-way 5 "
    "--test-query 2 --test-episodes 10 --epoch-episodes 5 --threads 1 --convolution direct ";

void expect(const fs::path& folder, const std::string& arguments, int code,
            const std::string& message) {
  CAPTURE(arguments);
  const ProgramResult result = run_program(arguments, folder);
  CHECK(result.code == code);
  CHECK_MESSAGE(contains(result.errors, message), result.errors);
}

nlohmann::json json_in(const fs::path& file) {
  return nlohmann::json::parse(slurp(file));
}

}  // namespace

TEST_CASE("no output replaces what the command reads, or a run's own files") {
  const TemporaryFolder folder;
  REQUIRE(run_program("train " + kSmallRun + "--episodes 5 --out run", folder.path()).code == 0);
  fs::copy_file(folder / "run/best.safetensors", folder / "m.safetensors");
  spill(folder / "a.png", bits_picture(77));
  fs::create_symlink("m.safetensors", folder / "link.safetensors");
  const std::string model = slurp(folder / "run/best.safetensors");
  const std::string config = slurp(folder / "run/config.toml");

  expect(folder.path(), "export --model run --out run/best.safetensors", 2, "is a file of the run");
  expect(folder.path(), "export --model m.safetensors --out m.safetensors", 2, "would replace");
  expect(folder.path(), "export --model m.safetensors --out link.safetensors", 2, "would replace");
  expect(folder.path(), "export --model m.safetensors --out none/m.onnx", 2, "no folder none");
  expect(folder.path(), "report run --out run/config.toml", 2, "is a file of the run");
  expect(folder.path(), "embed --model m.safetensors --images a.png --out m.safetensors", 2,
         "would replace");
  expect(folder.path(), "embed --model m.safetensors --images a.png --out a.png", 2,
         "would replace");
  expect(folder.path(), "embed --model m.safetensors --images a.png --out b.npy --names a.png", 2,
         "--names a.png: would replace");
  spill(folder / "val.txt", "class a\n");
  expect(folder.path(), "embed --model m.safetensors --images a.png --out val.npy", 2,
         "give --names FILE");
  CHECK(slurp(folder / "val.txt") == "class a\n");
  CHECK(slurp(folder / "m.safetensors") == model);
  CHECK(slurp(folder / "run/best.safetensors") == model);
  CHECK(slurp(folder / "run/config.toml") == config);
  CHECK(slurp(folder / "a.png") == bits_picture(77));
  // What an earlier call has written may be written again.
  const std::string embed = "embed --model m.safetensors --images a.png --out c.npy";
  CHECK(run_program(embed, folder.path()).code == 0);
  CHECK(run_program(embed, folder.path()).code == 0);
}

TEST_CASE("a run keeps the evaluation of its best model on its own data alone") {
  const TemporaryFolder folder;
  REQUIRE(run_program("train " + kSmallRun + "--episodes 5 --out run", folder.path()).code == 0);
  const auto file = folder / "run/eval.json";
  const std::string eval = "eval run --threads 1 ";
  REQUIRE(run_program(eval, folder.path()).code == 0);
  const std::string own = slurp(file);
  for (const char* other : {"--data synthetic:7", "--bn-eval episode", "--seed 9"}) {
    CAPTURE(other);
    CHECK(run_program(eval + other, folder.path()).code == 0);
    CHECK(slurp(file) == own);
  }
  CHECK(run_program(eval + "--episodes 4", folder.path()).code == 0);
  CHECK(json_in(file)["episodes"] == 4);
  // The next epochs are better than the first.
  const ProgramResult more = run_program("train --resume run --episodes 60 --json", folder.path());
  REQUIRE(nlohmann::json::parse(more.output)["best_epoch"].get<int>() > 1);
  CHECK_FALSE(fs::exists(file));
}

TEST_CASE("two processes do not train in one folder") {
  const TemporaryFolder folder;
  const pid_t child =
      start(words("train " + kSmallRun + "--episodes 100000 --out " + (folder / "run").string()),
            folder / "log");
  CHECK(wait_for([&] { return fs::exists(folder / "run/last.safetensors"); }));
  expect(folder.path(), "train --resume run --episodes 200000", 2,
         "another process is training in this run's folder");
  kill(child, SIGINT);
  CHECK(wait_for_exit(child) == 130);
  const std::string lines = slurp(folder / "run/metrics.jsonl");
  const auto epochs = std::count(lines.begin(), lines.end(), '\n');
  CHECK(run_program("train --resume run --episodes " + std::to_string(5 * (epochs + 1)),
                    folder.path())
            .code == 0);
}

TEST_CASE("eval refuses a folder whose classes were dealt out anew") {
  const TemporaryFolder folder;
  const Environment cache("PROTOLITH_CACHE", (folder / "cache").c_str());
  for (int c = 0; c < 9; ++c) write_class(folder / "data" / ("c" + std::to_string(c)), c);
  const std::string few =
      "--train-way 2 --train-query 1 --val-way 2 --val-query 1 --val-episodes 2 --test-way 2 "
      "--test-query 1 --test-episodes 4 --epoch-episodes 2 --episodes 2 --threads 1 ";
  const ProgramResult trained = run_program(
      "train " + few + "--data folder:data --image-size 16 --split-shares 3,3,3 --out run",
      folder.path());
  REQUIRE_MESSAGE(trained.code == 0, trained.errors);
  CHECK(run_program("eval run", folder.path()).code == 0);
  // The run knows where its data lies, wherever it is resumed and evaluated from.
  const ProgramResult resumed =
      run_program("train --resume run --episodes 4 --data folder:data", folder.path());
  REQUIRE_MESSAGE(resumed.code == 0, resumed.errors);
  const ProgramResult elsewhere = run_program("eval ../run", folder / "data");
  CHECK_MESSAGE(elsewhere.code == 0, elsewhere.errors);
  expect(folder.path(), "eval run --split-seed 7", 2, "tested on classes that it has seen");
  expect(folder.path(), "eval run --split-seed 7 --data folder:data", 0,
         "tested on classes that it has seen");
  // More images of the same classes change no split.
  spill(folder / "data/c0/new.png", bits_picture(12345));
  CHECK(run_program("eval run", folder.path()).code == 0);
  write_class(folder / "data/c99", 99);
  expect(folder.path(), "eval run", 2, "--split-lists");
}

TEST_CASE("a trace that cannot be written is found before the run's folder is made") {
  const TemporaryFolder folder;
  expect(folder.path(), "train " + kSmallRun + "--episodes 5 --out run --trace /dev/full", 2,
         "--trace /dev/full: is a device or a pipe");
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_CASE("no run is put where it would be taken for a class of images") {
  const TemporaryFolder folder;
  const Environment cache("PROTOLITH_CACHE", (folder / "cache").c_str());
  for (int c = 0; c < 9; ++c) write_class(folder / "data" / ("c" + std::to_string(c)), c);
  const std::string few =
      "--train-way 2 --train-query 1 --val-way 2 --val-query 1 --val-episodes 2 --episodes 2 "
      "--epoch-episodes 2 --threads 1 --image-size 16 --split-shares 3,3,3 ";
  const char* const refused = "would be taken for a class";
  expect(folder.path(), "train " + few + "--data folder:data --out data/run", 2, refused);
  expect(folder / "data", "train " + few + "--data folder:.", 2, refused);  // runs/NAME
  expect(folder.path(), "sweep --r 0.1 " + few + "--data folder:data --out data/../data/s", 2,
         refused);
  expect(folder / "data",
         "grad-hist --train-way 2 --train-query 1 --image-size 16 --split-shares 3,3,3 "
         "--data folder:.",
         2, refused);
  CHECK(std::distance(fs::directory_iterator(folder / "data"), {}) == 9);
  // Beside it is well. Its test episodes are of the default 20 ways, which 3 classes cannot give.
  expect(folder.path(), "train " + few + "--data folder:data --out data-run", 0,
         "'protolith eval' will need other episodes or another split: a 20-way episode needs");
}

TEST_CASE("a run whose config.toml could not name its data is refused before it is trained") {
  const TemporaryFolder folder;
  const Environment cache("PROTOLITH_CACHE", (folder / "cache").c_str());
  const fs::path work = folder / "w\xff";
  for (int c = 0; c < 3; ++c) write_class(work / "data" / ("c" + std::to_string(c)), c);
  expect(
      work,
      "train --train-way 2 --train-query 1 --val-way 2 --val-query 1 --episodes 2 --image-size 16 "
      "--split-shares 1,1,1 --data folder:data --out run",
      2, "must be UTF-8");
  CHECK_FALSE(fs::exists(work / "run"));
}

TEST_CASE("a resume that asks for less than there is changes nothing") {
  const TemporaryFolder folder;
  REQUIRE(run_program("train " + kSmallRun + "--episodes 10 --out run", folder.path()).code == 0);
  const std::string config = slurp(folder / "run/config.toml");
  expect(folder.path(), "train --resume run --episodes 3", 2, "run has had 10 episodes");
  CHECK(slurp(folder / "run/config.toml") == config);
  CHECK(run_program("train --resume run --episodes 10", folder.path()).code == 0);
}

TEST_CASE("what a run prints is what it is") {
  const TemporaryFolder folder;
  const ProgramResult quoted =
      run_program("train " + kSmallRun + "--episodes 3 --out 'my run'", folder.path());
  CHECK(contains(quoted.output, "next: protolith eval 'my run'\n"));
  CHECK(contains(quoted.output, "less than an epoch: validation loss"));
  CHECK_FALSE(contains(quoted.output, "best epoch 0"));
  const std::string single =
      "train --train-way 5 --train-query 2 --val-way 5 --val-query 2 --val-episodes 1 --test-way 5 "
      "--test-query 2 --test-episodes 1 --episodes 5 --threads 1 --convolution direct "
      "--epoch-episodes 5 ";
  const ProgramResult dashed = run_program(single + "--out=-run", folder.path());
  CHECK(contains(dashed.output, "next: protolith eval ./-run\n"));
  CHECK_FALSE(contains(dashed.errors, "nan"));
  const ProgramResult one = run_program("eval ./-run", folder.path());
  CHECK(one.code == 0);
  CHECK_FALSE(contains(one.output, "nan"));
  expect(folder.path(), "train " + kSmallRun + "--lr 1e30 --episodes 4 --out bad", 1,
         "nothing is saved yet; remove bad");
}

TEST_CASE("a bare state dictionary is used with a warning of what is taken for granted") {
  const TemporaryFolder folder;
  REQUIRE(run_program("train " + kSmallRun + "--episodes 5 --last-pool on --out run", folder.path())
              .code == 0);
  SafeTensors file = read_safetensors(folder / "run/best.safetensors");
  file.metadata.clear();
  write_safetensors(folder / "bare.safetensors", file);
  expect(folder.path(), "eval bare.safetensors --data synthetic --way 5 --query 2 --episodes 4", 0,
         "is a bare state dictionary: it is taken for a model of 28x28 images");
}

TEST_CASE("a signal to reproduce alone stops the command that it runs") {
  const TemporaryFolder folder;
  const auto out = folder / "out";
  const pid_t child = start(words("reproduce table1 --data synthetic " + kSmallRun +
                                  "--episodes 20000 --out " + out.string()),
                            folder / "log", true);
  CHECK(wait_for([&] { return fs::exists(out / "sed-1shot/last.safetensors"); }));
  kill(child, SIGTERM);
  CHECK(wait_for_exit(child) == 130);
  CHECK_FALSE(fs::exists(out / "train-sed-1shot.json"));
  const std::string log = slurp(folder / "log");
  CHECK_MESSAGE(contains(log, "continue with: protolith reproduce table1"), log);
  CHECK_FALSE(contains(log, "step 2 of"));
}

}  // namespace protolith::testing
