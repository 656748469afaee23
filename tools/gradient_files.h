// What `protolith grad-hist` leaves behind: raw values, counts, figures of all pairs, a picture.
#pragma once

#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "models/metric.h"
#include "tools/gradient_record.h"
#include "tools/plot.h"

namespace protolith {

/// An episode's pairs under a metric, after so many training iterations.
struct GradientRecord {
  Metric metric;
  std::int64_t iteration = 0;
  PairValues pairs;
};

/// One quantity's histogram of one record.
struct NamedCounts {
  std::string quantity;  ///< "log_gradient_softmax", "log_gradient_euclidean", "distance_euclidean"
                         ///< or "distance_softmax"
  Bins bins;
  BinCounts counts;
};

/// A record's four histograms.
using RecordCounts = std::vector<NamedCounts>;

/// Counts all records, in their order, on the backend's device. Gradients have the same bins
/// everywhere; distances share theirs so that pictures can be compared: equal width where there is
/// one metric, equal ratio where several differ in scale.
std::vector<RecordCounts> count_records(Backend& backend,
                                        const std::vector<GradientRecord>& records);

/// The raw values as FOLDER/METRIC/iteration-N/{distance,softmax_distance,gradient,
/// softmax_gradient,log_gradient,log_softmax_gradient}.npy, each f32 [queries, classes], and
/// labels.npy, i32 [queries].
void write_values(const std::filesystem::path& folder, const GradientRecord& record);

/// histograms.csv and histograms.json.
void write_counts(const std::filesystem::path& folder, const std::vector<GradientRecord>& records,
                  const std::vector<RecordCounts>& counts);

/// {metric, iteration} and the summary's keys, for each record.
nlohmann::json summaries(const std::vector<GradientRecord>& records);

/// A row per record: the logarithms of gradients on the left, distances on the right. `source` says
/// in the title what the episodes are of. `euclidean`: the gradients with respect to d_EUC and
/// d_EUC itself, instead of those of the softmax.
Figure histogram_figure(const std::vector<GradientRecord>& records,
                        const std::vector<RecordCounts>& counts, const std::string& source,
                        bool euclidean);

}  // namespace protolith
