#include "tools/reproduce_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <tuple>
#include <utility>

#include "engine/check.h"
#include "engine/file.h"
#include "tools/json_text.h"
#include "tools/settings_file.h"

namespace protolith {
namespace {

/// Shen & Liu, table 1.
constexpr std::array<PaperAccuracy, 4> kPaper{{{"omniglot", 20, 1, 0.9514, 0.9565},
                                               {"omniglot", 20, 5, 0.9854, 0.9870},
                                               {"mini-imagenet", 5, 1, 0.4834, 0.5174},
                                               {"mini-imagenet", 5, 5, 0.6794, 0.6839}}};

/// A row's means, each with the half width of its interval.
struct MeanColumn {
  const char* mean;
  const char* ci95;
};
constexpr std::array<MeanColumn, 3> kColumns{
    {{"accuracy", "ci95"}, {"other_accuracy", "other_ci95"}, {"difference", "difference_ci95"}}};

int shot_of(const nlohmann::json& row) {
  return static_cast<int>(number(row, "shot"));
}

std::map<int, Table1Rows> by_shot(const Table1Rows& rows) {
  std::map<int, Table1Rows> groups;
  for (const nlohmann::json& row : rows) groups[shot_of(row)].push_back(row);
  return groups;
}

/// The 97.5 % quantile of Student's t; beyond the table by two terms of its expansion about the
/// normal one (Abramowitz & Stegun 26.7.5), off by less than 0.001 there.
double student_quantile(std::size_t degrees) {
  constexpr std::array<double, 20> kTable{12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365,
                                          2.306,  2.262, 2.228, 2.201, 2.179, 2.160, 2.145,
                                          2.131,  2.120, 2.110, 2.101, 2.093, 2.086};
  if (degrees <= kTable.size()) return kTable.at(degrees - 1);
  constexpr double x = 1.95996;
  constexpr double kFirst = (x * x * x + x) / 4;
  constexpr double kSecond = (5 * x * x * x * x * x + 16 * x * x * x + 3 * x) / 96;
  const auto n = static_cast<double>(degrees);
  return x + kFirst / n + kSecond / (n * n);
}

/// The mean of a row's number over two rows or more, and the half width of its interval.
std::pair<double, double> mean_over_seeds(const Table1Rows& rows, const char* key) {
  const auto count = static_cast<double>(rows.size());
  double mean = 0, squares = 0;
  for (const nlohmann::json& row : rows) mean += number(row, key) / count;
  for (const nlohmann::json& row : rows) squares += std::pow(number(row, key) - mean, 2);
  return {mean, student_quantile(rows.size() - 1) * std::sqrt(squares / (count - 1) / count)};
}

std::string markdown_row(const nlohmann::json& row) {
  std::string text = fmt::format("| {}-way {}-shot", number(row, "way"), shot_of(row));
  if (row.contains("seed")) text += fmt::format(", seed {}", number(row, "seed"));
  if (row.contains("seeds")) text += fmt::format(", mean of {} seeds", number(row, "seeds"));
  text += fmt::format(" | {} | {} | {:+.2f} +- {:.2f} ",
                      percent(number(row, "accuracy"), number(row, "ci95")),
                      percent(number(row, "other_accuracy"), number(row, "other_ci95")),
                      100 * number(row, "difference"), 100 * number(row, "difference_ci95"));
  if (!row.contains("paper_sed")) return text + "| | | |\n";
  const double sed = number(row, "paper_sed");
  const double lsed = number(row, "paper_lsed");
  return text +
         fmt::format("| {} | {} | {:+.2f} |\n", percent(sed), percent(lsed), 100 * (lsed - sed));
}

}  // namespace

std::optional<PaperAccuracy> paper_accuracy(std::string_view kind, int way, int shot) {
  const auto* const found =
      std::find_if(kPaper.begin(), kPaper.end(), [&](const PaperAccuracy& paper) {
        return paper.kind == kind && paper.way == way && paper.shot == shot;
      });
  if (found == kPaper.end()) return std::nullopt;
  return *found;
}

double number(const nlohmann::json& object, const char* key) {
  const auto found = object.find(key);
  PROTOLITH_CHECK(found != object.end() && (found->is_number() || found->is_null()),
                  "a result lacks the number '{}': {}", key, object.dump());
  return found->is_null() ? std::numeric_limits<double>::quiet_NaN() : found->get<double>();
}

std::string percent(double share) {
  return fmt::format("{:.2f}", 100 * share);
}

std::string percent(double mean, double ci95) {
  return fmt::format("{:.2f} +- {:.2f}", 100 * mean, 100 * ci95);
}

Table1Rows table1_means(const Table1Rows& rows) {
  Table1Rows means;
  for (const auto& [shot, group] : by_shot(rows)) {
    if (group.size() < 2) continue;
    nlohmann::json mean{{"shot", shot}, {"seeds", group.size()}};
    for (const char* key : {"way", "paper_sed", "paper_lsed"}) {
      if (group.front().contains(key)) mean[key] = group.front()[key];
    }
    for (const MeanColumn& column : kColumns) {
      std::tie(mean[column.mean], mean[column.ci95]) = mean_over_seeds(group, column.mean);
    }
    means.push_back(mean);
  }
  return means;
}

std::string table1_markdown(const Table1Rows& rows) {
  std::string text =
      "| test accuracy, % | SED | LSED | LSED - SED, paired | paper: SED | LSED | "
      "LSED - SED |\n|---|---|---|---|---|---|---|\n";
  const Table1Rows means = table1_means(rows);
  for (const auto& [shot, group] : by_shot(rows)) {
    for (const nlohmann::json& row : group) text += markdown_row(row);
    for (const nlohmann::json& mean : means) {
      if (shot_of(mean) == shot) text += markdown_row(mean);
    }
  }
  return text;
}

std::string table1_csv(const Table1Rows& rows) {
  std::string text =
      "shot,seed,sed_accuracy,sed_ci95,lsed_accuracy,lsed_ci95,difference,difference_ci95,"
      "paper_sed,paper_lsed\n";
  for (const auto& [shot, group] : by_shot(rows)) {
    for (const nlohmann::json& row : group) {
      text += fmt::format("{},{}", shot, row.contains("seed") ? row["seed"].dump() : "");
      for (const MeanColumn& column : kColumns) {
        text += fmt::format(",{},{}", number(row, column.mean), number(row, column.ci95));
      }
      text += row.contains("paper_sed")
                  ? fmt::format(",{},{}\n", number(row, "paper_sed"), number(row, "paper_lsed"))
                  : ",,\n";
    }
  }
  return text;
}

ReproduceResult table1_result(const ReproduceOptions& options,
                              const std::vector<ReproduceStep>& steps) {
  const std::string kind = data_kind(options);
  Table1Rows rows;
  for (const ReproduceStep& step : steps) {
    if (!step.run.empty()) continue;
    nlohmann::json row = read_json_file(step.result);
    if (step.seed) row["seed"] = *step.seed;
    if (const auto paper =
            paper_accuracy(kind, static_cast<int>(number(row, "way")), shot_of(row))) {
      row["paper_sed"] = paper->sed;
      row["paper_lsed"] = paper->lsed;
    }
    rows.push_back(std::move(row));
  }
  ReproduceResult result{table1_markdown(rows), {{"rows", rows}}};
  if (const Table1Rows means = table1_means(rows); !means.empty()) {
    result.numbers["means"] = means;
    result.text +=
        "A seed's intervals are over test episodes, a mean's (Student's, 95 %) over the seeds.\n";
  }
  write_file_atomically(options.out / "table1.md", result.text);
  write_file_atomically(options.out / "table1.csv", table1_csv(rows));
  write_file_atomically(options.out / "table1.json", json_text(result.numbers, 2));
  return result;
}

}  // namespace protolith
