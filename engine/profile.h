// Where the time goes: nested ranges of the host, each with its operation's name, shape and cost.
// A backend refers to the profiler that listens, or to none, and then a range costs one branch.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "engine/nvtx.h"
#include "engine/op_cost.h"
#include "engine/tensor.h"

namespace protolith {

/// A closed range. Times are nanoseconds of std::chrono::steady_clock.
struct ProfileEvent {
  const char* name = "";  ///< a literal
  Shape shape;            ///< of the main operand; rank 0: none
  std::int64_t number = kNoNumber;
  std::int64_t begin = 0, end = 0;
  std::int64_t inside = 0;  ///< of its time, what ranges directly inside it took
  int depth = 0;            ///< 0: inside no other range
  OpCost cost;

  static constexpr std::int64_t kNoNumber = -1;
  std::int64_t duration() const noexcept { return end - begin; }
  std::int64_t self() const noexcept { return duration() - inside; }
  /// "convolution [360, 28, 28, 64]", "episode 17".
  std::string label() const;
};

/// All ranges of one name and shape.
struct ProfileRow {
  std::string_view name;
  Shape shape;
  std::int64_t calls = 0;
  std::int64_t total = 0, self = 0;  ///< ns; self: outside the ranges inside them
  OpCost cost;                       ///< of all calls
};

/// What a profiler does with its ranges.
struct ProfilerOptions {
  bool keep = false;       ///< every range, for a trace
  bool summarize = false;  ///< rows by name and shape
  bool nvtx = true;        ///< to NVIDIA's profiler, where one listens
  /// Ranges kept at most, 112 bytes each; later ones are counted, and still summarized.
  std::size_t capacity = 500'000;
};

/// Collects the ranges of one thread. A range that is recorded costs two readings of the clock and
/// a copy into memory that was taken in advance; names are put together when somebody reads them.
class Profiler {
 public:
  explicit Profiler(const ProfilerOptions& options);
  Profiler(const Profiler&) = delete;
  Profiler& operator=(const Profiler&) = delete;

  /// Whether ranges go anywhere: without, do not attach it.
  bool listens() const noexcept { return options_.keep || options_.summarize || nvtx_.listens(); }
  /// Whether ranges go to NVIDIA's profiler.
  bool nvtx_listens() const noexcept { return nvtx_.listens(); }

  void open(const char* name, const Shape& shape, std::int64_t number);
  /// Closes the range opened last.
  void close();
  /// Of the range opened last.
  void set_cost(const OpCost& cost) { open_.back().cost = cost; }

  /// The ranges kept so far that are closed, in the order in which they were closed.
  const std::vector<ProfileEvent>& events();
  /// Ranges that were not kept, for want of capacity.
  std::uint64_t dropped();
  /// Closed ranges by name and shape, the largest own time first.
  std::vector<ProfileRow> rows();
  /// All ranges closed so far.
  std::uint64_t ranges() const noexcept { return ranges_; }

  /// Now, on the clock of all ranges.
  static std::int64_t now() noexcept;

 private:
  /// Empties recent_ into what is kept and summarized.
  void drain();
  void summarize(const ProfileEvent& event);

  ProfilerOptions options_;
  NvtxDomain nvtx_;
  std::vector<ProfileEvent> open_;    // the innermost last
  std::vector<ProfileEvent> recent_;  // closed, not yet drained
  std::vector<ProfileEvent> kept_;
  std::uint64_t dropped_ = 0, ranges_ = 0;
  // Names are compared as text: one literal may have several addresses.
  using Key = std::tuple<std::string_view, std::vector<std::int64_t>>;
  std::map<Key, ProfileRow> rows_;
};

/// A range from its making to its end. `profiler` may be null: nothing happens then.
class [[nodiscard]] ProfileRange {
 public:
  ProfileRange(Profiler* profiler, const char* name) : profiler_(profiler) {
    if (profiler_ != nullptr) [[unlikely]]
      open(name, nullptr, ProfileEvent::kNoNumber);
  }
  /// With the main operand's shape.
  ProfileRange(Profiler* profiler, const char* name, const Shape& shape) : profiler_(profiler) {
    if (profiler_ != nullptr) [[unlikely]]
      open(name, &shape, ProfileEvent::kNoNumber);
  }
  /// With the cost that `cost()` returns, asked only when somebody listens.
  template <class F>
  ProfileRange(Profiler* profiler, const char* name, const Shape& shape, F&& cost)
      : profiler_(profiler) {
    if (profiler_ != nullptr) [[unlikely]] {
      open(name, &shape, ProfileEvent::kNoNumber);
      profiler_->set_cost(cost());
    }
  }
  /// "episode 17".
  ProfileRange(Profiler* profiler, const char* name, std::int64_t number) : profiler_(profiler) {
    if (profiler_ != nullptr) [[unlikely]]
      open(name, nullptr, number);
  }
  ~ProfileRange() {
    if (profiler_ != nullptr) [[unlikely]]
      profiler_->close();
  }
  ProfileRange(const ProfileRange&) = delete;
  ProfileRange& operator=(const ProfileRange&) = delete;

 private:
  // Out of line: a range that nobody listens to should stay small.
  void open(const char* name, const Shape* shape, std::int64_t number);

  Profiler* profiler_;
};

/// What ranges cost on this machine, measured with empty ones, in ns each.
struct RangeCost {
  double recorded = 0;  ///< kept and summarized, as --trace and --profile do together
  double off = 0;       ///< nobody listens
};
RangeCost measure_range_cost();

/// Work that a device did, on the clock of the ranges.
struct DeviceEvent {
  enum class Kind : std::uint8_t { kernel, copy, fill };
  Kind kind = Kind::kernel;
  std::string_view name;  ///< lives as long as the DeviceTrace
  std::int64_t begin = 0, end = 0;
  std::uint32_t stream = 0;
  std::uint32_t graph = 0;  ///< the CUDA graph that it was launched by; 0: none
  std::uint64_t bytes = 0;  ///< copied or filled
  std::int64_t duration() const noexcept { return end - begin; }
};

/// Records what a device does, by the device's own clock put onto that of the ranges.
class DeviceTrace {
 public:
  virtual ~DeviceTrace() = default;
  /// Forgets what came before. The device has no work then. Once in a trace's life.
  virtual void start() = 0;
  /// The work since start(), in the order in which it began, as far as the capacity goes; all that
  /// the device was given must have ended. Recording ends with it.
  virtual std::vector<DeviceEvent> stop() = 0;
  /// After stop(): all of the work, summed by name, the longest first; `cost.bytes`: of copies and
  /// fills.
  virtual std::vector<ProfileRow> rows() const = 0;
  /// Records that were beyond stop()'s capacity, and those that the driver lost for want of memory,
  /// which rows() lack too.
  virtual std::uint64_t unkept() const = 0;
  virtual std::uint64_t lost() const = 0;
};

}  // namespace protolith
