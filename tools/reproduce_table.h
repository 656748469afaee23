// Table 1 of `protolith reproduce`: test accuracies of SED and LSED, of one seed or of several.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "tools/reproduce_results.h"

namespace protolith {

/// Test accuracies of the paper, as shares, of models tested on these episodes of this data set.
struct PaperAccuracy {
  std::string_view kind;
  int way, shot;
  double sed, lsed;
};

/// What the paper has of this experiment; nothing of another, such as of other ways.
std::optional<PaperAccuracy> paper_accuracy(std::string_view kind, int way, int shot);

/// A number of a result; NaN for null. Throws Error naming what is missing.
double number(const nlohmann::json& object, const char* key);

/// "95.14", and "95.14 +- 0.16", of shares.
std::string percent(double share);
std::string percent(double mean, double ci95);

/// A row of table 1 is the result of `eval SED --compare LSED`, with "seed" where there are several
/// and "paper_sed", "paper_lsed" where the paper has a number.
using Table1Rows = std::vector<nlohmann::json>;

/// For each shot of which there are several rows, their mean over the seeds as a row of the same
/// form, with "seeds", how many. Its intervals are Student's of 95 % over the seeds: what another
/// seed, with its classes and weights, would change, not only other test episodes.
Table1Rows table1_means(const Table1Rows& rows);

/// As Markdown, shot by shot, each with its mean; and as CSV, without means.
std::string table1_markdown(const Table1Rows& rows);
std::string table1_csv(const Table1Rows& rows);

/// Reads the results of the steps that evaluate and writes table1.md, .csv and .json.
ReproduceResult table1_result(const ReproduceOptions& options,
                              const std::vector<ReproduceStep>& steps);

}  // namespace protolith
