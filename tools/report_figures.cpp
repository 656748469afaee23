#include "tools/report_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

namespace protolith {
namespace {

constexpr std::size_t kMaxPoints = 1000;  // of a curve; more are not told apart
constexpr std::size_t kFewPoints = 25;    // of a curve whose points and intervals can be seen
constexpr std::size_t kShownRecords = 4;  // histograms beside each other
constexpr std::size_t kShownBins = 100;   // of a histogram
constexpr double kShareOfPercent = 100;

std::size_t stride_of(std::size_t count) {
  return (count + kMaxPoints - 1) / kMaxPoints;
}

bool has_validation(const ReportedRun& run) {
  return run.best() != nullptr;
}

/// Epochs are a fair x axis only where they are equally long.
bool equal_epochs(const std::vector<ReportedRun>& runs) {
  return std::all_of(runs.begin(), runs.end(), [&](const ReportedRun& run) {
    return run.config.epoch_episodes == runs[0].config.epoch_episodes;
  });
}

/// A number of an epoch, and half its interval where it has one.
struct EpochQuantity {
  std::string title, label;
  std::function<double(const EpochMetrics&)> value;
  std::function<double(const EpochMetrics&)> interval = {};
  bool validation = false;
};

std::vector<EpochQuantity> quantities() {
  const auto percent = [](double EpochMetrics::*member) {
    return [member](const EpochMetrics& epoch) { return kShareOfPercent * epoch.*member; };
  };
  return {{.title = "Training loss", .label = "loss", .value = &EpochMetrics::train_loss},
          {.title = "Validation loss",
           .label = "loss",
           .value = &EpochMetrics::val_loss,
           .validation = true},
          {.title = "Training accuracy",
           .label = "accuracy, %",
           .value = percent(&EpochMetrics::train_accuracy)},
          {.title = "Validation accuracy",
           .label = "accuracy, %",
           .value = percent(&EpochMetrics::val_accuracy),
           .interval = percent(&EpochMetrics::val_ci95),
           .validation = true}};
}

void add_curve(Panel& panel, const ReportedRun& run, std::size_t index,
               const EpochQuantity& quantity, bool by_epoch) {
  const auto x = [&](const EpochMetrics& epoch) {
    return static_cast<double>(by_epoch ? epoch.epoch : epoch.episodes);
  };
  const bool few = run.epochs.size() <= kFewPoints;
  Series curve{.name = run.name,
               .x = {},
               .y = {},
               .style = few ? SeriesStyle::line_points : SeriesStyle::line,
               .colour = static_cast<int>(index)};
  for (std::size_t i = 0; i < run.epochs.size(); i += stride_of(run.epochs.size())) {
    curve.x.push_back(x(run.epochs[i]));
    curve.y.push_back(quantity.value(run.epochs[i]));
    if (few && quantity.interval) curve.error.push_back(quantity.interval(run.epochs[i]));
  }
  panel.series.push_back(std::move(curve));
}

Panel curves_panel(const std::vector<ReportedRun>& runs, const EpochQuantity& quantity) {
  const bool by_epoch = equal_epochs(runs);
  Panel panel{.title = quantity.title,
              .x = {.label = by_epoch ? "epoch" : "training episodes"},
              .y = {.label = quantity.label},
              .series = {},
              .key = false};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (quantity.validation && !has_validation(runs[i])) continue;
    add_curve(panel, runs[i], i, quantity, by_epoch);
  }
  return panel;
}

Panel share_panel(const std::vector<ReportedRun>& runs, const std::string& title,
                  double HistogramRecord::*share) {
  Panel panel{.title = title,
              .x = {.label = "training episodes"},
              .y = {.label = "share, %", .range = {.min = 0, .max = 100}},
              .series = {},
              .key = false};
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const std::vector<HistogramRecord>& records = runs[i].histograms;
    if (records.empty()) continue;
    Series curve{
        .name = runs[i].name,
        .x = {},
        .y = {},
        .style = records.size() <= kFewPoints ? SeriesStyle::line_points : SeriesStyle::line,
        .colour = static_cast<int>(i)};
    for (std::size_t k = 0; k < records.size(); k += stride_of(records.size())) {
      curve.x.push_back(static_cast<double>(records[k].episode));
      curve.y.push_back(kShareOfPercent * records[k].*share);
    }
    panel.series.push_back(std::move(curve));
  }
  return panel;
}

