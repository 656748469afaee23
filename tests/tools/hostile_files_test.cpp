// Files that nobody writes by mistake: nested so deep that a program which follows them runs out of
// stack. Each is read in a child process, which would die of it.
#include <doctest/doctest.h>

#include <string>

#include "engine/check.h"
#include "engine/safetensors.h"
#include "tests/engine/child_process.h"
#include "tests/engine/temporary_folder.h"
#include "tools/checkpoint.h"
#include "tools/json_lines.h"
#include "tools/json_text.h"
#include "tools/options.h"
#include "tools/presets.h"
#include "tools/report_data.h"
#include "tools/run_folder.h"
#include "tools/settings_file.h"
#include "tools/toml_nesting.h"

namespace protolith {
namespace {

using testing::contains;
using testing::in_child;
using testing::spill;
using testing::TemporaryFolder;

constexpr int kDeep = 400'000;

std::string repeated(const std::string& text, int times) {
  std::string all;
  for (int i = 0; i < times; ++i) all += text;
  return all;
}

/// `{"KEY": [[[...]]], MORE}`.
std::string nested(const std::string& key, const std::string& more = "") {
  return "{\"" + key + "\": " + repeated("[", kDeep) + repeated("]", kDeep) + more + "}";
}

TEST_CASE("JSON is parsed to a depth of 64 and a million values") {
  const auto refused = [](const std::string& text) { return parse_json(text).is_discarded(); };
  CHECK(parse_json(R"({"a": [1, "[[{,\"[", {}]})")["a"][1] == "[[{,\"[");
  CHECK_FALSE(refused(repeated("[", 64) + repeated("]", 64)));
  CHECK(refused(repeated("[", 65) + repeated("]", 65)));
  CHECK(refused(repeated("{\"a\":", 65) + "1" + repeated("}", 65)));
  CHECK_FALSE(refused("[" + repeated("[],", 1000) + "\"" + repeated("[", 1000) + "\"]"));
  CHECK_FALSE(refused("[1" + repeated(",1", 499'998) + "]"));
  CHECK(refused("[1" + repeated(",1", 1'000'000) + "]"));
  CHECK(refused("[1" + repeated(",[]", 500'000) + "]"));
  CHECK(refused("[1"));
  CHECK(refused("\"\\"));
  CHECK(refused(""));
}

TEST_CASE("a text's TOML nesting is counted outside of strings and comments") {
  CHECK(count_toml_nesting("") == 0);
  CHECK(count_toml_nesting("a.b = [{c = 1.5}]\n[d]") == 5);
  CHECK(count_toml_nesting("a = 'x.y[\\' # ...[\nb = \"..\\\"..\" # {\nc.d = ''") == 1);
  CHECK(count_toml_nesting("a = \"\"\"\n..\\\"\"\"..\"\" [[\"\"\"\"\" # .\n.") == 1);
  CHECK(count_toml_nesting("a = '''\n..''..\\'''\n.") == 1);
  CHECK(count_toml_nesting("a = \"..\n.") == 1);  // a string ends with its line
  CHECK(count_toml_nesting("a = \"") == 0);
  CHECK(count_toml_nesting("a = \"\\") == 0);
  CHECK(count_toml_nesting("a = \"\"\"..") == 0);
}

TEST_CASE("a deeply nested configuration is refused") {
  for (const std::string& text :
       {repeated("a.", kDeep) + "a = 1", "[" + repeated("a.", kDeep) + "a]",
        "x = { " + repeated("a.", kDeep) + "a = 1 }", "x = " + repeated("[", kDeep),
        repeated("[a]\n", kDeep), "x = " + repeated("{a=", kDeep)}) {
    const std::string outcome = in_child([&] {
      parse_config(text, "deep.toml");
      return std::string("read");
    });
    CAPTURE(text.substr(0, 20));
    CHECK(contains(outcome, "exception: deep.toml: more than 1000 brackets and dots"));
  }
  CHECK_THROWS_WITH_AS(parse_config(repeated("a.", 900) + "a = 1", "deep.toml"),
                       doctest::Contains("unknown key 'a'"), UsageError);
}

TEST_CASE("letters outside of ASCII are text in strings and mistakes elsewhere") {
  // The sanitizers see what toml++ does with them.
  for (const std::string letter :
       {"\u00a1", "\u00e4", "\u026b", "\u0499", "\u1680", "\u2003", "\u2028", "\u4e2d", "\ufeff"}) {
    CAPTURE(letter);
    CHECK(parse_config("metric = \"" + letter + "\"", "a.toml")[0].value == letter);
    CHECK(parse_config("metric = '''" + letter + "'''", "a.toml")[0].value == letter);
    for (const std::string& text :
         {"metric = [19719-05-2" + letter + "07]", "a" + letter + " = 1", "seed = 1" + letter + "1",
          "metric = \"\"\"\\" + letter + "\"\"\"", "metric = '''x'''" + letter + "1"}) {
      CAPTURE(text);
      CHECK_THROWS_WITH_AS(parse_config(text, "a.toml"), doctest::Contains("a.toml"), UsageError);
    }
  }
}

TEST_CASE("a checkpoint with deeply nested metadata is refused") {
  const TemporaryFolder folder;
  SafeTensors file;
  file.metadata["format_version"] = "1";
  file.metadata["protolith"] = nested("encoder");
  file.metadata["training_state"] = nested("episodes");
  write_safetensors(folder / "a.safetensors", file);
  const std::string outcome = in_child([&] {
    read_training_state(folder / "a.safetensors");
    return std::string("read");
  });
  CHECK(contains(outcome, "a.safetensors: its metadata is not JSON, or nested deeper than 64"));
}

TEST_CASE("a run's deeply nested lines are refused") {
  const TemporaryFolder folder;
  const RunFolder run = RunFolder::create(preset_config("demo"), folder / "run");
  spill(run.metrics_file(), nested("best", ", \"epoch\": 1, \"episodes\": 1") + "\n");
  CHECK(contains(in_child([&] {
                   run.read_metrics();
                   return std::string("read");
                 }),
                 "metrics.jsonl:1: is no JSON object"));
  CHECK(contains(in_child([&] {
                   run.truncate_metrics(1);
                   return std::string("read");
                 }),
                 "metrics.jsonl:1: is not a line of metrics"));
  CHECK(contains(in_child([&] { return run.last_metrics().dump(); }),
                 "metrics.jsonl:1: is not a line of metrics"));
}

TEST_CASE("deeply nested settings and results are refused") {
  const TemporaryFolder folder;
  spill(folder / "settings.json", nested("seed"));
  CHECK(contains(in_child([&] {
                   keep_settings(folder / "settings.json", {{"seed", 1}});
                   return std::string("kept");
                 }),
                 "settings.json holds no JSON object"));
  const RunFolder run = RunFolder::create(preset_config("demo"), folder / "run");
  run.append_metrics({{"epoch", 1}, {"episodes", 1}});
  spill(run.evaluation_file(), nested("split"));
  CHECK(contains(in_child([&] {
                   read_runs({run.path().string()});
                   return std::string("read");
                 }),
                 "eval.json: is no result"));
}

}  // namespace
}  // namespace protolith
