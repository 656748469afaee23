#include "tools/loss_curves.h"

#include <algorithm>
#include <cmath>

namespace protolith {
namespace {

constexpr int kPoints = 241;
constexpr double kLeast = 0.1, kMost = 1000;  // of d
constexpr double kTopLoss = 15;               // SED's reaches 1000: the axis ends where LSED's does

/// From kLeast to kMost in equal ratios.
std::vector<double> distances() {
  std::vector<double> d(kPoints);
  for (int i = 0; i < kPoints; ++i) {
    d[static_cast<std::size_t>(i)] =
        kLeast * std::pow(kMost / kLeast, static_cast<double>(i) / (kPoints - 1));
  }
  return d;
}

std::string title(const Metric& metric) {
  return metric.kind == MetricKind::sed ? "SED"
                                        : fmt::format("LSED, s = {}, r = {}", metric.s, metric.r);
}

Panel loss_panel(const std::vector<double>& d1, const Metric& metric) {
  Panel panel{title(metric),
              {.label = "-log d(z, c_0)"},
              {.label = "-log p(y = 0)", .range = {0, kTopLoss}},
              {}};
  for (const double other : d1) {
    Series series{.name = fmt::format("d(z, c_1) = {}", other), .x = {}, .y = {}};
    for (const double d0 : distances()) {
      series.x.push_back(-std::log(d0));
      series.y.push_back(two_class_loss(d0, other, metric.leaky()));
    }
    panel.series.push_back(std::move(series));
  }
  return panel;
}

Panel distance_panel(const Metric& lsed) {
  Panel panel{"equation 6", {.label = "d"}, {.label = "distance in the softmax"}, {}};
  panel.x.logarithmic = true;
  panel.y.logarithmic = true;
  for (const Metric& metric : {Metric{}, lsed}) {
    Series series{.name = title(metric), .x = distances(), .y = {}};
    for (const double d : series.x) series.y.push_back(leaky_distance(d, metric.leaky()));
    panel.series.push_back(std::move(series));
  }
  return panel;
}

}  // namespace

double two_class_loss(double d0, double d1, const LeakyDistance& leaky) {
  const double x = leaky_distance(d0, leaky) - leaky_distance(d1, leaky);
  // exp() of a positive number could overflow.
  return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
}

Figure loss_curves(const std::vector<double>& d1, const Metric& lsed) {
  return {"Loss of a query between two prototypes",
          3,
          {loss_panel(d1, Metric{}), loss_panel(d1, lsed), distance_panel(lsed)}};
}

}  // namespace protolith
