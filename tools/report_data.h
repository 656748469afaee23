// What a report is made of, as read from run folders.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "tools/config.h"
#include "tools/run_folder.h"

namespace protolith {

/// How many values lie in each bin, bin i from edges[i] to edges[i + 1], and how many in none.
struct Histogram {
  std::vector<double> edges, counts;
  double below = 0, above = 0, nan = 0;

  double total() const;
};

/// A line of histograms.jsonl: the query-prototype pairs of the training episode that came after
/// `episode` others. What it does not record is NaN.
struct HistogramRecord {
  std::int64_t episode = 0;
  Histogram log_gradient;   ///< of ln(|dl/dd| + 1e-5), d the distance that enters the softmax
  Histogram distance;       ///< of d
  double share_below = 0;   ///< of gradients below 1e-5
  double share_inside = 0;  ///< of gradients in (1e-3, 1 - 1e-3)
  double gradient_min = 0, gradient_median = 0, gradient_max = 0;
  double distance_min = 0, distance_median = 0, distance_max = 0;
  double entropy = 0;  ///< of the softmax, nats
};

/// What eval.json holds: as `protolith eval --json` prints it.
struct TestResult {
  std::string split;
  std::int64_t way = 0, shot = 0, query = 0, episodes = 0;
  double accuracy = 0, ci95 = 0, loss = 0;
};

struct ReportedRun {
  std::string name;  ///< the folder's, or its path where two are called the same; UTF-8
  std::filesystem::path path;
  Config config;
  std::vector<EpochMetrics> epochs;  ///< at least one
  std::vector<HistogramRecord> histograms;
  std::optional<TestResult> test;
  std::vector<std::string> warnings;  ///< files whose last line was cut short

  /// The epoch whose model was kept; nullptr where nothing was validated.
  const EpochMetrics* best() const;
  /// Of training, without validation.
  double seconds() const;
};

/// Reads the runs' folders. Throws UsageError on a folder that holds no run, on a run given twice
/// and on one without an epoch; Error naming file and line on what is damaged.
std::vector<ReportedRun> read_runs(const std::vector<std::string>& paths);

}  // namespace protolith
