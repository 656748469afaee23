#pragma once

#include <string>

#include "engine/backend.h"

namespace protolith {

enum class MetricKind : std::uint8_t { sed, lsed, temperature };

/// What enters the softmax: squared Euclidean distances (SED), leaky ones (LSED, eq. 6 with
/// threshold s and slope r), or SED divided by a temperature T.
struct Metric {
  MetricKind kind = MetricKind::sed;
  float s = 0.0F;              ///< LSED's threshold, s >= 0
  float r = 0.01F;             ///< LSED's slope beyond s, r >= 0
  float temperature = 100.0F;  ///< T > 0, 1 / T finite

  /// The distance function the loss kernel computes. LSED(0, r) and temperature 1 / r are the same.
  LeakyDistance leaky() const;
  /// Reads `sed`, `lsed`, `lsed:S:R` or `temperature:T`. Throws UsageError naming the text.
  static Metric parse(const std::string& text);
  /// Throws UsageError when a hyper-parameter is out of its range above, infinite or NaN.
  void validate() const;
  friend bool operator==(const Metric&, const Metric&) = default;
};

/// Equation 6 in double precision; the kernels compute it in single.
double leaky_distance(double d, const LeakyDistance& leaky);

/// The shortest text that parse() reads back exactly: "sed", "lsed:0:0.01", "temperature:100".
std::string to_string(const Metric& metric);

/// As figures call it: "SED", "LSED (s = 0, r = 0.01)", "SED / 100".
std::string title_of(const Metric& metric);

}  // namespace protolith
