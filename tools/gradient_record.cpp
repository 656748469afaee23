#include "tools/gradient_record.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

namespace protolith {
namespace {

template <class T>
std::vector<T> download(Backend& backend, const Tensor& tensor) {
  std::vector<T> values(static_cast<std::size_t>(tensor.elements()));
  backend.copy_to_host(tensor, values.data());
  return values;
}

Extremes extremes(std::vector<double> values) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  std::erase_if(values, [](double value) { return std::isnan(value); });
  if (values.empty()) return {kNone, kNone, kNone};
  std::sort(values.begin(), values.end());
  const std::size_t half = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[half] : 0.5 * (values[half - 1] + values[half]);
  return {values.front(), median, values.back()};
}

std::vector<double> to_doubles(std::span<const float> values) {
  return {values.begin(), values.end()};
}

/// -sum p ln p of a query, from dl/dd_j = 1{y = j} - p_j.
double row_entropy(std::span<const float> gradient, std::size_t label) {
  double entropy = 0;
  for (std::size_t j = 0; j < gradient.size(); ++j) {
    const double p = (j == label ? 1.0 : 0.0) - static_cast<double>(gradient[j]);
    if (p > 0) entropy -= p * std::log(p);
  }
  return entropy;
}

double mean_entropy(const PairValues& pairs) {
  const auto classes = static_cast<std::size_t>(pairs.classes);
  double total = 0;
  std::int64_t rows = 0;
  for (std::size_t query = 0; query < pairs.labels.size(); ++query) {
    const std::span<const float> row(pairs.softmax_gradient.data() + query * classes, classes);
    if (std::any_of(row.begin(), row.end(), [](float g) { return std::isnan(g); })) continue;
    total += row_entropy(row, static_cast<std::size_t>(pairs.labels[query]));
    ++rows;
  }
  return total / static_cast<double>(rows);
}

/// The least number of the form {1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8, 10} * 10^k that is at
/// least `value`.
double round_up(double value) {
  constexpr double kSteps[] = {1, 1.25, 1.6, 2, 2.5, 3.2, 4, 5, 6.4, 8};
  const double decade = std::pow(10.0, std::floor(std::log10(value)));
  for (const double step : kSteps) {
    if (step * decade >= value) return step * decade;
  }
  return 10 * decade;
}

void add(nlohmann::json& object, const std::string& name, const Extremes& values) {
  object[name + "_min"] = values.min;
  object[name + "_median"] = values.median;
  object[name + "_max"] = values.max;
}

}  // namespace

PairValues download_pairs(Backend& backend, const LossDiagnostics& diagnostics,
                          const Tensor& labels, LeakyDistance metric) {
  const Shape& shape = diagnostics.distances.shape();
  PairValues pairs{.queries = shape[0],
                   .classes = shape[1],
                   .labels = download<std::int32_t>(backend, labels),
                   .distance = download<float>(backend, diagnostics.distances),
                   .softmax_distance = download<float>(backend, diagnostics.leaky),
                   .gradient = {},
                   .softmax_gradient = download<float>(backend, diagnostics.leaky_gradient)};
  pairs.gradient = pairs.softmax_gradient;
  for (std::size_t i = 0; i < pairs.gradient.size(); ++i) {
    pairs.gradient[i] *= metric.derivative(pairs.distance[i]);
  }
  return pairs;
}

Bins gradient_bins(int count) {
  PROTOLITH_CHECK_USAGE(count >= 1, "a histogram needs at least one bin, not {}", count);
  const double first = std::log(kLogOffset);
  const double last = std::log1p(kLogOffset);
  Bins bins{{}, true};
  for (int i = 0; i <= count; ++i) {
    const double logarithm = first + (last - first) * i / count;
    bins.edges.push_back(static_cast<float>(std::exp(logarithm) - kLogOffset));
  }
  // Exactly, whatever exp() rounds.
  bins.edges.front() = 0.0F;
  bins.edges.back() = 1.0F;
  return bins;
}

std::vector<double> log_edges(const Bins& bins) {
  std::vector<double> logarithms = to_doubles(bins.edges);
  for (double& edge : logarithms) edge = std::log(edge + kLogOffset);
  return logarithms;
}

