#include "engine/profile.h"

#include <algorithm>
#include <chrono>

namespace protolith {
namespace {

constexpr std::size_t kRecent = 8192;
constexpr std::size_t kDepth = 64;

}  // namespace

std::string ProfileEvent::label() const {
  if (number != kNoNumber) return fmt::format("{} {}", name, number);
  return shape.rank() > 0 ? fmt::format("{} {}", name, to_string(shape)) : name;
}

std::int64_t Profiler::now() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

Profiler::Profiler(const ProfilerOptions& options) : options_(options) {
  open_.reserve(kDepth);
  if (!options_.keep && !options_.summarize) return;
  recent_.reserve(kRecent);
  if (options_.keep) kept_.reserve(options_.capacity);
}

void Profiler::open(const char* name, const Shape& shape, std::int64_t number) {
  ProfileEvent& event = open_.emplace_back();
  event.name = name;
  event.shape = shape;
  event.number = number;
  event.depth = static_cast<int>(open_.size()) - 1;
  if (options_.nvtx && nvtx_.listens()) nvtx_.push(event.label());
  event.begin = now();  // last: the range's own preparation is not in it
}

void Profiler::close() {
  const std::int64_t end = now();
  if (options_.nvtx) nvtx_.pop();
  ProfileEvent& event = open_.back();
  event.end = end;
  ++ranges_;
  if (open_.size() > 1) open_[open_.size() - 2].inside += event.duration();
  if (options_.keep || options_.summarize) {
    recent_.push_back(event);
    if (recent_.size() == kRecent) drain();
  }
  open_.pop_back();
}

void Profiler::summarize(const ProfileEvent& event) {
  const auto extents = event.shape.extents();
  ProfileRow& row = rows_[{event.name, {extents.begin(), extents.end()}}];
  row.name = event.name;
  row.shape = event.shape;
  ++row.calls;
  row.total += event.duration();
  row.self += event.self();
  row.cost = row.cost + event.cost;
}

void Profiler::drain() {
  for (const ProfileEvent& event : recent_) {
    if (options_.summarize) summarize(event);
    if (!options_.keep) continue;
    if (kept_.size() < options_.capacity) {
      kept_.push_back(event);
    } else {
      ++dropped_;
    }
  }
  recent_.clear();
}

const std::vector<ProfileEvent>& Profiler::events() {
  drain();
  return kept_;
}

std::uint64_t Profiler::dropped() {
  drain();
  return dropped_;
}

std::vector<ProfileRow> Profiler::rows() {
  drain();
  std::vector<ProfileRow> rows;
  for (const auto& [key, row] : rows_) rows.push_back(row);
  std::stable_sort(rows.begin(), rows.end(),
                   [](const ProfileRow& a, const ProfileRow& b) { return a.self > b.self; });
  return rows;
}

void ProfileRange::open(const char* name, const Shape* shape, std::int64_t number) {
  profiler_->open(name, shape != nullptr ? *shape : Shape(), number);
}

namespace {

/// ns of each of `count` ranges inside an outer one, the least of a few rounds: whatever disturbs a
/// round only adds.
double time_ranges(Profiler* profiler, int count) {
  const Shape shape{360, 28, 28, 64};
  double least = std::numeric_limits<double>::infinity();
  for (int round = 0; round < 5; ++round) {
    const ProfileRange outer(profiler, "outer");
    const std::int64_t begin = Profiler::now();
    for (int i = 0; i < count; ++i) {
      const ProfileRange range(profiler, "range", shape,
                               [&] { return batch_statistics_cost(shape); });
      asm volatile("" : "+r"(profiler));  // the compiler must not know that it is null
    }
    least = std::min(least, static_cast<double>(Profiler::now() - begin) / count);
  }
  return least;
}

}  // namespace

RangeCost measure_range_cost() {
  constexpr int kCount = 20'000;
  Profiler profiler({.keep = true, .summarize = true, .nvtx = false, .capacity = 10 * kCount});
  return {time_ranges(&profiler, kCount), time_ranges(nullptr, kCount)};
}

}  // namespace protolith
