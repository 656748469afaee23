// A trace file as its format wants it: read, checked, and measured.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/engine/temporary_folder.h"

namespace protolith::testing {

/// A complete event. Times in ns, exact.
struct TraceEvent {
  std::string name;
  std::int64_t begin = 0, end = 0;
  int process = 0, thread = 0;
  int parent = -1;          ///< the event that it lies in, by index; -1: none
  std::int64_t inside = 0;  ///< of its time, what events directly inside it take
  std::int64_t duration() const { return end - begin; }
  bool is(const std::string& what) const { return name == what || name.rfind(what + " ", 0) == 0; }
};

/// Reads a trace of the trace event format and checks it: JSON; every event has ph, ts, dur, pid,
/// tid and name of the right types; complete events of one thread come in order and either lie
/// apart or one in the other.
inline std::vector<TraceEvent> read_trace(const std::filesystem::path& file) {
  const nlohmann::json trace = nlohmann::json::parse(slurp(file));
  REQUIRE(trace.at("traceEvents").is_array());
  std::vector<TraceEvent> events;
  std::map<std::pair<int, int>, std::vector<int>> open;  // by thread
  for (const nlohmann::json& event : trace["traceEvents"]) {
    const std::string text = event.dump();
    CAPTURE(text);
    REQUIRE(event.at("name").is_string());
    REQUIRE(event.at("ph").is_string());
    REQUIRE(event.at("ts").is_number());
    REQUIRE(event.at("dur").is_number());
    REQUIRE(event.at("pid").is_number_integer());
    REQUIRE(event.at("tid").is_number_integer());
    REQUIRE(event.at("ts").get<double>() >= 0);
    REQUIRE(event.at("dur").get<double>() >= 0);
    if (event["ph"] == "M") {
      REQUIRE(event.at("args").at("name").is_string());
      continue;
    }
    REQUIRE(event["ph"] == "X");
    const auto ns = [&](const char* key) { return std::llround(event[key].get<double>() * 1e3); };
    TraceEvent e{event["name"], ns("ts"), ns("ts") + ns("dur"), event["pid"], event["tid"]};
    auto& stack = open[{e.process, e.thread}];
    while (!stack.empty()) {
      TraceEvent& outer = events[static_cast<std::size_t>(stack.back())];
      REQUIRE(outer.begin <= e.begin);
      if (e.begin < outer.end) {
        REQUIRE(e.end <= outer.end);
        outer.inside += e.duration();
        e.parent = stack.back();
        break;
      }
      stack.pop_back();
    }
    stack.push_back(static_cast<int>(events.size()));
    events.push_back(std::move(e));
  }
  return events;
}

}  // namespace protolith::testing
