#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>

#include "tools/event_file.h"

namespace protolith {

/// Gradients and distances that one training episode meets.
struct EpisodeHistograms {
  std::int64_t episode = 0;    ///< training episodes done before it
  HistogramBins log_gradient;  ///< of ln(|dl/dd| + 1e-5)
  HistogramBins distance;      ///< of the distances that enter the softmax
  double share_below = 0;      ///< share of |dl/dd| < 1e-5
  double share_inside = 0;     ///< share of 1e-3 < |dl/dd| < 1 - 1e-3
  double entropy = 0;          ///< of the softmax, mean over queries, nats
};

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
  /// The histograms of one episode; on disk on return.
  void histograms(const EpisodeHistograms& taken);

 private:
  void add(const nlohmann::json& metrics);
  EventFile& file();

  std::filesystem::path folder_;
  std::optional<EventFile> file_;  // none before start()
};

}  // namespace protolith
