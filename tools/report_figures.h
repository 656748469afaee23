// The figures of a report.
#pragma once

#include <string>
#include <vector>

#include "tools/plot.h"
#include "tools/report_data.h"

namespace protolith {

/// Loss and accuracy of training and validation, every run over the others, as in Figure 9 of Shen
/// & Liu; series and colours go by the runs' order. Validation panels are left out where no run has
/// any.
Figure curves_figure(const std::vector<ReportedRun>& runs);
/// Whether the curves show one epoch of several only, as they do of very long runs.
bool curves_are_thinned(const std::vector<ReportedRun>& runs);

/// The shares of gradients that have vanished and of those that are neither 0 nor 1, over the
/// training episodes.
Figure shares_figure(const std::vector<ReportedRun>& runs);

/// A handful of `run`'s records, evenly chosen, the first and the last among them.
std::vector<HistogramRecord> chosen_records(const ReportedRun& run);
/// Their histograms, log-gradients above distances, a column per record. `colour`: the run's.
Figure histograms_figure(const ReportedRun& run, std::size_t colour);

}  // namespace protolith
