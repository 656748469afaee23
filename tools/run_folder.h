#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/file.h"
#include "tools/config.h"

namespace protolith {

/// A line of metrics.jsonl: what one epoch brought. What a run does not record is NaN, such as the
/// validation of one that trains on the validation classes.
struct EpochMetrics {
  std::int64_t epoch = 0;     ///< from 1
  std::int64_t episodes = 0;  ///< training episodes so far
  double train_loss = 0, train_accuracy = 0, learning_rate = 0;
  double seconds = 0;  ///< of its training, without validation
  double val_loss = 0, val_accuracy = 0, val_ci95 = 0;
  bool best = false;  ///< whether its validation loss was the least so far
  double peak_memory_mb = 0;
};

/// The folder of one training run: config.toml, metrics.jsonl and the two checkpoints. RunEvents
/// keeps TensorBoard's event files beside them.
class RunFolder {
 public:
  /// A new run in `out`, or where that is empty in runs/NAME (default_run_name), made free by a
  /// number when it is taken. Writes config.toml and an empty metrics.jsonl, so that a folder which
  /// cannot be written fails before training starts. Throws UsageError when `out` already holds a
  /// run, or another process begins one there, Error when the folder cannot be created or written.
  static RunFolder create(const Config& config, const std::string& out = "");
  /// An existing run, to resume or to evaluate. Throws UsageError when `path` holds none.
  static RunFolder open(const std::filesystem::path& path);
  /// Whether `path` is a folder that holds a run's files.
  static bool holds_run(const std::filesystem::path& path);
  /// Whether a run's folder has a file of that name, for its own use.
  static bool has_file_named(const std::filesystem::path& name);

  const std::filesystem::path& path() const noexcept { return path_; }
  std::filesystem::path config_file() const { return path_ / "config.toml"; }
  std::filesystem::path metrics_file() const { return path_ / "metrics.jsonl"; }
  std::filesystem::path histograms_file() const { return path_ / "histograms.jsonl"; }
  std::filesystem::path best_checkpoint() const { return path_ / "best.safetensors"; }
  std::filesystem::path last_checkpoint() const { return path_ / "last.safetensors"; }

  /// The last evaluation of the run, as `eval --json` prints it.
  std::filesystem::path evaluation_file() const { return path_ / "eval.json"; }

  /// The run's configuration, read from config.toml.
  Config config() const;
  /// Replaces config.toml, after a resume that changed how long to train.
  void write_config(const Config& config) const;

  /// Appends a line to metrics.jsonl and flushes it. `line` needs an integer "epoch". Throws Error
  /// when it cannot be written.
  void append_metrics(const nlohmann::json& line) const;
  /// Every epoch so far, in their order; `torn`, where given, learns whether a last line was cut
  /// short and left out. Throws Error naming the line that is not a metrics line.
  std::vector<EpochMetrics> read_metrics(bool* torn = nullptr) const;
  /// Drops the lines of epochs beyond `epoch`, and a last line that was cut short: what a killed
  /// run wrote after its last checkpoint. Throws Error naming the line that is not a metrics line.
  void truncate_metrics(std::int64_t epoch) const;
  /// Appends a line to histograms.jsonl, as append_metrics() does; it needs an integer "episode".
  void append_histograms(const nlohmann::json& line) const;
  /// Drops the lines of `episode` and later ones, and a last line that was cut short.
  void truncate_histograms(std::int64_t episode) const;
  /// The last line of metrics.jsonl; null when it holds none. Throws Error when it cannot be read.
  nlohmann::json last_metrics() const;

 private:
  explicit RunFolder(std::filesystem::path path) : path_(std::move(path)) {}
  std::filesystem::path path_;
};

/// Keeps other processes from training in a run's folder while it lives, by flock(2) on the folder:
/// it ends with the process, however that ends, and leaves no file. Throws UsageError when another
/// process has it; does nothing where the file system knows no locks.
class RunLock {
 public:
  explicit RunLock(const RunFolder& folder);

 private:
  FileDescriptor folder_;
};

/// A metric as a part of a path: "lsed-0-0.01".
std::string path_name(const Metric& metric);

/// PRESET-METRIC-SEED without characters that are awkward in paths, and without naming the metric
/// twice: "omniglot-20w1s-lsed-0-0.01-1", "demo-sed-1".
std::string default_run_name(const Config& config);

}  // namespace protolith
