// What the loss of one training episode does to each pair of a query and a prototype: distances,
// gradients, their histograms and the figures that sum them up (Shen & Liu, Figures 3 to 7).
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/backend.h"

namespace protolith {

/// All query x prototype pairs of an episode, each array [queries * classes], row-major. Gradients
/// are those of each query's own loss, not divided by the number of queries.
struct PairValues {
  std::int64_t queries = 0, classes = 0;
  std::vector<std::int32_t> labels;     ///< [queries], the true class
  std::vector<float> distance;          ///< d_EUC
  std::vector<float> softmax_distance;  ///< what enters the softmax: LSED's (eq. 6) or SED / T
  std::vector<float> gradient;          ///< dl/d(distance); carries LSED's slope
  std::vector<float> softmax_gradient;  ///< dl/d(softmax_distance) = 1{y = j} - p_j
};

/// Copies an episode's diagnostics to the host.
PairValues download_pairs(Backend& backend, const LossDiagnostics& diagnostics,
                          const Tensor& labels, LeakyDistance metric);

/// Ascending f32 edges of bins over values, or over their magnitudes.
struct Bins {
  std::vector<float> edges;
  bool magnitudes = false;
};

/// Added to a gradient's magnitude before its logarithm is taken, as in the paper's figures.
inline constexpr double kLogOffset = 1e-5;

/// Bins of |dl/dd| from 0 to 1, of equal width in ln(|dl/dd| + 1e-5). The f32 magnitudes are what
/// decides; the logarithms of their edges are log_edges().
Bins gradient_bins(int count = 60);
/// ln(edge + 1e-5).
std::vector<double> log_edges(const Bins& bins);
/// Bins of equal width from 0 to a round number that is at least `largest`.
Bins linear_bins(double largest, int count = 60);
/// Bins of equal ratio over whole powers of ten around [smallest, largest], positive numbers.
Bins geometric_bins(double smallest, double largest, int per_decade = 20);

/// How many values lie in each bin, and how many in none.
struct BinCounts {
  std::vector<std::int64_t> counts;
  std::int64_t below = 0, above = 0, nan = 0;
};

/// Counts on the backend's device. The first takes any device tensor of f32, the second host
/// values.
BinCounts count_bins(Backend& backend, const Tensor& values, const Bins& bins);
BinCounts count_bins(Backend& backend, std::span<const float> values, const Bins& bins);

/// The least, middle and greatest of some values, in double; NaN where there are none.
struct Extremes {
  double min = 0, median = 0, max = 0;
};

/// Figures over all pairs that are numbers. Gradients are |dl/d(softmax distance)|.
struct PairSummary {
  double share_below = 0;   ///< of gradients below 1e-5
  double share_inside = 0;  ///< of gradients in (1e-3, 1 - 1e-3)
  double entropy = 0;       ///< of the softmax, nats, mean over the queries
  Extremes gradient, distance, softmax_distance;
  std::int64_t nan = 0;  ///< gradients that are no number; they count in nothing above
};
PairSummary summarize(const PairValues& pairs);

/// The keys share_below_1e-5, share_inside, entropy, gradient_min, ..., softmax_distance_max, nan.
nlohmann::json to_json(const PairSummary& summary);

/// Bins as {edges, counts, below, above, nan}; a gradient's edges are logarithms, and
/// magnitude_edges stands beside them.
nlohmann::json to_json(const Bins& bins, const BinCounts& counts);

/// One line of a run's histograms.jsonl: the episode that `diagnostics` are of, after `episode`
/// training episodes, counted over fixed bins so that a run's lines can be compared.
nlohmann::json training_record(Backend& backend, const LossDiagnostics& diagnostics,
                               const Tensor& labels, LeakyDistance metric, std::int64_t episode);

}  // namespace protolith