Bins linear_bins(double largest, int count) {
  PROTOLITH_CHECK_USAGE(count >= 1, "a histogram needs at least one bin, not {}", count);
  const double end = largest > 0 && std::isfinite(largest) ? round_up(largest) : 1.0;
  Bins bins;
  for (int i = 0; i <= count; ++i) bins.edges.push_back(static_cast<float>(end * i / count));
  return bins;
}

Bins geometric_bins(double smallest, double largest, int per_decade) {
  PROTOLITH_CHECK(smallest > 0 && largest >= smallest && std::isfinite(largest),
                  "geometric bins over [{}, {}]", smallest, largest);
  const auto first = static_cast<int>(std::floor(std::log10(smallest)));
  const int last = std::max(static_cast<int>(std::ceil(std::log10(largest))), first + 1);
  Bins bins;
  for (int i = 0; i <= (last - first) * per_decade; ++i) {
    const double exponent = first + static_cast<double>(i) / per_decade;
    bins.edges.push_back(static_cast<float>(std::pow(10.0, exponent)));
  }
  return bins;
}

BinCounts count_bins(Backend& backend, const Tensor& values, const Bins& bins) {
  const Tensor edges = backend.empty({static_cast<std::int64_t>(bins.edges.size())});
  backend.copy_from_host(bins.edges.data(), edges);
  const auto all =
      download<std::int32_t>(backend, backend.histogram(values, edges, bins.magnitudes));
  const std::size_t count = bins.edges.size() - 1;
  return {.counts = {all.begin() + 1, all.begin() + 1 + static_cast<std::ptrdiff_t>(count)},
          .below = all.front(),
          .above = all[count + 1],
          .nan = all.back()};
}

BinCounts count_bins(Backend& backend, std::span<const float> values, const Bins& bins) {
  const Tensor uploaded = backend.empty({static_cast<std::int64_t>(values.size())});
  backend.copy_from_host(values.data(), uploaded);
  return count_bins(backend, uploaded, bins);
}

PairSummary summarize(const PairValues& pairs) {
  PairSummary summary;
  std::vector<double> magnitudes = to_doubles(pairs.softmax_gradient);
  for (double& g : magnitudes) g = std::abs(g);
  const auto share = [&](auto holds) {
    const auto count = std::count_if(magnitudes.begin(), magnitudes.end(), holds);
    return static_cast<double>(count) / static_cast<double>(magnitudes.size());
  };
  summary.nan =
      std::count_if(magnitudes.begin(), magnitudes.end(), [](double g) { return std::isnan(g); });
  std::erase_if(magnitudes, [](double g) { return std::isnan(g); });
  summary.share_below = share([](double g) { return g < 1e-5; });
  summary.share_inside = share([](double g) { return g > 1e-3 && g < 1 - 1e-3; });
  summary.entropy = mean_entropy(pairs);
  summary.gradient = extremes(std::move(magnitudes));
  summary.distance = extremes(to_doubles(pairs.distance));
  summary.softmax_distance = extremes(to_doubles(pairs.softmax_distance));
  return summary;
}

nlohmann::json to_json(const PairSummary& summary) {
  nlohmann::json object{{"share_below_1e-5", summary.share_below},
                        {"share_inside", summary.share_inside},
                        {"entropy", summary.entropy},
                        {"nan", summary.nan}};
  add(object, "gradient", summary.gradient);
  add(object, "distance", summary.distance);
  add(object, "softmax_distance", summary.softmax_distance);
  return object;
}

nlohmann::json to_json(const Bins& bins, const BinCounts& counts) {
  nlohmann::json object{{"edges", bins.edges},
                        {"counts", counts.counts},
                        {"below", counts.below},
                        {"above", counts.above},
                        {"nan", counts.nan}};
  if (bins.magnitudes) {
    object["magnitude_edges"] = bins.edges;
    object["edges"] = log_edges(bins);
  }
  return object;
}

nlohmann::json training_record(Backend& backend, const LossDiagnostics& diagnostics,
                               const Tensor& labels, LeakyDistance metric, std::int64_t episode) {
  const Bins gradients = gradient_bins();
  const Bins distances = geometric_bins(1e-3, 1e4, 10);
  nlohmann::json line = to_json(summarize(download_pairs(backend, diagnostics, labels, metric)));
  line["episode"] = episode;
  line["log_gradient"] =
      to_json(gradients, count_bins(backend, diagnostics.leaky_gradient, gradients));
  line["distance"] = to_json(distances, count_bins(backend, diagnostics.leaky, distances));
  return line;
}

}  // namespace protolith
