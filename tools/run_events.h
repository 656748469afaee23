#pragma once

#include <initializer_list>
#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "tools/event_file.h"

namespace protolith {

/// A run in TensorBoard, at step = training episodes done: train/loss, train/accuracy,
/// train/learning_rate, val/loss and val/accuracy an epoch; gradient/log_abs, distance/softmax,
/// gradient/share_below_1e-5, gradient/share_inside and softmax/entropy where histograms are taken.
/// Each start() begins a new event file. What cannot be written throws Error.
class RunEvents {
 public:
  explicit RunEvents(std::filesystem::path folder) : folder_(std::move(folder)) {}

  /// The run begins, or goes on, after `episodes` episodes: TensorBoard drops what it has from that
  /// step on. `last_metrics` is the last line of metrics.jsonl or null: when it is of this very
  /// step, it is written again. An episode's histograms at this step are for the caller to give
  /// again: training takes them after the checkpoint that it goes on from.
  void start(std::int64_t episodes, const nlohmann::json& last_metrics);
  /// The scalars of one line of metrics.jsonl; on disk on return.
  void epoch(const nlohmann::json& metrics);
  /// The histograms of one line of histograms.jsonl; on disk on return.
  void histograms(const nlohmann::json& line);

 private:
  /// A tag, and the key of the line that holds its value.
  struct Scalar {
    const char* tag;
    const char* key;
  };
  void add(const nlohmann::json& metrics);
  /// Adds the values that `line` has.
  void add_scalars(std::int64_t step, const nlohmann::json& line,
                   std::initializer_list<Scalar> scalars);
  EventFile& file();

  std::filesystem::path folder_;
  std::optional<EventFile> file_;  // none before start()
};

}  // namespace protolith
