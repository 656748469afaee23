// What a sweep trains and what it makes of the results; it trains nothing itself.
#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "models/metric.h"
#include "tools/plot.h"

namespace protolith {

/// The lists that span a sweep, as given on the command line.
struct SweepLists {
  std::vector<std::string> s, r, temperature, metric;
  bool empty() const { return s.empty() && r.empty() && temperature.empty() && metric.empty(); }
};

/// The sweep's metrics, each once: every s with every r (the one of them that is not given is
/// `base`'s), then the temperatures, then the metrics. Throws UsageError that names the value that
/// is wrong, or when all lists are empty.
std::vector<Metric> sweep_metrics(const SweepLists& lists, const Metric& base);

/// A trained metric and its validation.
struct SweepCell {
  Metric metric;
  double val_accuracy = 0;  ///< fraction, at the epoch of the smallest validation loss
  double val_ci95 = 0;      ///< of val_accuracy; NaN where one episode was validated
  double val_loss = 0;
  std::int64_t best_epoch = 0;
  std::string run;  ///< its folder
};

/// The cell of the largest validation accuracy; of equal ones, that of the smaller loss.
const SweepCell& chosen_cell(const std::vector<SweepCell>& cells);

/// {metric, s, r, temperature, val_accuracy, ...}; s, r and temperature only where they belong to
/// the metric.
nlohmann::json to_json(const SweepCell& cell);
/// The same as CSV, a header and a line per cell.
std::string sweep_csv(const std::vector<SweepCell>& cells);
/// For people, the chosen cell marked.
std::string sweep_table(const std::vector<SweepCell>& cells);

/// Whose s and r the figure varies the other against: `wanted` where it was trained, else the first
/// LSED cell; SED where there is none.
Metric sweep_reference(const std::vector<SweepCell>& cells, const Metric& wanted);
/// Validation accuracy with its interval against s at the reference's r, against r at its s (r = 0
/// has no place on the logarithmic axis), and against the temperature; without panels that have no
/// cell.
Figure sweep_figure(const std::vector<SweepCell>& cells, const Metric& reference);

}  // namespace protolith
