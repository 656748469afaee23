#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <ostream>
#include <string>

namespace protolith {

/// Where a training or an evaluation stands.
struct ProgressState {
  std::int64_t done = 0;   ///< units
  std::int64_t total = 0;  ///< units in all; 0: not known
  std::optional<double> loss = std::nullopt;
  std::optional<double> accuracy = std::nullopt;  ///< fraction
  const char* unit = "episodes";                  ///< what `done` and `total` count; a literal
  bool open_ended = false;  ///< `total` is the earliest end, which a better epoch puts off
};

/// Progress for people, on stderr: one live line on a terminal, else only whole lines.
class Progress {
 public:
  enum class Style : std::uint8_t { none, plain, live };

  /// Seconds of a steady clock; replaceable in tests.
  using Clock = std::function<double()>;

  /// live on a terminal, plain elsewhere, none when `quiet`; writes to stderr.
  explicit Progress(bool quiet);
  Progress(std::ostream& out, Style style, Clock clock);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  /// Starts the clock of the rate and of the time left. `done`: units of an earlier run.
  void start(std::string label, std::int64_t done = 0);
  /// Whether an update() now would be drawn.
  bool wants_update() const;
  /// Redraws the live line, at most ten times a second.
  void update(const ProgressState& state);
  /// "4.3 episodes/s, 35 min 00 s left", for the end of a line that stays: the rate since start()
  /// and what it makes of the rest, "at least" where the end is open. Without what is not known.
  std::string rate(const ProgressState& state) const;
  /// A line that stays, such as an epoch's summary. Nothing under --quiet.
  void line(const std::string& text);
  /// Removes the live line.
  void finish();

 private:
  void erase();

  std::ostream* out_;
  Style style_;
  Clock clock_;
  std::string label_;
  std::int64_t first_ = 0;
  double started_ = 0;
  double drawn_ = 0;
  bool visible_ = false;
};

/// "12 s", "3 min 05 s", "2 h 07 min".
std::string format_duration(double seconds);

}  // namespace protolith
