// train's --trace, --profile and --profile-episodes.
#pragma once

#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/file.h"

namespace CLI {
class App;
}

namespace protolith {

/// Training episodes by number, counted from 1, both ends included.
struct EpisodeRange {
  std::int64_t first = 1;
  std::int64_t last = std::numeric_limits<std::int64_t>::max();
};
/// Of "A:B". Throws UsageError that says what is wrong with it and what to write.
EpisodeRange parse_episode_range(const std::string& text);

struct ProfileFlags {
  std::string trace;     ///< a file, empty: none
  std::string episodes;  ///< "A:B", empty: all
  bool table = false;
  void add_to(CLI::App& command);
  bool any() const { return !trace.empty() || !episodes.empty() || table; }
};

/// What a profile has found.
struct ProfileReport {
  std::vector<ProfileRow> rows;    ///< of the host's ranges, the largest own time first
  std::vector<ProfileRow> device;  ///< of the device's work; `cost.bytes`: of copies and fills
  std::int64_t total = 0;          ///< ns of the outermost ranges
  std::uint64_t ranges = 0;
  std::uint64_t dropped = 0;  ///< ranges and records that the trace lacks
  std::uint64_t lost = 0;     ///< records that the table lacks: the driver had no memory for them
  RangeCost range_cost;
};

/// Profiles a training run: the whole run, or some of its episodes, once.
class ProfileSession {
 public:
  /// Throws UsageError on a wrong range of episodes; Error where the device's work cannot be
  /// recorded.
  ProfileSession(Backend& backend, const ProfileFlags& flags);
  /// Detaches from the backend. Ranges must have ended.
  ~ProfileSession();
  ProfileSession(const ProfileSession&) = delete;
  ProfileSession& operator=(const ProfileSession&) = delete;

  /// Checks the range of episodes against those that will be trained. Throws UsageError.
  void check(std::int64_t first_episode, std::int64_t last_episode) const;
  /// Takes the trace's file, so that what is wrong with it shows before the training. Throws Error.
  void open();

  /// Whether recording must start before this episode, or stop after it.
  bool starts_with(std::int64_t episode) const noexcept;
  bool ends_with(std::int64_t episode) const noexcept;
  /// At either the device must have no work.
  void start();
  void stop();

  /// Stops and writes the trace. The device must have no work.
  ProfileReport finish();

 private:
  enum class State : std::uint8_t { before, running, after };

  Backend& backend_;
  ProfileFlags flags_;
  EpisodeRange range_;
  Profiler profiler_;
  std::unique_ptr<DeviceTrace> device_;
  std::vector<DeviceEvent> device_events_;
  std::unique_ptr<AtomicFile> file_;
  State state_ = State::before;
};

}  // namespace protolith
