#include "tools/run_folder.h"

#include <algorithm>
#include <fstream>
#include <nlohmann/json.hpp>
#include <optional>
#include <system_error>

#include "engine/check.h"
#include "engine/file.h"
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

fs::path claim_folder(const std::string& out) {
  fs::path path = fs::path(out).lexically_normal();
  if (!path.has_filename()) path = path.parent_path();  // "runs/a/" is "runs/a"
  PROTOLITH_CHECK_USAGE(!RunFolder::holds_run(path),
                        "--out {}: already holds a run; continue it with --resume {}, or give "
                        "another name",
                        out, out);
  make_folder(path);
  return path;
}

/// The epoch of a line of metrics.jsonl; nothing when it is no such line.
std::optional<std::int64_t> epoch_of(const std::string& line) {
  const nlohmann::json object = nlohmann::json::parse(line, nullptr, false);
  if (!object.is_object() || !object.contains("epoch")) return std::nullopt;
  const nlohmann::json& epoch = object["epoch"];
  if (!epoch.is_number_integer()) return std::nullopt;
  return epoch.get<std::int64_t>();
}

}  // namespace

std::string default_run_name(const Config& config) {
  std::string name = config.preset;
  for (const std::string ending : {"-sed", "-lsed"}) {
    if (name.ends_with(ending)) name.resize(name.size() - ending.size());
  }
  std::string metric = to_string(config.metric);
  std::replace(metric.begin(), metric.end(), ':', '-');
  return fmt::format("{}-{}-{}", name, metric, config.seed);
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

RunFolder RunFolder::create(const Config& config, const std::string& out) {
  RunFolder run(out.empty() ? claim_default_folder(default_run_name(config)) : claim_folder(out));
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
  PROTOLITH_CHECK(line.contains("epoch") && line["epoch"].is_number_integer(),
                  "a line of metrics needs an integer 'epoch'");
  append_line(metrics_file(), line.dump());
}

void RunFolder::truncate_metrics(std::int64_t epoch) const {
  std::ifstream file(metrics_file());
  PROTOLITH_CHECK(file.is_open() || !fs::exists(metrics_file()),
                  "{}: cannot be read; see to its permissions", metrics_file().string());
  std::string kept;
  std::string line;
  for (int number = 1; std::getline(file, line); ++number) {
    if (file.eof()) break;  // no newline: cut short
    const std::optional<std::int64_t> line_epoch = epoch_of(line);
    PROTOLITH_CHECK(line_epoch.has_value(),
                    "{}:{}: is not a line of metrics; remove it to resume this run",
                    metrics_file().string(), number);
    if (*line_epoch <= epoch) kept += line + '\n';
  }
  PROTOLITH_CHECK(!file.bad(), "{}: cannot be read", metrics_file().string());
  write_file_atomically(metrics_file(), kept);
}

}  // namespace protolith
