#include "tools/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>
#include <vector>

#include "engine/check.h"
#include "engine/file.h"
#include "tools/json_lines.h"
#include "tools/json_text.h"
#include "tools/options.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxRunsOfOneName = 10000;

/// Makes `path` and its parents. Returns whether `path` itself is new.
bool make_folder(const fs::path& path) {
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  const bool made = !error && fs::create_directory(path, error);
  PROTOLITH_CHECK(!error, "{}: the run's folder cannot be made: {}; give another with --out",
                  path.string(), error.message());
  return made;
}

/// runs/NAME, or runs/NAME-2, ... whichever is free. Making the folder claims it, so that two
/// programs started together get two folders.
fs::path claim_default_folder(const std::string& name) {
  for (int number = 1; number <= kMaxRunsOfOneName; ++number) {
    fs::path path = fs::path("runs") / (number == 1 ? name : fmt::format("{}-{}", name, number));
    std::error_code error;
    if (fs::exists(path, error)) continue;
    if (make_folder(path)) return path;
  }
  throw Error(fmt::format("runs/{}: {} runs of that name exist; give another with --out", name,
                          kMaxRunsOfOneName));
}

void check_free(const fs::path& path) {
  PROTOLITH_CHECK_USAGE(!RunFolder::holds_run(path),
                        "--out {0}: already holds a run; continue it with --resume {0}, or give "
                        "another name",
                        path.string());
}

fs::path claim_folder(const std::string& out) {
  fs::path path = fs::path(out).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // "runs/a/" is "runs/a"
  check_free(path);
  make_folder(path);
  return path;
}

/// The integer of that key in a line; nothing when it is not such a line.
std::optional<std::int64_t> integer_of(const std::string& line, const char* key) {
  const nlohmann::json object = parse_json(line);
  if (!object.is_object() || !object.contains(key)) return std::nullopt;
  const nlohmann::json& value = object[key];
  if (!value.is_number_integer()) return std::nullopt;
  return value.get<std::int64_t>();
}

/// Appends `object`, which needs an integer `key`, as a line of a file.
void append_object(const fs::path& path, const nlohmann::json& object, const char* key) {
  PROTOLITH_CHECK(object.contains(key) && object[key].is_number_integer(),
                  "a line of {} needs an integer '{}'", path.filename().string(), key);
  append_line(path, object.dump());
}

/// Keeps the lines of a file whose `key` is at most `last`. `what` a line is, for messages.
void truncate_lines(const fs::path& path, const char* key, std::int64_t last, const char* what) {
  std::string kept;
  int number = 0;
  for (const std::string& line : read_whole_lines(path).lines) {
    ++number;
    const std::optional<std::int64_t> value = integer_of(line, key);
    PROTOLITH_CHECK(value.has_value(), "{}:{}: is not a line of {}; remove it to resume this run",
                    path.string(), number, what);
    if (*value <= last) kept += line + '\n';
  }
  write_file_atomically(path, kept);
}

}  // namespace

std::string path_name(const Metric& metric) {
  std::string name = to_string(metric);
  std::replace(name.begin(), name.end(), ':', '-');
  return name;
}

std::string default_run_name(const Config& config) {
  std::string name = config.preset;
  for (const std::string ending : {"-sed", "-lsed"}) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  return fmt::format("{}-{}-{}", name, path_name(config.metric), config.seed);
}

bool RunFolder::holds_run(const fs::path& path) {
  const RunFolder run(path);
  std::error_code error;
  for (const fs::path& file :
       {run.config_file(), run.metrics_file(), run.best_checkpoint(), run.last_checkpoint()}) {
    if (fs::exists(file, error)) return true;
  }
  return false;
}

bool RunFolder::has_file_named(const fs::path& name) {
  const RunFolder run("");
  for (const fs::path& own :
       {run.config_file(), run.metrics_file(), run.histograms_file(), run.best_checkpoint(),
        run.last_checkpoint(), run.evaluation_file()}) {
    if (own == name) return true;
  }
  return false;
}

RunLock::RunLock(const RunFolder& folder)
    : folder_(open(folder.path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)) {
  if (!folder_.is_open()) return;
  const bool taken = flock(folder_.get(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  PROTOLITH_CHECK_USAGE(!taken, "{}: another process is training in this run's folder; wait for it",
                        folder.path().string());
}

RunFolder RunFolder::create(const Config& config, const std::string& out) {
  RunFolder run(out.empty() ? claim_default_folder(default_run_name(config)) : claim_folder(out));
  const RunLock lock(run);
  check_free(run.path());  // another process may have begun one meanwhile
  run.write_config(config);
  write_file_atomically(run.metrics_file(), std::string_view());
  return run;
}

RunFolder RunFolder::open(const fs::path& path) {
  RunFolder run(path);
  std::error_code error;
  PROTOLITH_CHECK_USAGE(fs::is_regular_file(run.config_file(), error),
                        "{}: holds no run (no config.toml); give the folder that a training run "
                        "printed",
                        path.string());
  return run;
}

Config RunFolder::config() const {
  return resolve_config(read_config_file(config_file().string()), {});
}

void RunFolder::write_config(const Config& config) const {
  write_file_atomically(config_file(), to_toml(config));
}

void RunFolder::append_metrics(const nlohmann::json& line) const {
  append_object(metrics_file(), line, "epoch");
}

std::vector<EpochMetrics> RunFolder::read_metrics(bool* torn) const {
  const JsonLines lines = read_json_lines(metrics_file());
  if (torn != nullptr) *torn = lines.torn;
  std::vector<EpochMetrics> epochs;
  for (const nlohmann::json& line : lines.objects) {
    const std::string origin = fmt::format("{}:{}", metrics_file().string(), epochs.size() + 1);
    const auto number = [&](const char* key) { return number_or_nan(line, key, origin); };
    epochs.push_back({.epoch = required_integer(line, "epoch", origin),
                      .episodes = required_integer(line, "episodes", origin),
                      .train_loss = number("train_loss"),
                      .train_accuracy = number("train_accuracy"),
                      .learning_rate = number("learning_rate"),
                      .seconds = number("seconds"),
                      .val_loss = number("val_loss"),
                      .val_accuracy = number("val_accuracy"),
                      .val_ci95 = number("val_ci95"),
                      .best = line.value("best", nlohmann::json()) == true,
                      .peak_memory_mb = number("peak_memory_mb")});
    const bool ascends = epochs.size() == 1 || epochs.end()[-2].epoch < epochs.back().epoch;
    PROTOLITH_CHECK(ascends, "{}: epoch {} comes after epoch {}; remove the line that is wrong",
                    origin, epochs.back().epoch, epochs.end()[-2].epoch);
  }
  return epochs;
}

void RunFolder::truncate_metrics(std::int64_t epoch) const {
  truncate_lines(metrics_file(), "epoch", epoch, "metrics");
}

void RunFolder::append_histograms(const nlohmann::json& line) const {
  append_object(histograms_file(), line, "episode");
}

void RunFolder::truncate_histograms(std::int64_t episode) const {
  if (!fs::exists(histograms_file())) return;
  truncate_lines(histograms_file(), "episode", episode - 1, "histograms");
}

nlohmann::json RunFolder::last_metrics() const {
  const std::vector<std::string> lines = read_whole_lines(metrics_file()).lines;
  if (lines.empty()) return nullptr;
  PROTOLITH_CHECK(integer_of(lines.back(), "epoch").has_value(),
                  "{}:{}: is not a line of metrics; remove it to go on", metrics_file().string(),
                  lines.size());
  return parse_json(lines.back());
}

}  // namespace protolith
