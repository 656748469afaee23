#pragma once

#include <vector>

#include "models/metric.h"
#include "tools/plot.h"

namespace protolith {

/// -log p(y = 0) of a query between two prototypes (eq. 3), whose squared distances d0 and d1 first
/// go through equation 6: log(1 + exp(d0' - d1')).
double two_class_loss(double d0, double d1, const LeakyDistance& leaky);

/// Figure 2 of Shen & Liu: the loss against -log d0 for each distance `d1` to the other prototype,
/// under SED and under `lsed`, and equation 6 itself, d' against d.
Figure loss_curves(const std::vector<double>& d1, const Metric& lsed);

}  // namespace protolith
