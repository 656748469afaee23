// train --trace, --profile and --profile-episodes as a user runs them.
#include <doctest/doctest.h>
#include <signal.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "tests/engine/environment.h"
#include "tests/tools/program.h"
#include "tests/tools/trace_file.h"

namespace protolith::testing {
namespace {

const std::string kSmallTraining =
    "train --preset demo --train-way 5 --train-query 2 --val-way 5 --val-query 2 --val-episodes 2 "
    "--epoch-episodes 5 --threads 1 --quiet --device cpu ";

std::string in(const TemporaryFolder& folder, const char* name) {
  return "'" + (folder / name).string() + "'";
}

std::int64_t count(const std::vector<TraceEvent>& events, const std::string& name) {
  return std::count_if(events.begin(), events.end(),
                       [&](const TraceEvent& e) { return e.is(name); });
}

/// Of the events of that name, the share of their time that events inside them take.
double covered(const std::vector<TraceEvent>& events, const std::string& name) {
  std::int64_t inside = 0, all = 0;
  for (const TraceEvent& e : events) {
    if (!e.is(name)) continue;
    inside += e.inside;
    all += e.duration();
  }
  REQUIRE(all > 0);
  return static_cast<double>(inside) / static_cast<double>(all);
}

/// The share of the episodes' time that ranges without ranges inside take: single operations.
double covered_by_leaves(const std::vector<TraceEvent>& events) {
  std::int64_t leaves = 0, all = 0;
  for (const TraceEvent& e : events) {
    if (e.is("episode")) all += e.duration();
    if (e.inside > 0 || e.is("episode")) continue;
    int outer = e.parent;
    while (outer >= 0 && !events[static_cast<std::size_t>(outer)].is("episode")) {
      outer = events[static_cast<std::size_t>(outer)].parent;
    }
    if (outer >= 0) leaves += e.duration();
  }
  return static_cast<double>(leaves) / static_cast<double>(all);
}

}  // namespace

TEST_CASE("the trace of 20 steps on glyphs keeps to the format, nests, and leaves no time out") {
  const TemporaryFolder folder;
  const ProgramResult result = run_program(
      "train --preset demo --train-way 20 --episodes 20 --epoch-episodes 20 "
      "--val-episodes 2 --quiet --device cpu --out " +
      in(folder, "run") + " --trace " + in(folder, "trace.json"));
  INFO(result.errors);
  REQUIRE(result.code == 0);
  const std::vector<TraceEvent> events = read_trace(folder / "trace.json");
  CHECK(count(events, "epoch") == 1);
  CHECK(count(events, "validation") == 1);
  for (const char* name : {"episode", "draw episode", "inputs", "data", "forward", "backward",
                           "optimizer", "adam_step"}) {
    CAPTURE(name);
    CHECK(count(events, name) == 20);
  }
  // Four blocks each way, and their shapes: 20 classes x (1 + 5) images.
  CHECK(count(events, "conv_block_forward [120, 28, 28, 1]") == 20);
  CHECK(count(events, "conv_block_forward [120, 14, 14, 64]") == 20);
  CHECK(count(events, "conv_block_backward") == 80);
  CHECK(count(events, "conv_block gradient") == 80);
  CHECK(covered(events, "episode") >= 0.95);
  CHECK(covered(events, "epoch") >= 0.95);
  CHECK(covered_by_leaves(events) >= 0.95);
  for (const TraceEvent& e : events) {
    if (!e.is("forward") && !e.is("backward") && !e.is("optimizer") && !e.is("data")) continue;
    REQUIRE(e.parent >= 0);
    CHECK(events[static_cast<std::size_t>(e.parent)].is("episode"));
  }
  // Steps follow one another: what lies between two is small too.
  std::int64_t first = -1, last = 0, steps = 0;
  for (const TraceEvent& e : events) {
    if (!e.is("episode")) continue;
    if (first < 0) first = e.begin;
    last = e.end;
    steps += e.duration();
  }
  CHECK(static_cast<double>(steps) >= 0.95 * static_cast<double>(last - first));
}

TEST_CASE("profiling changes no bit of the result") {
  const TemporaryFolder folder;
  REQUIRE(run_program(kSmallTraining + "--episodes 12 --out " + in(folder, "plain")).code == 0);
  REQUIRE(run_program(kSmallTraining + "--episodes 12 --profile --profile-episodes 3:7 --trace " +
                      in(folder, "t.json") + " --out " + in(folder, "profiled"))
              .code == 0);
  for (const char* file : {"last.safetensors", "best.safetensors", "config.toml"}) {
    CAPTURE(file);
    const std::string plain = slurp(folder / "plain" / file);
    CHECK(plain.size() > 100);
    CHECK(plain == slurp(folder / "profiled" / file));
  }
}

TEST_CASE("--profile-episodes chooses what is traced and what is in the table") {
  const TemporaryFolder folder;
  // Its second epoch begins with episode 6, and validation lies between.
  const ProgramResult result = run_program(
      kSmallTraining + "--episodes 10 --profile --json --profile-episodes 4:7 --trace " +
      in(folder, "t.json") + " --out " + in(folder, "run"));
  INFO(result.errors);
  REQUIRE(result.code == 0);
  const std::vector<TraceEvent> events = read_trace(folder / "t.json");
  std::vector<std::string> episodes;
  for (const TraceEvent& e : events) {
    if (e.is("episode")) episodes.push_back(e.name);
  }
  CHECK(episodes == std::vector<std::string>{"episode 4", "episode 5", "episode 6", "episode 7"});
  CHECK(count(events, "epoch") == 2);
  CHECK(count(events, "validation") == 1);

  const nlohmann::json profile = nlohmann::json::parse(result.output).at("profile");
  CHECK(profile.at("ranges") == events.size());
  double own = 0, share = 0, outermost = 0;
  std::int64_t calls = 0;
  for (const nlohmann::json& row : profile.at("operations")) {
    own += row.at("self_ms").get<double>();
    share += row.at("share").get<double>();
    calls += row.at("calls").get<std::int64_t>();
    CHECK(row.at("total_ms").get<double>() >= row.at("self_ms").get<double>());
    if (row.at("name") == "episode") CHECK(row.at("calls") == 4);
  }
  for (const TraceEvent& e : events) {
    if (e.parent < 0) outermost += static_cast<double>(e.duration()) * 1e-6;
  }
  CHECK(calls == static_cast<std::int64_t>(events.size()));
  CHECK(share == doctest::Approx(1));
  CHECK(own == doctest::Approx(profile.at("total_ms").get<double>()));
  CHECK(own == doctest::Approx(outermost));
  CHECK(profile.at("peak_gflops").get<double>() > 0);
  CHECK(profile.at("range_ns").get<double>() > profile.at("range_off_ns").get<double>());
  // What rows say of rates: operations by the time that they took.
  const nlohmann::json& rows = profile.at("operations");
  const auto block = std::find_if(rows.begin(), rows.end(), [](const nlohmann::json& row) {
    return row.at("name") == "winograd forward" &&
           row.at("shape") == nlohmann::json{15, 14, 14, 64};
  });
  REQUIRE(block != rows.end());
  CHECK(block->at("calls") == 4);
  const double gflop = 4 * 2e-9 * 15 * 14 * 14 * 64 * 64 * 9;
  CHECK(block->at("gflop").get<double>() == doctest::Approx(gflop));
  CHECK(block->at("share_of_peak").get<double>() ==
        doctest::Approx(gflop / (block->at("total_ms").get<double>() * 1e-3) /
                        profile.at("peak_gflops").get<double>()));
}

TEST_CASE("--profile prints a table whose own times add up") {
  const TemporaryFolder folder;
  const ProgramResult result =
      run_program(kSmallTraining + "--episodes 5 --profile --out " + in(folder, "run"));
  REQUIRE(result.code == 0);
  CHECK(contains(result.output, "winograd backward"));
  CHECK(contains(result.output, "[15, 14, 14, 64]"));
  CHECK(contains(result.output, "each below 0.1 %"));
  CHECK(contains(result.output, "a range costs"));
  double head = 0, own = 0, all = 0;
  std::istringstream lines(result.output);
  for (std::string line; std::getline(lines, line);) {
    if (line.rfind("profile: ", 0) == 0) head = std::stod(line.substr(9));
    if (line.rfind("all ", 0) == 0) {
      all = std::stod(line.substr(77, 11));
      break;
    }
    if (line.size() < 90 || line.find('%') == std::string::npos) continue;
    own += std::stod(line.substr(77, 11));
  }
  CHECK(head > 0);
  CHECK(own == doctest::Approx(head).epsilon(0.01));
  CHECK(all == doctest::Approx(head).epsilon(0.01));
}

TEST_CASE("an interrupted training writes its trace") {
  const TemporaryFolder folder;
  const pid_t child =
      start(words(kSmallTraining + "--episodes 100000 --patience 100000 --out " +
                  (folder / "run").string() + " --trace " + (folder / "t.json").string()),
            folder / "log");
  CHECK(wait_for([&] { return std::filesystem::exists(folder / "run" / "last.safetensors"); }));
  kill(child, SIGINT);
  CHECK(wait_for_exit(child) == 130);
  const std::vector<TraceEvent> events = read_trace(folder / "t.json");
  CHECK(count(events, "episode") >= 5);
  CHECK(count(events, "checkpoint") >= 2);
}

TEST_CASE("a resumed run is profiled from where it goes on") {
  const TemporaryFolder folder;
  REQUIRE(run_program(kSmallTraining + "--episodes 5 --out " + in(folder, "run")).code == 0);
  const std::string config = slurp(folder / "run" / "config.toml");
  const std::string more = "train --quiet --episodes 10 --resume " + in(folder, "run");
  const ProgramResult past = run_program(more + " --profile-episodes 2:4 --profile");
  CHECK(past.code == 2);
  CHECK(slurp(folder / "run" / "config.toml") == config);  // a refused command changes nothing
  CHECK(contains(past.errors,
                 "--profile-episodes 2:4: this run trains episodes 6 to 10; choose among them"));
  REQUIRE(run_program(more + " --profile-episodes 4:7 --trace " + in(folder, "t.json")).code == 0);
  CHECK(count(read_trace(folder / "t.json"), "episode") == 2);
}

TEST_CASE("wrong ranges of episodes and files that cannot be written are named, with the remedy") {
  const TemporaryFolder folder;
  const auto errors = [&](const std::string& arguments, int code) {
    const ProgramResult result =
        run_program(kSmallTraining + "--episodes 5 --out " + in(folder, "run") + " " + arguments);
    CHECK(result.code == code);
    CHECK_FALSE(contains(result.output, "run folder"));
    return result.errors;
  };
  for (const char* text : {"5", "a:b", "3:", ":4", "1:2:3", "1-2", "99999999999999999999:2"}) {
    CAPTURE(text);
    CHECK(contains(errors(std::string("--profile-episodes ") + text, 2),
                   std::string("--profile-episodes ") + text +
                       ": write two numbers of episodes, A:B, such as 101:120"));
  }
  CHECK(contains(errors("--profile-episodes 0:4", 2),
                 "--profile-episodes 0:4: episodes are counted from 1; write 1:4"));
  CHECK(contains(errors("--profile-episodes 9:4", 2),
                 "--profile-episodes 9:4: the last episode comes before the first; write 4:9"));
  CHECK(contains(errors("--trace " + in(folder, "none/t.json"), 2), "make it first"));
  CHECK(contains(errors("--profile-episodes 6:9", 2),
                 "--profile-episodes 6:9: this run trains episodes 1 to 5; choose among them"));
  CHECK(contains(errors("--trace " + in(folder, "run"), 2), "is the run's folder"));
  for (const char* own : {"run/last.safetensors", "run/metrics.jsonl"}) {
    CHECK(contains(errors("--trace " + in(folder, own), 2), "is a file of the run"));
  }
  CHECK_FALSE(std::filesystem::exists(folder / "run"));
  // A trace may lie in the run folder that is about to be made.
  REQUIRE(run_program(kSmallTraining + "--episodes 5 --out " + in(folder, "other") + " --trace " +
                      in(folder, "other/t.json"))
              .code == 0);
  CHECK(count(read_trace(folder / "other" / "t.json"), "episode") == 5);
  const ProgramResult nobody = run_program(
      kSmallTraining + "--episodes 5 --profile-episodes 2:3 --out " + in(folder, "third"));
  CHECK(nobody.code == 0);
  CHECK(contains(nobody.errors, "nobody listens; add --trace or --profile"));
}

#ifdef PROTOLITH_NVTX_INJECTION
TEST_CASE("a profiler that is attached hears the ranges, nested, of the chosen episodes") {
  const TemporaryFolder folder;
  const Environment injection("NVTX_INJECTION64_PATH", PROTOLITH_NVTX_INJECTION);
  const Environment log("NVTX_LOG", (folder / "log").c_str());
  REQUIRE(run_program(kSmallTraining + "--episodes 10 --profile-episodes 3:4 --out " +
                      in(folder, "run"))
              .code == 0);
  std::istringstream lines(slurp(folder / "log"));
  std::string line;
  REQUIRE(std::getline(lines, line));
  CHECK(line == "domain protolith");
  std::vector<std::string> open, episodes;
  std::int64_t blocks = 0;
  while (std::getline(lines, line)) {
    CAPTURE(line);
    if (line == "pop") {
      REQUIRE_FALSE(open.empty());
      open.pop_back();
      continue;
    }
    REQUIRE(line.rfind("push ", 0) == 0);
    open.push_back(line.substr(5));
    if (line.rfind("push episode ", 0) == 0) episodes.push_back(open.back());
    if (open.back() == "conv_block_forward [15, 14, 14, 64]") {
      ++blocks;
      REQUIRE(open.size() == 4);
      CHECK(open[0] == "epoch 1");
      CHECK(contains(open[1], "episode"));
      CHECK(open[2] == "forward");
    }
  }
  CHECK(open.empty());
  CHECK(blocks == 2);
  CHECK(episodes == std::vector<std::string>{"episode 3", "episode 4"});
}
#endif

}  // namespace protolith::testing
