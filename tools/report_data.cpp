#include "tools/report_data.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "engine/check.h"
#include "engine/file.h"
#include "tools/json_lines.h"
#include "tools/json_text.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr std::uint64_t kMaxEvalBytes = 1 << 20;

std::vector<double> numbers(const json& object, const char* key, const std::string& origin) {
  const auto found = object.find(key);
  const bool fits = found != object.end() && found->is_array() &&
                    std::all_of(found->begin(), found->end(),
                                [](const json& value) { return value.is_number(); });
  PROTOLITH_CHECK(fits, "{}: '{}' must be a list of numbers", origin, key);
  return found->get<std::vector<double>>();
}

Histogram histogram(const json& line, const char* key, const std::string& origin) {
  const std::string place = fmt::format("{}: '{}'", origin, key);
  PROTOLITH_CHECK(line.contains(key) && line[key].is_object(), "{} must be a histogram", place);
  const json& object = line[key];
  const auto outside = [&](const char* name) {
    const double count = number_or_nan(object, name, place);
    return std::isnan(count) ? 0 : count;
  };
  Histogram result{.edges = numbers(object, "edges", place),
                   .counts = numbers(object, "counts", place),
                   .below = outside("below"),
                   .above = outside("above"),
                   .nan = outside("nan")};
  PROTOLITH_CHECK(!result.counts.empty() && result.edges.size() == result.counts.size() + 1,
                  "{} has {} edges for {} counts", place, result.edges.size(),
                  result.counts.size());
  PROTOLITH_CHECK(std::is_sorted(result.edges.begin(), result.edges.end()),
                  "{}: the edges must ascend", place);
  return result;
}

HistogramRecord histogram_record(const json& line, const std::string& origin) {
  const auto number = [&](const std::string& key) {
    return number_or_nan(line, key.c_str(), origin);
  };
  // Where both are recorded, the distance that enters the softmax is the one of the histogram.
  const std::string distance =
      line.contains("softmax_distance_median") ? "softmax_distance" : "distance";
  return {.episode = required_integer(line, "episode", origin),
          .log_gradient = histogram(line, "log_gradient", origin),
          .distance = histogram(line, "distance", origin),
          .share_below = number("share_below_1e-5"),
          .share_inside = number("share_inside"),
          .gradient_min = number("gradient_min"),
          .gradient_median = number("gradient_median"),
          .gradient_max = number("gradient_max"),
          .distance_min = number(distance + "_min"),
          .distance_median = number(distance + "_median"),
          .distance_max = number(distance + "_max"),
          .entropy = number("entropy")};
}

/// Adds to `warnings` when the file ends in half a line.
std::vector<HistogramRecord> read_histograms(const fs::path& path,
                                             std::vector<std::string>& warnings) {
  const JsonLines lines = read_json_lines(path);
  if (lines.torn) warnings.push_back(path.string());
  std::vector<HistogramRecord> records;
  for (const json& line : lines.objects) {
    const std::string origin = fmt::format("{}:{}", path.string(), records.size() + 1);
    records.push_back(histogram_record(line, origin));
  }
  return records;
}

std::optional<TestResult> read_test(const fs::path& path) {
  if (!fs::exists(path)) return std::nullopt;
  const std::vector<std::byte> bytes = read_file(path, kMaxEvalBytes);
  const char* text = reinterpret_cast<const char*>(bytes.data());
  const json object = parse_json({text, bytes.size()});
  const std::string origin = path.string();
  PROTOLITH_CHECK(object.is_object() && object.contains("split") && object["split"].is_string(),
                  "{}: is no result of 'protolith eval --json'; remove it or evaluate again",
                  origin);
  return TestResult{.split = object["split"].get<std::string>(),
                    .way = required_integer(object, "way", origin),
                    .shot = required_integer(object, "shot", origin),
                    .query = required_integer(object, "query", origin),
                    .episodes = required_integer(object, "episodes", origin),
                    .accuracy = number_or_nan(object, "accuracy", origin),
                    .ci95 = number_or_nan(object, "ci95", origin),
                    .loss = number_or_nan(object, "loss", origin)};
}

/// `text` with U+FFFD for what is not UTF-8, as names of files may hold.
std::string as_utf8(const std::string& text) {
  return json::parse(json_text(text)).get<std::string>();
}

ReportedRun read_run(const std::string& path) {
  const RunFolder folder = RunFolder::open(path);
  ReportedRun run;
  run.name = as_utf8(fs::canonical(path).filename().string());
  run.path = folder.path();
  run.config = folder.config();
  bool torn = false;
  run.epochs = folder.read_metrics(&torn);
  if (torn) run.warnings.push_back(folder.metrics_file().string());
  PROTOLITH_CHECK_USAGE(!run.epochs.empty(),
                        "{} has nothing to report: its training has to finish an epoch", path);
  run.histograms = read_histograms(folder.histograms_file(), run.warnings);
  run.test = read_test(folder.evaluation_file());
  return run;
}

}  // namespace

double Histogram::total() const {
  return std::accumulate(counts.begin(), counts.end(), below + above + nan);
}

const EpochMetrics* ReportedRun::best() const {
  const auto found = std::find_if(epochs.rbegin(), epochs.rend(),
                                  [](const EpochMetrics& epoch) { return epoch.best; });
  return found == epochs.rend() ? nullptr : &*found;
}

double ReportedRun::seconds() const {
  return std::accumulate(epochs.begin(), epochs.end(), 0.0,
                         [](double sum, const EpochMetrics& epoch) { return sum + epoch.seconds; });
}

std::vector<ReportedRun> read_runs(const std::vector<std::string>& paths) {
  std::vector<ReportedRun> runs;
  for (const std::string& path : paths) {
    const fs::path folder = RunFolder::open(path).path();
    for (const ReportedRun& other : runs) {
      PROTOLITH_CHECK_USAGE(!fs::equivalent(folder, other.path),
                            "{} and {} are the same run; give each once", other.path.string(),
                            path);
    }
    runs.push_back(read_run(path));
  }
  const std::vector<ReportedRun> all = runs;
  for (ReportedRun& run : runs) {
    const auto alike = std::count_if(
        all.begin(), all.end(), [&](const ReportedRun& other) { return other.name == run.name; });
    if (alike > 1) run.name = as_utf8(run.path.string());
  }
  return runs;
}

}  // namespace protolith