/// Neighbouring bins put together, so that at most kShownBins are left, as shares of all in %.
Series bars_of(const Histogram& histogram, std::size_t colour) {
  Series bars{.name = "",
              .x = {histogram.edges.front()},
              .y = {},
              .style = SeriesStyle::histogram,
              .colour = static_cast<int>(colour)};
  const std::size_t bins = histogram.counts.size();
  const std::size_t width = (bins + kShownBins - 1) / kShownBins;
  for (std::size_t first = 0; first < bins; first += width) {
    const std::size_t end = std::min(first + width, bins);
    const auto at = [&](std::size_t i) {
      return histogram.counts.begin() + static_cast<std::ptrdiff_t>(i);
    };
    bars.x.push_back(histogram.edges[end]);
    bars.y.push_back(kShareOfPercent * std::accumulate(at(first), at(end), 0.0) /
                     histogram.total());
  }
  return bars;
}

/// Gives the panels of one row the same axes: the ends of what holds anything, the highest bar.
void share_axes(std::vector<Panel>& panels) {
  double min = HUGE_VAL, max = -HUGE_VAL, top = 0;
  for (const Panel& panel : panels) {
    const Series& bars = panel.series[0];
    for (std::size_t i = 0; i < bars.y.size(); ++i) {
      if (!(bars.y[i] > 0) || !is_drawable(panel, bars, i)) continue;
      min = std::min(min, bars.x[i]);
      max = std::max(max, bars.x[i + 1]);
      top = std::max(top, bars.y[i]);
    }
  }
  if (!(min < max)) return;
  for (Panel& panel : panels) {
    panel.x.range = {.min = min, .max = max};
    panel.y.range = {.min = 0, .max = 1.05 * top};
  }
}

}  // namespace

Figure curves_figure(const std::vector<ReportedRun>& runs) {
  Figure figure{.title = "Training and validation loss and accuracy", .columns = 2, .panels = {}};
  const bool validated = std::any_of(runs.begin(), runs.end(), has_validation);
  for (const EpochQuantity& quantity : quantities()) {
    if (quantity.validation && !validated) continue;
    figure.panels.push_back(curves_panel(runs, quantity));
  }
  return figure;
}

bool curves_are_thinned(const std::vector<ReportedRun>& runs) {
  return std::any_of(runs.begin(), runs.end(),
                     [](const ReportedRun& run) { return stride_of(run.epochs.size()) > 1; });
}

Figure shares_figure(const std::vector<ReportedRun>& runs) {
  return {.title = "Shares of vanished gradients and of those at work",
          .columns = 2,
          .panels = {share_panel(runs, "Vanished: |dl/dd| < 1e-5", &HistogramRecord::share_below),
                     share_panel(runs, "Neither 0 nor 1: 1e-3 < |dl/dd| < 1 - 1e-3",
                                 &HistogramRecord::share_inside)}};
}

std::vector<HistogramRecord> chosen_records(const ReportedRun& run) {
  const std::vector<HistogramRecord>& all = run.histograms;
  const std::size_t count = std::min(kShownRecords, all.size());
  std::vector<HistogramRecord> chosen;
  for (std::size_t i = 0; i < count; ++i) {
    chosen.push_back(all[count == 1 ? 0 : i * (all.size() - 1) / (count - 1)]);
  }
  return chosen;
}

Figure histograms_figure(const ReportedRun& run, std::size_t colour) {
  std::vector<Panel> gradients, distances;
  for (const HistogramRecord& record : chosen_records(run)) {
    gradients.push_back({.title = fmt::format("after {} episodes", record.episode),
                         .x = {.label = "ln(|dl/dd| + 1e-5)"},
                         .y = {.label = "share, %"},
                         .series = {bars_of(record.log_gradient, colour)}});
    distances.push_back({.title = "",
                         .x = {.label = "distance d", .logarithmic = true},
                         .y = {.label = "share, %"},
                         .series = {bars_of(record.distance, colour)}});
  }
  share_axes(gradients);
  share_axes(distances);
  Figure figure{.title = "Histograms of log-gradients and distances of " + run.name,
                .columns = static_cast<int>(gradients.size()),
                .panels = gradients};
  figure.panels.insert(figure.panels.end(), distances.begin(), distances.end());
  return figure;
}

}  // namespace protolith
