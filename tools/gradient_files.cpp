#include "tools/gradient_files.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/file.h"
#include "tools/json_text.h"
#include "tools/npy.h"
#include "tools/run_folder.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

/// What is counted of a record, and over which bins.
struct Quantity {
  const char* name;
  std::vector<float> PairValues::*values;
  bool gradient;
  bool euclidean;
};

constexpr Quantity kQuantities[] = {
    {"log_gradient_softmax", &PairValues::softmax_gradient, true, false},
    {"log_gradient_euclidean", &PairValues::gradient, true, true},
    {"distance_softmax", &PairValues::softmax_distance, false, false},
    {"distance_euclidean", &PairValues::distance, false, true}};

bool several_metrics(const std::vector<GradientRecord>& records) {
  return std::any_of(records.begin(), records.end(), [&](const GradientRecord& record) {
    return !(record.metric == records.front().metric);
  });
}

/// The least and greatest finite number above 0, over all records; none where there is no such.
std::optional<std::pair<double, double>> positive_range(const std::vector<GradientRecord>& records,
                                                        const Quantity& quantity) {
  double least = std::numeric_limits<double>::infinity();
  double greatest = 0;
  for (const GradientRecord& record : records) {
    for (const float value : record.pairs.*quantity.values) {
      if (!(value > 0) || !std::isfinite(value)) continue;
      least = std::min(least, static_cast<double>(value));
      greatest = std::max(greatest, static_cast<double>(value));
    }
  }
  if (greatest <= 0) return std::nullopt;
  return std::pair(least, greatest);
}

Bins bins_of(const std::vector<GradientRecord>& records, const Quantity& quantity) {
  if (quantity.gradient) return gradient_bins();
  const auto range = positive_range(records, quantity);
  if (!range) return linear_bins(1.0);
  if (!several_metrics(records)) return linear_bins(range->second);
  // Six decades are enough to see: a few pairs may be as near as rounding makes them.
  return geometric_bins(std::max(range->first, 1e-6 * range->second), range->second);
}

std::vector<float> logarithms(const std::vector<float>& gradients) {
  std::vector<float> result(gradients.size());
  std::transform(gradients.begin(), gradients.end(), result.begin(), [](float g) {
    return static_cast<float>(std::log(std::abs(static_cast<double>(g)) + kLogOffset));
  });
  return result;
}

void append_rows(std::string& csv, const GradientRecord& record, const NamedCounts& named) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<float>& exact = named.bins.edges;
  const std::vector<double> shown = named.bins.magnitudes
                                        ? log_edges(named.bins)
                                        : std::vector<double>(exact.begin(), exact.end());
  const auto row = [&](double lower, double upper, double value_lower, double value_upper,
                       std::int64_t count) {
    csv += fmt::format("{},{},{},{},{},{},{},{}\n", to_string(record.metric), record.iteration,
                       named.quantity, csv_number(lower), csv_number(upper),
                       csv_number(value_lower), csv_number(value_upper), count);
  };
  row(-kInfinity, shown.front(), -kInfinity, static_cast<double>(exact.front()),
      named.counts.below);
  for (std::size_t i = 0; i + 1 < exact.size(); ++i) {
    row(shown[i], shown[i + 1], static_cast<double>(exact[i]), static_cast<double>(exact[i + 1]),
        named.counts.counts[i]);
  }
  row(shown.back(), kInfinity, static_cast<double>(exact.back()), kInfinity, named.counts.above);
  row(kNan, kNan, kNan, kNan, named.counts.nan);
}

Series bars(const NamedCounts& named, int colour) {
  const std::vector<float>& edges = named.bins.edges;
  return {.name = "",
          .x = named.bins.magnitudes ? log_edges(named.bins)
                                     : std::vector<double>(edges.begin(), edges.end()),
          .y = {named.counts.counts.begin(), named.counts.counts.end()},
          .error = {},
          .style = SeriesStyle::histogram,
          .colour = colour};
}

}  // namespace

