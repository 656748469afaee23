#include "tools/reproduce_results.h"

#include <algorithm>
#include <optional>

#include "engine/check.h"
#include "engine/file.h"
#include "tools/loss_curves.h"
#include "tools/reproduce_table.h"
#include "tools/run_folder.h"
#include "tools/settings_file.h"

namespace protolith {
namespace {

/// The share of derivatives below 1e-5 and the share inside (1e-3, 1 - 1e-3) in an independent run
/// of the Omniglot protocol in PyTorch; where it was measured.
struct PyTorchShares {
  const char* metric;
  int iteration;
  std::optional<double> below, inside;
};
const PyTorchShares kPyTorchOmniglot[] = {{"sed", 0, 0.88, 0.055},
                                          {"sed", 8, 0.43, std::nullopt},
                                          {"sed", 16, 0.11, std::nullopt},
                                          {"lsed:0:0.01", 0, std::nullopt, 1.0}};

/// What the numbers are not.
std::string caveats(const ReproduceOptions& options, const std::vector<ReproduceStep>& steps) {
  const ReproduceTarget& target = find_reproduce_target(options.target);
  const std::string kind = data_kind(options);
  std::string text;
  if (kind == "synthetic") {
    text += "On generated glyphs: the numbers are not the paper's, nor comparable with them.\n";
  } else if (target.on_mini_imagenet && kind != "mini-imagenet") {
    text += fmt::format("Measured on {}; the paper's figure is of miniImageNet.\n", kind);
  }
  // The figures of early iterations are the same with and without --quick.
  const std::string command = steps.empty() ? "" : steps.front().arguments.front();
  if (options.quick && (command == "train" || command == "sweep")) {
    text +=
        "--quick: a small part of the published protocol. SED is ahead in the first hundreds of\n"
        "episodes; LSED passes it later.\n";
  }
  return text;
}

// --- fig2 ---

const std::vector<double> kOtherDistances{1, 10, 100};
const Metric kCurve{.kind = MetricKind::lsed, .s = 4.0F, .r = 0.01F};  // the paper's, miniImageNet

ReproduceResult loss_curve_result(const ReproduceOptions& options) {
  ReproduceResult result;
  const auto stem = options.out / "figure2";
  result.failure = try_draw(loss_curves(kOtherDistances, kCurve), stem);
  result.numbers = {{"csv", stem.string() + ".csv"}, {"rows", nlohmann::json::array()}};
  result.text =
      fmt::format("-log p(y = 0), equation 3, under SED and {}\n{:>10} {:>10} {:>12} {:>12}\n",
                  to_string(kCurve), "d(z, c_0)", "d(z, c_1)", "SED", "LSED");
  for (const double other : kOtherDistances) {
    for (const double d0 : {1.0, 10.0, 100.0, 1000.0}) {
      const double sed = two_class_loss(d0, other, Metric{}.leaky());
      const double lsed = two_class_loss(d0, other, kCurve.leaky());
      result.text += fmt::format("{:>10} {:>10} {:>12.5g} {:>12.5g}\n", d0, other, sed, lsed);
      result.numbers["rows"].push_back({{"d0", d0}, {"d1", other}, {"sed", sed}, {"lsed", lsed}});
    }
  }
  result.text += fmt::format("figure: {}.png\n", stem.string());
  return result;
}

// --- fig3 to fig7 ---

std::string pytorch_shares(const std::string& metric, double iteration) {
  std::string below = "", inside = "";
  for (const PyTorchShares& known : kPyTorchOmniglot) {
    if (known.metric != metric || known.iteration != iteration) continue;
    if (known.below) below = percent(*known.below);
    if (known.inside) inside = percent(*known.inside);
  }
  return fmt::format(" {:>14} {:>14}", below, inside);
}

ReproduceResult histogram_result(const ReproduceOptions& options, const ReproduceStep& step) {
  const nlohmann::json numbers = read_json_file(step.result);
  PROTOLITH_CHECK(numbers.contains("results") && numbers["results"].is_array(),
                  "{} lacks the list 'results'; remove it to have it made anew",
                  step.result.string());
  const bool omniglot = data_kind(options) == "omniglot";
  ReproduceResult result{"", numbers};
  result.text = fmt::format("{:<14} {:>9} {:>14} {:>14} {:>12} {:>12}{}\n", "metric", "iteration",
                            "|g| < 1e-5, %", "inside, %", "max d", "median d",
                            omniglot ? fmt::format(" {:>14} {:>14}", "PyTorch: <", "inside") : "");
  for (const nlohmann::json& row : numbers["results"]) {
    const std::string metric = row.value("metric", "");
    const double iteration = number(row, "iteration");
    result.text +=
        fmt::format("{:<14} {:>9} {:>14} {:>14} {:>12.1f} {:>12.1f}{}\n", metric, iteration,
                    percent(number(row, "share_below_1e-5")), percent(number(row, "share_inside")),
                    number(row, "distance_max"), number(row, "distance_median"),
                    omniglot ? pytorch_shares(metric, iteration) : "");
  }
  result.text +=
      "g: the loss's derivative with respect to each distance; inside: 1e-3 < |g| < 1 - 1e-3;\n"
      "d: squared Euclidean distances before LSED.";
  result.text += omniglot ? " PyTorch: an independent run of this protocol.\n" : "\n";
  if (find_reproduce_target(options.target).on_mini_imagenet) {
    result.text += "The paper's figure (miniImageNet) shows initial distances as large as 1,500.\n";
  }
  result.text += fmt::format("figure: {}\n", (options.out / "hist" / "figure.png").string());
  return result;
}

// --- fig8 ---

ReproduceResult sweep_result(const ReproduceOptions& options, const ReproduceStep& step) {
  const nlohmann::json numbers = read_json_file(step.result);
  PROTOLITH_CHECK(numbers.contains("cells") && numbers["cells"].is_array(),
                  "{} lacks the list 'cells'; remove it to have it made anew",
                  step.result.string());
  ReproduceResult result{"", numbers};
  result.text = fmt::format("{:<16} {:>18} {:>10}\n", "metric", "val accuracy, %", "val loss");
  for (const nlohmann::json& cell : numbers["cells"]) {
    result.text += fmt::format("{:<16} {:>18} {:>10.4f}\n", cell.value("metric", ""),
                               percent(number(cell, "val_accuracy"), number(cell, "val_ci95")),
                               number(cell, "val_loss"));
  }
  const bool tested = !numbers.value("test_accuracy", nlohmann::json()).is_null();
  result.text += fmt::format(
      "chosen by validation: {}, {}\n"
      "The paper chooses s = 4, r = 0.01 on miniImageNet and s = 0, r = 0.01 on Omniglot.\n"
      "figure: {}\n",
      numbers.value("chosen", ""),
      tested ? fmt::format("test accuracy {} %",
                           percent(number(numbers, "test_accuracy"), number(numbers, "test_ci95")))
             : "not tested: the data set has no test split",
      (options.out / "sweep" / "figure8.png").string());
  return result;
}

// --- fig9 ---

Series epoch_series(const std::string& name, const std::vector<EpochMetrics>& epochs,
                    double EpochMetrics::*accuracy) {
  Series series{.name = name, .x = {}, .y = {}};
  for (const EpochMetrics& metrics : epochs) {
    series.x.push_back(static_cast<double>(metrics.epoch));
    series.y.push_back(100 * (metrics.*accuracy));
  }
  return series;
}

ReproduceResult curve_result(const ReproduceOptions& options,
                             const std::vector<ReproduceStep>& steps) {
  Figure figure{"Accuracy by epoch", 2, {}};
  for (const char* title : {"training episodes", "validation episodes"}) {
    figure.panels.push_back({title, {.label = "epoch"}, {.label = "accuracy, %"}, {}});
  }
  ReproduceResult result{fmt::format("{:<6} {:>11} {:>18} {:>18}\n", "", "best epoch",
                                     "val accuracy, %", "last training, %"),
                         nlohmann::json::object()};
  for (const ReproduceStep& step : steps) {
    if (step.run.empty()) continue;
    const std::string name = step.run.filename() == "sed" ? "SED" : "LSED";
    const RunFolder run = RunFolder::open(step.run);
    const std::string title = title_of(run.config().metric);
    const std::vector<EpochMetrics> epochs = run.read_metrics();
    PROTOLITH_CHECK(!epochs.empty(),
                    "{}: has no epoch to show; give --episodes or a smaller --epoch-episodes, and "
                    "another --out",
                    step.run.string());
    figure.panels[0].series.push_back(epoch_series(title, epochs, &EpochMetrics::train_accuracy));
    figure.panels[1].series.push_back(epoch_series(title, epochs, &EpochMetrics::val_accuracy));
    const nlohmann::json trained = read_json_file(step.result);
    result.numbers[step.run.filename().string()] = trained;
    result.text += fmt::format("{:<6} {:>11} {:>18} {:>18}\n", name, number(trained, "best_epoch"),
                               percent(number(trained, "val_accuracy")),
                               percent(epochs.back().train_accuracy));
  }
  const auto stem = options.out / "figure9";
  result.failure = try_draw(figure, stem);
  result.text += fmt::format("figure: {}.png\nreport: {}\n", stem.string(),
                             (options.out / "report.html").string());
  return result;
}

ReproduceResult target_result(const ReproduceOptions& options,
                              const std::vector<ReproduceStep>& steps) {
  if (options.target == "fig2") return loss_curve_result(options);
  if (options.target == "fig8") return sweep_result(options, steps.at(0));
  if (options.target == "fig9") return curve_result(options, steps);
  if (options.target == "table1") return table1_result(options, steps);
  return histogram_result(options, steps.at(0));
}

}  // namespace

ReproduceResult reproduce_result(const ReproduceOptions& options,
                                 const std::vector<ReproduceStep>& steps) {
  ReproduceResult result = target_result(options, steps);
  result.text += caveats(options, steps);
  return result;
}

}  // namespace protolith
