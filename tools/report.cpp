// `protolith report`: one HTML page on one or more training runs.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "engine/file.h"
#include "tools/command.h"
#include "tools/output_file.h"
#include "tools/plot.h"
#include "tools/report_data.h"
#include "tools/report_figures.h"
#include "tools/report_html.h"
#include "tools/session.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

struct ReportFlags {
  OutputFlags output;
  std::vector<std::string> runs;
  std::string out;
};

/// The page's numbers as CSV files beside it, for where gnuplot is missing. Returns their names.
std::vector<std::string> write_numbers(const std::vector<ReportedRun>& runs, const fs::path& page) {
  const std::string stem = (page.parent_path() / page.stem()).string();
  std::vector<std::string> files;
  const auto write = [&](const std::string& name, const Figure& figure) {
    files.push_back(fmt::format("{}-{}.csv", stem, name));
    write_file_atomically(files.back(), to_csv(figure));
  };
  write("curves", curves_figure(runs));
  bool has_histograms = false;
  for (std::size_t i = 0; i < runs.size(); ++i) {
    if (runs[i].histograms.empty()) continue;
    has_histograms = true;
    write(fmt::format("histograms-{}", i + 1), histograms_figure(runs[i], i));
  }
  if (has_histograms) write("shares", shares_figure(runs));
  return files;
}

nlohmann::json summary(const ReportedRun& run) {
  nlohmann::json object{{"name", run.name},
                        {"run", run.path.string()},
                        {"metric", to_string(run.config.metric)},
                        {"preset", run.config.preset},
                        {"episodes", run.epochs.back().episodes},
                        {"epochs", run.epochs.back().epoch},
                        {"seconds", run.seconds()}};
  if (const EpochMetrics* best = run.best()) {
    object.update({{"best_epoch", best->epoch},
                   {"val_accuracy", best->val_accuracy},
                   {"val_ci95", best->val_ci95},
                   {"val_loss", best->val_loss}});
  }
  if (run.test) {
    object.update({{"test_accuracy", run.test->accuracy}, {"test_ci95", run.test->ci95}});
  }
  return object;
}

int report(const ReportFlags& flags) {
  const std::vector<ReportedRun> runs = read_runs(flags.runs);
  for (const ReportedRun& run : runs) {
    for (const std::string& file : run.warnings) {
      if (!flags.output.quiet) warn(file + ": its last line is cut short and was left out");
    }
  }
  const fs::path page = flags.out.empty() ? runs[0].path / "report.html" : fs::path(flags.out);
  check_output("--out", page);
  if (!can_draw()) {
    const std::vector<std::string> files = write_numbers(runs, page);
    throw Error(fmt::format("gnuplot is missing, so {} was not written; {} (the numbers are in {})",
                            page.string(), kInstallGnuplot, fmt::join(files, ", ")));
  }
  write_file_atomically(page, report_page(runs));
  if (flags.output.json) {
    nlohmann::json result{{"report", page.string()}, {"runs", nlohmann::json::array()}};
    for (const ReportedRun& run : runs) result["runs"].push_back(summary(run));
    print_json(result);
  } else {
    std::fputs(fmt::format("report: {}\n", page.string()).c_str(), stdout);
  }
  return kExitDone;
}

}  // namespace

void add_report_command(CommandLine& program) {
  const auto flags = std::make_shared<ReportFlags>();
  CLI::App& command = program.add_command(
      "report", "Write an HTML page on one run, or on several beside each other",
      "  protolith report runs/lsed\n"
      "  protolith report runs/sed runs/lsed --out comparison.html\n"
      "\n"
      "Summary, learning curves, settings, and what else the run folders hold: histograms of\n"
      "gradients and distances (histograms.jsonl), test results (eval.json). One file, to be\n"
      "opened anywhere. The figures need gnuplot.",
      [flags] { return report(*flags); });
  command.add_option("runs", flags->runs, "the run folders")->type_name("RUN")->required();
  command
      .add_option("--out", flags->out, "the page (default: report.html in the first run's folder)")
      ->type_name("FILE");
  flags->output.add_to(command);
}

}  // namespace protolith