std::vector<RecordCounts> count_records(Backend& backend,
                                        const std::vector<GradientRecord>& records) {
  std::vector<RecordCounts> all(records.size());
  for (const Quantity& quantity : kQuantities) {
    const Bins bins = bins_of(records, quantity);
    for (std::size_t i = 0; i < records.size(); ++i) {
      all[i].push_back(
          {quantity.name, bins, count_bins(backend, records[i].pairs.*quantity.values, bins)});
      backend.end_step();
    }
  }
  return all;
}

void write_values(const fs::path& folder, const GradientRecord& record) {
  const fs::path place =
      folder / path_name(record.metric) / fmt::format("iteration-{}", record.iteration);
  std::error_code error;
  fs::create_directories(place, error);
  PROTOLITH_CHECK(!error, "{}: cannot be made: {}", place.string(), error.message());
  const PairValues& pairs = record.pairs;
  const std::vector<std::int64_t> shape{pairs.queries, pairs.classes};
  write_npy(place / "distance.npy", pairs.distance, shape);
  write_npy(place / "softmax_distance.npy", pairs.softmax_distance, shape);
  write_npy(place / "gradient.npy", pairs.gradient, shape);
  write_npy(place / "softmax_gradient.npy", pairs.softmax_gradient, shape);
  write_npy(place / "log_gradient.npy", logarithms(pairs.gradient), shape);
  write_npy(place / "log_softmax_gradient.npy", logarithms(pairs.softmax_gradient), shape);
  write_npy(place / "labels.npy", pairs.labels, {pairs.queries});
}

void write_counts(const fs::path& folder, const std::vector<GradientRecord>& records,
                  const std::vector<RecordCounts>& counts) {
  std::string csv = "metric,iteration,quantity,lower,upper,value_lower,value_upper,count\n";
  nlohmann::json list = nlohmann::json::array();
  for (std::size_t i = 0; i < records.size(); ++i) {
    nlohmann::json object{{"metric", to_string(records[i].metric)},
                          {"iteration", records[i].iteration}};
    for (const NamedCounts& named : counts[i]) {
      append_rows(csv, records[i], named);
      object[named.quantity] = to_json(named.bins, named.counts);
    }
    list.push_back(std::move(object));
  }
  write_file_atomically(folder / "histograms.csv", csv);
  write_file_atomically(folder / "histograms.json", json_text(list, 1));
}

nlohmann::json summaries(const std::vector<GradientRecord>& records) {
  nlohmann::json list = nlohmann::json::array();
  for (const GradientRecord& record : records) {
    nlohmann::json object = to_json(summarize(record.pairs));
    object["metric"] = to_string(record.metric);
    object["iteration"] = record.iteration;
    list.push_back(std::move(object));
  }
  return list;
}

Figure histogram_figure(const std::vector<GradientRecord>& records,
                        const std::vector<RecordCounts>& counts, const std::string& source,
                        bool euclidean) {
  Figure figure{.title = "All query-prototype pairs of a training episode: " + source,
                .columns = 2,
                .panels = {}};
  for (std::size_t i = 0; i < records.size(); ++i) {
    const std::string title =
        fmt::format("{}, after {} iterations", title_of(records[i].metric), records[i].iteration);
    for (std::size_t k = 0; k < std::size(kQuantities); ++k) {
      const Quantity& quantity = kQuantities[k];
      if (quantity.euclidean != euclidean) continue;
      const NamedCounts& named = counts[i][k];
      Panel panel{
          .title = title, .x = {}, .y = {}, .series = {bars(named, quantity.gradient ? 0 : 1)}};
      panel.x.label = quantity.gradient
                          ? fmt::format("ln(|dl/d{}| + 1e-5)", euclidean ? "d_EUC" : "d")
                      : euclidean ? "squared Euclidean distance d_EUC"
                                  : "distance d that enters the softmax";
      panel.x.logarithmic = !quantity.gradient && several_metrics(records);
      panel.x.range = {panel.series[0].x.front(), panel.series[0].x.back()};
      panel.y.label = "pairs";
      panel.y.range.min = 0.0;
      figure.panels.push_back(std::move(panel));
    }
  }
  return figure;
}

}  // namespace protolith
