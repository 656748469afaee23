#include "tools/sweep_grid.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tools/options.h"

namespace protolith {
namespace {

/// The metric that these options make, each {key, value}; a wrong value is named by its flag.
Metric metric_of(const Metric& base,
                 const std::vector<std::pair<std::string, std::string>>& options) {
  Config config;
  config.metric = base;
  Assignments assignments;
  for (const auto& [key, value] : options) {
    const ConfigOption* option = find_option(key);
    assignments.push_back({option, value, fmt::format("{} {}", option->flag(), value)});
  }
  protolith::apply(config, assignments);
  // Without the numbers of the other kinds: equal cells must compare equal.
  return Metric::parse(to_string(config.metric));
}

bool is_lsed(const SweepCell& cell) {
  return cell.metric.kind == MetricKind::lsed;
}

/// One series: the cells that `taken` says, by growing `value`.
Panel accuracy_panel(const std::vector<SweepCell>& cells, const std::string& title, Axis axis,
                     const std::string& name, const std::function<bool(const SweepCell&)>& taken,
                     float Metric::*value) {
  std::vector<const SweepCell*> chosen;
  for (const SweepCell& cell : cells) {
    if (taken(cell)) chosen.push_back(&cell);
  }
  std::sort(chosen.begin(), chosen.end(), [value](const SweepCell* a, const SweepCell* b) {
    return a->metric.*value < b->metric.*value;
  });
  Series series{.name = name, .x = {}, .y = {}, .style = SeriesStyle::line_points};
  for (const SweepCell* cell : chosen) {
    series.x.push_back(static_cast<double>(cell->metric.*value));
    series.y.push_back(100 * cell->val_accuracy);
    series.error.push_back(std::isfinite(cell->val_ci95) ? 100 * cell->val_ci95 : 0.0);
  }
  Panel panel{title, std::move(axis), {.label = "validation accuracy, %"}, {}};
  if (!chosen.empty()) panel.series.push_back(std::move(series));
  return panel;
}

}  // namespace

std::vector<Metric> sweep_metrics(const SweepLists& lists, const Metric& base) {
  std::vector<Metric> metrics;
  const auto add = [&](const Metric& metric) {
    if (std::find(metrics.begin(), metrics.end(), metric) == metrics.end()) {
      metrics.push_back(metric);
    }
  };
  if (!lists.s.empty() || !lists.r.empty()) {
    const std::vector<std::string> base_s{fmt::format("{}", base.s)};
    const std::vector<std::string> base_r{fmt::format("{}", base.r)};
    for (const std::string& s : lists.s.empty() ? base_s : lists.s) {
      for (const std::string& r : lists.r.empty() ? base_r : lists.r) {
        add(metric_of(base, {{"metric", "lsed"}, {"s", s}, {"r", r}}));
      }
    }
  }
  for (const std::string& temperature : lists.temperature) {
    add(metric_of(base, {{"metric", "temperature"}, {"temperature", temperature}}));
  }
  for (const std::string& metric : lists.metric) add(metric_of(base, {{"metric", metric}}));
  PROTOLITH_CHECK_USAGE(!metrics.empty(),
                        "a sweep needs something to vary: --s, --r, --temperature or --metric, "
                        "each with a list such as --r 0.1,0.01");
  return metrics;
}

const SweepCell& chosen_cell(const std::vector<SweepCell>& cells) {
  PROTOLITH_CHECK(!cells.empty(), "a sweep without cells has no best one");
  return *std::max_element(cells.begin(), cells.end(), [](const SweepCell& a, const SweepCell& b) {
    return a.val_accuracy != b.val_accuracy ? a.val_accuracy < b.val_accuracy
                                            : a.val_loss > b.val_loss;
  });
}

nlohmann::json to_json(const SweepCell& cell) {
  nlohmann::json object{{"metric", to_string(cell.metric)},
                        {"s", nullptr},
                        {"r", nullptr},
                        {"temperature", nullptr},
                        {"val_accuracy", cell.val_accuracy},
                        {"val_ci95", cell.val_ci95},
                        {"val_loss", cell.val_loss},
                        {"best_epoch", cell.best_epoch},
                        {"run", cell.run}};
  // As written, not as the nearest double of a float.
  const auto number = [](float value) { return nlohmann::json::parse(fmt::format("{}", value)); };
  if (is_lsed(cell)) {
    object["s"] = number(cell.metric.s);
    object["r"] = number(cell.metric.r);
  }
  if (cell.metric.kind == MetricKind::temperature) {
    object["temperature"] = number(cell.metric.temperature);
  }
  return object;
}

std::string sweep_csv(const std::vector<SweepCell>& cells) {
  std::string text = "metric,s,r,temperature,val_accuracy,val_ci95,val_loss,best_epoch\n";
  for (const SweepCell& cell : cells) {
    const bool heated = cell.metric.kind == MetricKind::temperature;
    text += fmt::format("{},{},{},{},{},{},{},{}\n", to_string(cell.metric),
                        is_lsed(cell) ? fmt::format("{}", cell.metric.s) : "",
                        is_lsed(cell) ? fmt::format("{}", cell.metric.r) : "",
                        heated ? fmt::format("{}", cell.metric.temperature) : "", cell.val_accuracy,
                        cell.val_ci95, cell.val_loss, cell.best_epoch);
  }
  return text;
}

std::string sweep_table(const std::vector<SweepCell>& cells) {
  std::string text = fmt::format("  {:<20} {:>16} {:>10} {:>10}\n", "metric", "val accuracy, %",
                                 "val loss", "best epoch");
  for (const SweepCell& cell : cells) {
    text +=
        fmt::format("{} {:<20} {:>16} {:>10.4f} {:>10}\n", &cell == &chosen_cell(cells) ? '*' : ' ',
                    to_string(cell.metric),
                    fmt::format("{:.2f} +- {:.2f}", 100 * cell.val_accuracy, 100 * cell.val_ci95),
                    cell.val_loss, cell.best_epoch);
  }
  return text;
}

Metric sweep_reference(const std::vector<SweepCell>& cells, const Metric& wanted) {
  const SweepCell* reference = nullptr;
  for (const SweepCell& cell : cells) {
    if (!is_lsed(cell)) continue;
    if (reference == nullptr) reference = &cell;
    if (cell.metric.s == wanted.s && cell.metric.r == wanted.r) reference = &cell;
  }
  return reference == nullptr ? Metric{} : reference->metric;
}

Figure sweep_figure(const std::vector<SweepCell>& cells, const Metric& reference) {
  const auto with = [](const char* name, float value) {
    return fmt::format("{} = {}", name, value);
  };
  std::vector<Panel> panels;
  panels.push_back(accuracy_panel(
      cells, "LSED's threshold", {.label = "s"}, with("r", reference.r),
      [&](const SweepCell& cell) { return is_lsed(cell) && cell.metric.r == reference.r; },
      &Metric::s));
  panels.push_back(accuracy_panel(
      cells, "LSED's slope", {.label = "r", .logarithmic = true}, with("s", reference.s),
      [&](const SweepCell& cell) {
        return is_lsed(cell) && cell.metric.s == reference.s && cell.metric.r > 0;
      },
      &Metric::r));
  panels.push_back(accuracy_panel(
      cells, "softmax temperature", {.label = "T", .logarithmic = true}, "SED / T",
      [](const SweepCell& cell) { return cell.metric.kind == MetricKind::temperature; },
      &Metric::temperature));
  std::erase_if(panels, [](const Panel& panel) { return panel.series.empty(); });
  const int columns = std::max<int>(1, static_cast<int>(panels.size()));
  return {"Validation accuracy (bars: 95 % intervals)", columns, std::move(panels)};
}

}  // namespace protolith
