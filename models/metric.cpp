#include "models/metric.h"

#include <charconv>
#include <cmath>
#include <vector>

#include "engine/text.h"

namespace protolith {
namespace {

float parse_number(const std::string& text, const std::string& whole) {
  float value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  PROTOLITH_CHECK_USAGE(error == std::errc() && end == text.data() + text.size(),
                        "metric '{}': '{}' is not a number", whole, text);
  return value;
}

}  // namespace

LeakyDistance Metric::leaky() const {
  switch (kind) {
    case MetricKind::sed:
      return {0.0F, 1.0F};
    case MetricKind::lsed:
      return {s, r};
    case MetricKind::temperature:
      return {0.0F, 1.0F / temperature};
  }
  throw Error("unknown metric");
}

Metric Metric::parse(const std::string& text) {
  const std::vector<std::string> parts = split_text(text, ':');
  Metric metric;
  if (parts[0] == "sed" && parts.size() == 1) {
    metric.kind = MetricKind::sed;
  } else if (parts[0] == "lsed" && (parts.size() == 1 || parts.size() == 3)) {
    metric.kind = MetricKind::lsed;
    if (parts.size() == 3) {
      metric.s = parse_number(parts[1], text);
      metric.r = parse_number(parts[2], text);
    }
  } else if (parts[0] == "temperature" && parts.size() <= 2) {
    metric.kind = MetricKind::temperature;
    if (parts.size() == 2) metric.temperature = parse_number(parts[1], text);
  } else {
    throw UsageError(fmt::format(
        "unknown metric '{}'; use sed, lsed, lsed:S:R or temperature:T (for example lsed:0:0.01)",
        text));
  }
  metric.validate();
  return metric;
}

void Metric::validate() const {
  PROTOLITH_CHECK_USAGE(std::isfinite(s) && s >= 0, "LSED threshold s = {} must be finite and >= 0",
                        s);
  PROTOLITH_CHECK_USAGE(std::isfinite(r) && r >= 0, "LSED slope r = {} must be finite and >= 0", r);
  // 1/T is what multiplies the distances.
  PROTOLITH_CHECK_USAGE(
      std::isfinite(temperature) && temperature > 0 && std::isfinite(1.0F / temperature),
      "temperature T = {} must be finite and > 0, with a finite 1/T", temperature);
}

double leaky_distance(double d, const LeakyDistance& leaky) {
  const auto s = static_cast<double>(leaky.threshold);
  return d <= s ? d : s + (d - s) * static_cast<double>(leaky.slope);
}

std::string to_string(const Metric& metric) {
  switch (metric.kind) {
    case MetricKind::sed:
      return "sed";
    case MetricKind::lsed:
      return fmt::format("lsed:{}:{}", metric.s, metric.r);
    case MetricKind::temperature:
      return fmt::format("temperature:{}", metric.temperature);
  }
  throw Error("unknown metric");
}

std::string title_of(const Metric& metric) {
  switch (metric.kind) {
    case MetricKind::sed:
      return "SED";
    case MetricKind::lsed:
      return fmt::format("LSED (s = {}, r = {})", metric.s, metric.r);
    case MetricKind::temperature:
      return fmt::format("SED / {}", metric.temperature);
  }
  throw Error("unknown metric");
}

}  // namespace protolith
