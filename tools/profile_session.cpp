#include "tools/profile_session.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>

#include "engine/trace.h"
#include "tools/session.h"

namespace protolith {
namespace {

ProfilerOptions profiler_options(const ProfileFlags& flags) {
  return {.keep = !flags.trace.empty(), .summarize = flags.table};
}

/// What a trace keeps of a device's work at most, in records of 56 bytes.
constexpr std::size_t kDeviceRecords = 2'000'000;

}  // namespace

EpisodeRange parse_episode_range(const std::string& text) {
  EpisodeRange range{0, 0};
  const char* const end = text.data() + text.size();
  const auto [colon, first_error] = std::from_chars(text.data(), end, range.first);
  bool valid = first_error == std::errc() && colon != end && *colon == ':';
  if (valid) {
    const auto [rest, last_error] = std::from_chars(colon + 1, end, range.last);
    valid = last_error == std::errc() && rest == end;
  }
  PROTOLITH_CHECK_USAGE(
      valid, "--profile-episodes {}: write two numbers of episodes, A:B, such as 101:120", text);
  PROTOLITH_CHECK_USAGE(range.first >= 1,
                        "--profile-episodes {}: episodes are counted from 1; write 1:{}", text,
                        std::max<std::int64_t>(range.last, 1));
  PROTOLITH_CHECK_USAGE(range.last >= range.first,
                        "--profile-episodes {}: the last episode comes before the first; write "
                        "{}:{}",
                        text, std::max<std::int64_t>(range.last, 1),
                        std::max(range.first, range.last));
  return range;
}

void ProfileFlags::add_to(CLI::App& command) {
  const char* const group = "Profiling";
  command
      .add_option("--trace", trace,
                  "write what ran when, as a trace that ui.perfetto.dev and chrome://tracing show; "
                  "the first 500000 ranges, which are some 6000 episodes on the CPU")
      ->type_name("FILE")
      ->group(group);
  command.add_flag("--profile", table, "print a table of where the time went, by operation")
      ->group(group);
  command
      .add_option("--profile-episodes", episodes,
                  "profile training episodes A to B only (counted from 1) and what lies between "
                  "them; brackets them for nsys and ncu too (--capture-range=cudaProfilerApi)")
      ->type_name("A:B")
      ->group(group);
}

ProfileSession::ProfileSession(Backend& backend, const ProfileFlags& flags)
    : backend_(backend),
      flags_(flags),
      range_(flags.episodes.empty() ? EpisodeRange{} : parse_episode_range(flags.episodes)),
      profiler_(profiler_options(flags)) {
  if (flags.table || !flags.trace.empty()) {
    device_ = backend.make_device_trace(flags.trace.empty() ? 0 : kDeviceRecords);
  }
}

ProfileSession::~ProfileSession() {
  if (state_ == State::running) backend_.set_profiler(nullptr);
}

void ProfileSession::check(std::int64_t first_episode, std::int64_t last_episode) const {
  PROTOLITH_CHECK_USAGE(
      flags_.episodes.empty() || (range_.first <= last_episode && range_.last >= first_episode),
      "--profile-episodes {}: this run trains episodes {} to {}; choose among them",
      flags_.episodes, first_episode, last_episode);
}

void ProfileSession::open() {
  if (!flags_.trace.empty()) file_ = std::make_unique<AtomicFile>(flags_.trace);
}

bool ProfileSession::starts_with(std::int64_t episode) const noexcept {
  return state_ == State::before && episode >= range_.first;
}

bool ProfileSession::ends_with(std::int64_t episode) const noexcept {
  return state_ == State::running && episode >= range_.last;
}

void ProfileSession::start() {
  state_ = State::running;
  if (device_) device_->start();
  if (!flags_.episodes.empty()) backend_.capture_for_profiler(true);
  if (profiler_.listens()) backend_.set_profiler(&profiler_);
}

void ProfileSession::stop() {
  backend_.set_profiler(nullptr);
  state_ = State::after;
  if (!flags_.episodes.empty()) backend_.capture_for_profiler(false);
  if (device_) device_events_ = device_->stop();
}

ProfileReport ProfileSession::finish() {
  if (state_ == State::running) stop();
  // On CUDA a profiler may hear of the episodes by cudaProfilerStart alone.
  const bool unheard = profiler_.ranges() == 0 && backend_.device().type == DeviceType::cpu;
  if (flags_.any() && (state_ == State::before || unheard)) {
    warn(state_ == State::before
             ? fmt::format("--profile-episodes {}: the training ended before", flags_.episodes)
             : "--profile-episodes: nobody listens; add --trace or --profile, or run under nsys or "
               "ncu");
  }
  ProfileReport report;
  report.lost = device_ ? device_->lost() : 0;
  report.dropped = profiler_.dropped() + (device_ ? device_->unkept() : 0) + report.lost;
  report.ranges = profiler_.ranges();
  if (file_) {
    write_trace(*file_,
                {profiler_.events(), device_events_, backend_.description(), report.dropped});
    file_->commit();
    file_.reset();
    if (report.dropped > 0) {
      warn(
          fmt::format("{}: {} later ranges did not fit; choose what to trace with "
                      "--profile-episodes A:B",
                      flags_.trace, report.dropped));
    }
  }
  if (!flags_.table) return report;
  report.rows = profiler_.rows();
  if (device_) report.device = device_->rows();
  if (report.lost > 0) {
    warn(
        fmt::format("--profile: {} records of the device's work were lost for want of memory, and "
                    "the table lacks them; profile fewer episodes with --profile-episodes A:B",
                    report.lost));
  }
  for (const ProfileRow& row : report.rows) report.total += row.self;
  report.range_cost = measure_range_cost();
  return report;
}

}  // namespace protolith
