// Ranges: how they nest, what is kept and summed of them, what they cost.
#include "engine/profile.h"

#include <doctest/doctest.h>

#include <numeric>
#include <stdexcept>

namespace protolith::testing {
namespace {

void wait_ns(std::int64_t ns) {
  const std::int64_t end = Profiler::now() + ns;
  while (Profiler::now() < end) {
  }
}

const ProfileRow& row(const std::vector<ProfileRow>& rows, std::string_view name) {
  for (const ProfileRow& row : rows) {
    if (row.name == name) return row;
  }
  throw std::runtime_error("no row " + std::string(name));
}

}  // namespace

TEST_CASE(
    "ranges nest: inner ones end first, lie inside, and their time is not the outer one's own") {
  Profiler profiler({.keep = true, .summarize = true});
  {
    const ProfileRange outer(&profiler, "outer", 3);
    wait_ns(20'000);
    for (int i = 0; i < 2; ++i) {
      const ProfileRange inner(&profiler, "inner", Shape{4, 5});
      wait_ns(30'000);
      const ProfileRange innermost(&profiler, "innermost");
      wait_ns(10'000);
    }
  }
  const auto& events = profiler.events();
  REQUIRE(events.size() == 5);
  const ProfileEvent& outer = events.back();
  CHECK(outer.label() == "outer 3");
  CHECK(outer.depth == 0);
  CHECK(events[1].label() == "inner [4, 5]");
  CHECK(events[1].depth == 1);
  CHECK(events[0].label() == "innermost");
  CHECK(events[0].depth == 2);
  for (std::size_t i = 0; i < 4; i += 2) {
    CHECK(events[i + 1].begin <= events[i].begin);
    CHECK(events[i].end <= events[i + 1].end);
    CHECK(events[i + 1].inside == events[i].duration());
    CHECK(events[i + 1].self() >= 30'000);
  }
  CHECK(events[1].end <= events[3].begin);
  CHECK(outer.inside == events[1].duration() + events[3].duration());
  CHECK(outer.self() >= 20'000);
  CHECK(outer.duration() >= 100'000);

  const auto rows = profiler.rows();
  REQUIRE(rows.size() == 3);
  CHECK(row(rows, "inner").calls == 2);
  CHECK(row(rows, "inner").shape == Shape{4, 5});
  CHECK(row(rows, "inner").total == events[1].duration() + events[3].duration());
  CHECK(row(rows, "innermost").self == row(rows, "innermost").total);
  // All own times together are the outermost range's time.
  const std::int64_t own =
      std::accumulate(rows.begin(), rows.end(), std::int64_t{0},
                      [](std::int64_t sum, const ProfileRow& row) { return sum + row.self; });
  CHECK(own == outer.duration());
  CHECK(std::is_sorted(rows.begin(), rows.end(),
                       [](const auto& a, const auto& b) { return a.self > b.self; }));
}

TEST_CASE("rows are by name and shape, names as text, and add up costs") {
  Profiler profiler({.summarize = true});
  const std::string copy = "relu";  // the same text at another address
  const auto add = [&](const char* name, const Shape& shape) {
    const ProfileRange range(&profiler, name, shape, [] { return OpCost{3, 5}; });
  };
  add("relu", {2});
  add(copy.c_str(), {2});
  add("relu", {3});
  add("relu", {3, 1});
  CHECK(profiler.events().empty());  // nothing is kept that nobody asked for
  const auto rows = profiler.rows();
  REQUIRE(rows.size() == 3);
  for (const ProfileRow& r : rows) {
    const double calls = r.shape == Shape{2} ? 2 : 1;
    CHECK(static_cast<double>(r.calls) == calls);
    CHECK(r.cost.flops == 3 * calls);
    CHECK(r.cost.bytes == 5 * calls);
  }
}

TEST_CASE("without a profiler nothing is computed") {
  bool asked = false;
  {
    const ProfileRange range(nullptr, "op", Shape{2}, [&] {
      asked = true;
      return OpCost{};
    });
  }
  CHECK_FALSE(asked);
  Profiler profiler({.keep = true});
  {
    const ProfileRange range(&profiler, "op", Shape{2}, [&] {
      asked = true;
      return OpCost{1, 2};
    });
  }
  CHECK(asked);
  CHECK(profiler.events().at(0).cost.flops == 1);
  CHECK(profiler.events().at(0).cost.bytes == 2);
}

TEST_CASE("ranges beyond the capacity are counted, not kept, and summed all the same") {
  // More than the profiler lets wait before it sorts them.
  constexpr int kRanges = 20'000;
  Profiler profiler({.keep = true, .summarize = true, .capacity = 150});
  for (int i = 0; i < kRanges; ++i) const ProfileRange range(&profiler, "op");
  CHECK(profiler.events().size() == 150);
  CHECK(profiler.dropped() == kRanges - 150);
  CHECK(profiler.ranges() == kRanges);
  REQUIRE(profiler.rows().size() == 1);
  CHECK(profiler.rows()[0].calls == kRanges);
}

TEST_CASE("a range ends when an exception passes") {
  Profiler profiler({.keep = true});
  try {
    const ProfileRange outer(&profiler, "outer");
    const ProfileRange inner(&profiler, "inner");
    throw std::runtime_error("x");
  } catch (const std::runtime_error&) {
  }
  REQUIRE(profiler.events().size() == 2);
  CHECK(profiler.events()[0].label() == "inner");
  CHECK(profiler.events()[1].depth == 0);
}

TEST_CASE("a profiler that is told nothing to do does not listen, unless NVIDIA's does") {
  const Profiler idle({});
  CHECK(idle.listens() == idle.nvtx_listens());
  const Profiler keeping({.keep = true});
  CHECK(keeping.listens());
  const Profiler summing({.summarize = true});
  CHECK(summing.listens());
}

TEST_CASE("what a range costs is measured, and costs more when it is recorded") {
  const RangeCost cost = measure_range_cost();
  CHECK(cost.off >= 0);
  CHECK(cost.recorded > cost.off);
  CHECK(cost.recorded < 100'000);
}

}  // namespace protolith::testing
