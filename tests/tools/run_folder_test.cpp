#include "tools/run_folder.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tests/engine/temporary_folder.h"
#include "tools/options.h"
#include "tools/presets.h"

namespace protolith {
namespace {

using testing::slurp;
using testing::spill;
using testing::TemporaryFolder;

/// Works in a folder and goes back, for what is relative to the working folder.
class WorkingFolder {
 public:
  explicit WorkingFolder(const std::filesystem::path& path)
      : previous_(std::filesystem::current_path()) {
    std::filesystem::current_path(path);
  }
  ~WorkingFolder() { std::filesystem::current_path(previous_); }
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;

 private:
  std::filesystem::path previous_;
};

TEST_CASE("a default name says preset, metric and seed, each once") {
  Config config = preset_config("omniglot-20w1s-lsed");
  config.seed = 3;
  CHECK(default_run_name(config) == "omniglot-20w1s-lsed-0-0.01-3");
  config.metric = Metric::parse("temperature:100");
  CHECK(default_run_name(config) == "omniglot-20w1s-temperature-100-3");
  CHECK(default_run_name(preset_config("omniglot-20w5s-sed")) == "omniglot-20w5s-sed-1");
  CHECK(default_run_name(preset_config("demo")) == "demo-sed-1");
}

TEST_CASE("runs without --out get the next free folder") {
  const TemporaryFolder folder;
  const WorkingFolder here(folder.path());
  const Config config = preset_config("demo");
  CHECK(RunFolder::create(config).path() == "runs/demo-sed-1");
  CHECK(RunFolder::create(config).path() == "runs/demo-sed-1-2");
  std::filesystem::create_directory("runs/demo-sed-1-3");
  CHECK(RunFolder::create(config).path() == "runs/demo-sed-1-4");
}

TEST_CASE("a run holds its configuration, exactly") {
  const TemporaryFolder folder;
  Config config = preset_config("omniglot-20w1s-lsed");
  config.metric.r = 1.0F / 3.0F;
  const RunFolder run = RunFolder::create(config, folder / "new/deep/run/");
  CHECK(run.path() == folder / "new/deep/run");
  CHECK(differing_keys(RunFolder::open(run.path()).config(), config).empty());
  CHECK(slurp(run.metrics_file()).empty());
  config.train.episodes = 5;
  run.write_config(config);
  CHECK(run.config().train.episodes == 5);
}

TEST_CASE("an explicit folder that holds a run is refused and left alone") {
  const TemporaryFolder folder;
  const Config config = preset_config("demo");
  for (const char* file :
       {"config.toml", "metrics.jsonl", "best.safetensors", "last.safetensors"}) {
    const TemporaryFolder taken;
    spill(taken / file, "precious");
    CHECK_THROWS_WITH_AS(RunFolder::create(config, taken.path()), doctest::Contains("--resume"),
                         UsageError);
    CHECK(slurp(taken / file) == "precious");
    CHECK(taken.entries() == 1);
  }
  {
    const TemporaryFolder begun;  // by a process that has written nothing yet
    const RunFolder other = RunFolder::create(config, begun / "run");
    std::filesystem::remove(other.config_file());
    std::filesystem::remove(other.metrics_file());
    const RunLock lock(other);
    CHECK_THROWS_WITH_AS(RunFolder::create(config, begun / "run"),
                         doctest::Contains("another process"), UsageError);
    CHECK(std::filesystem::is_empty(begun / "run"));
  }
  spill(folder / "notes.txt", "mine");  // anything else may lie there
  CHECK_NOTHROW(RunFolder::create(config, folder.path()));
}

TEST_CASE("a folder that cannot be made or written is an error before training") {
  const TemporaryFolder folder;
  const Config config = preset_config("demo");
  spill(folder / "file", "");
  for (const std::string& out : {(folder / "file").string(), (folder / "file/run").string(),
                                 std::string("/proc/no/run"), std::string("/proc/self/run")}) {
    CAPTURE(out);
    CHECK_THROWS_WITH_AS(RunFolder::create(config, out), doctest::Contains(out.c_str()), Error);
  }
}

TEST_CASE("a folder without a run cannot be opened") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(RunFolder::open(folder.path()), doctest::Contains("no config.toml"),
                       UsageError);
  CHECK_THROWS_AS(RunFolder::open(folder / "missing"), UsageError);
}

TEST_CASE("metrics are appended a line an epoch and are on disk at once") {
  const TemporaryFolder folder;
  const RunFolder run = RunFolder::create(preset_config("demo"), folder / "run");
  run.append_metrics({{"epoch", 1}, {"loss", 0.5}});
  run.append_metrics({{"epoch", 2}, {"loss", 0.25}});
  CHECK(slurp(run.metrics_file()) == "{\"epoch\":1,\"loss\":0.5}\n{\"epoch\":2,\"loss\":0.25}\n");
  CHECK_THROWS_AS(run.append_metrics({{"loss", 1}}), Error);
  CHECK_THROWS_AS(run.append_metrics({{"epoch", "1"}}), Error);
}

TEST_CASE("resuming drops the lines that will be written again") {
  const TemporaryFolder folder;
  const RunFolder run = RunFolder::create(preset_config("demo"), folder / "run");
  for (int epoch = 1; epoch <= 3; ++epoch) run.append_metrics({{"epoch", epoch}});
  run.truncate_metrics(2);
  CHECK(slurp(run.metrics_file()) == "{\"epoch\":1}\n{\"epoch\":2}\n");
  run.truncate_metrics(7);
  CHECK(slurp(run.metrics_file()) == "{\"epoch\":1}\n{\"epoch\":2}\n");
  spill(run.metrics_file(), "{\"epoch\":1}\n{\"epoch\":2}");  // cut short by a kill
  run.truncate_metrics(2);
  CHECK(slurp(run.metrics_file()) == "{\"epoch\":1}\n");
  run.truncate_metrics(0);
  CHECK(slurp(run.metrics_file()).empty());
}

TEST_CASE("metrics that are damaged in the middle are named and kept") {
  const TemporaryFolder folder;
  const RunFolder run = RunFolder::create(preset_config("demo"), folder / "run");
  for (const std::string bad : {"garbage", "{\"epoch\":\"1\"}", "[1]", "{}", "{\"epoch\":1.5}"}) {
    const std::string text = "{\"epoch\":1}\n" + bad + "\n{\"epoch\":2}\n";
    spill(run.metrics_file(), text);
    CHECK_THROWS_WITH_AS(run.truncate_metrics(1), doctest::Contains("metrics.jsonl:2: "), Error);
    CHECK(slurp(run.metrics_file()) == text);
  }
  std::filesystem::remove(run.metrics_file());
  run.truncate_metrics(1);  // nothing to drop
  CHECK(slurp(run.metrics_file()).empty());
}

}  // namespace
}  // namespace protolith
