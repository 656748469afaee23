// `protolith sweep`: trains a run for each of several metrics, chooses one by validation and tests
// that one alone, if the data set has a test split.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/file.h"
#include "engine/text.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/json_text.h"
#include "tools/session.h"
#include "tools/settings_file.h"
#include "tools/sweep_grid.h"
#include "tools/trainer.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

struct SweepFlags {
  ConfigFlags config;
  OutputFlags output;
  SweepLists lists;
  std::string reference, out;
};

/// What every cell of a sweep shares.
struct Sweep {
  Config config;  ///< but for the metric
  Backend& backend;
  const Dataset& dataset;
  fs::path out;
  const InterruptGuard& interrupt;
  Progress& progress;
};

/// What must not change while a sweep's folder fills, or its cells could not be compared.
nlohmann::json sweep_settings(const Config& config, const Dataset& dataset) {
  nlohmann::json settings = to_json(config);
  for (const ConfigOption& option : config_options()) {
    if (option.of_machine) settings.erase(option.key);
  }
  for (const char* free :
       {"preset", "metric", "s", "r", "temperature", "histogram_every", "trainval"}) {
    settings.erase(free);
  }
  settings["data"] =
      fmt::format("{} {} {:016x}", dataset.kind, dataset.preprocessing, dataset.content_hash);
  return settings;
}

Config checked_config(const SweepFlags& flags) {
  Config config = flags.config.resolve();
  PROTOLITH_CHECK_USAGE(!config.trainval,
                        "trainval leaves no validation classes to choose by; remove it from "
                        "--config's file");
  PROTOLITH_CHECK_USAGE(
      config.train.episodes == 0 || config.train.episodes >= config.epoch_episodes,
      "--episodes {}: fewer than an epoch of {}, after which a cell is validated; give more, or a "
      "smaller --epoch-episodes",
      config.train.episodes, config.epoch_episodes);
  return config;
}

/// Half the 95 % interval of an epoch's validation accuracy; NaN where it has none.
double validation_ci95(const RunFolder& folder, std::int64_t epoch) {
  for (const EpochMetrics& metrics : folder.read_metrics()) {
    if (metrics.epoch == epoch) return metrics.val_ci95;
  }
  throw Error(
      fmt::format("{}: has no validation of epoch {}; remove the run's folder to train it "
                  "anew",
                  folder.metrics_file().string(), epoch));
}

/// Begins, continues or just reads the cell's run. Nothing when it was interrupted.
std::optional<SweepCell> train_cell(const Sweep& sweep, const Metric& metric) {
  Config config = sweep.config;
  config.metric = metric;
  const fs::path path = sweep.out / path_name(metric);
  const bool resumed = RunFolder::holds_run(path);
  const RunFolder folder =
      resumed ? RunFolder::open(path) : RunFolder::create(config, path.string());
  const RunLock lock(folder);
  Trainer trainer(sweep.backend, config, sweep.dataset, folder);
  const std::string warning = resumed ? trainer.resume() : "";
  if (!trainer.has_ended()) {
    if (!warning.empty()) warn(warning);
    const auto stop = [&] { return sweep.interrupt.requested(); };
    if (trainer.run(sweep.progress, stop) == Trainer::Outcome::interrupted) return std::nullopt;
  }
  const TrainingState& state = trainer.state();
  return SweepCell{metric,          state.best_accuracy, validation_ci95(folder, state.best_epoch),
                   state.best_loss, state.best_epoch,    path.string()};
}

/// All cells, or nothing when it was interrupted.
std::optional<std::vector<SweepCell>> train_cells(const Sweep& sweep,
                                                  const std::vector<Metric>& metrics) {
  std::vector<SweepCell> cells;
  for (const Metric& metric : metrics) {
    const std::string name =
        fmt::format("cell {} of {}, {}", cells.size() + 1, metrics.size(), to_string(metric));
    sweep.progress.line(name);
    try {
      const std::optional<SweepCell> cell = train_cell(sweep, metric);
      if (!cell || sweep.interrupt.requested()) return std::nullopt;
      cells.push_back(*cell);
    } catch (const UsageError& error) {
      throw UsageError(fmt::format("{}: {}", name, error.what()));
    } catch (const Error& error) {
      throw Error(fmt::format("{}: {}; a sweep without this cell goes on with the others", name,
                              error.what()));
    }
  }
  return cells;
}

/// Test accuracy of a run's best model; nothing when it was interrupted.
std::optional<Estimate> test_accuracy(const Sweep& sweep, const SweepCell& cell) {
  const Checkpoint checkpoint =
      load_model(sweep.backend, RunFolder::open(cell.run).best_checkpoint());
  const Config& config = sweep.config;
  sweep.progress.start("test of " + to_string(cell.metric));
  EvaluationOptions options = evaluation_options(config);
  options.metric = cell.metric;
  options.progress = [&](std::int64_t done, std::int64_t all) {
    sweep.progress.update({.done = done, .total = all, .unit = "steps"});
    return !sweep.interrupt.requested();
  };
  const EpisodeScores scores =
      evaluate(sweep.backend, *checkpoint.model, make_resident(sweep.backend, sweep.dataset),
               test_sampler(config, sweep.dataset), 0, config.test.episodes, options);
  sweep.progress.finish();
  if (sweep.interrupt.requested()) return std::nullopt;
  return estimate(scores.accuracy);
}

/// Writes figure8.*. Returns what kept it from being drawn, empty when nothing did.
std::string draw_figure(const fs::path& out, const std::vector<SweepCell>& cells,
                        const Metric& reference, Progress& progress) {
  const Figure figure = sweep_figure(cells, sweep_reference(cells, reference));
  if (figure.panels.empty()) {
    progress.line("no figure: it shows LSED and temperatures, and there are none");
    return "";
  }
  return try_draw(figure, out / "figure8");
}

bool has_test_split(const Dataset& dataset) {
  return !dataset.classes(Split::test).empty();
}

/// test: nothing where the data set has no test split.
void report(const Sweep& sweep, const std::vector<SweepCell>& cells,
            const std::optional<Estimate>& test, bool as_json) {
  const SweepCell& chosen = chosen_cell(cells);
  nlohmann::json result{{"cells", nlohmann::json::array()},
                        {"chosen", to_string(chosen.metric)},
                        {"test_accuracy", nullptr},
                        {"test_ci95", nullptr}};
  if (test) {
    result["test_accuracy"] = test->mean;
    result["test_ci95"] = test->ci95;
  }
  for (const SweepCell& cell : cells) result["cells"].push_back(to_json(cell));
  write_file_atomically(sweep.out / "summary.json", json_text(result, 2));
  if (as_json) {
    print_json(result);
    return;
  }
  const std::string tested =
      test ? fmt::format("test accuracy of {}: {:.2f} +- {:.2f} % ({} episodes)",
                         to_string(chosen.metric), 100 * test->mean, 100 * test->ci95,
                         sweep.config.test.episodes)
           : "not tested: the data set has no test split";
  const std::string text =
      fmt::format("{}chosen by validation accuracy: {}\n{}\nresults: {}\n", sweep_table(cells),
                  to_string(chosen.metric), tested, sweep.out.string());
  std::fputs(text.c_str(), stdout);
}

/// Each of the lists' texts, at its commas.
SweepLists split(SweepLists lists) {
  for (std::vector<std::string>* list : {&lists.s, &lists.r, &lists.temperature, &lists.metric}) {
    std::vector<std::string> entries;
    for (const std::string& text : *list) {
      for (std::string& entry : split_text(text, ',')) entries.push_back(std::move(entry));
    }
    *list = std::move(entries);
  }
  return lists;
}

int interrupted() {
  std::fputs("interrupted; the same command continues the sweep\n", stderr);
  return kExitInterrupted;
}

int sweep(const SweepFlags& flags) {
  Config config = checked_config(flags);
  const SweepLists lists = split(flags.lists);
  if (!lists.empty()) sweep_metrics(lists, config.metric);  // what is wrong is said first
  if (flags.config.print_config(config, flags.output.json)) return kExitDone;
  PROTOLITH_CHECK_USAGE(!flags.out.empty(), "--out DIR is needed: where the runs and results go");
  const std::vector<Metric> metrics = sweep_metrics(lists, config.metric);
  const Metric reference = flags.reference.empty() ? config.metric : Metric::parse(flags.reference);
  PROTOLITH_CHECK_USAGE(flags.reference.empty() ||
                            std::find(metrics.begin(), metrics.end(), reference) != metrics.end(),
                        "--reference {}: is none of the sweep's metrics; add it with --metric {}",
                        flags.reference, flags.reference);
  const InterruptGuard interrupt;
  const std::unique_ptr<Backend> backend = open_backend(config, flags.output.quiet);
  const Dataset dataset = open_data(config, flags.output.quiet);
  make_data_absolute(config);
  check_outside_data(config, flags.out);
  // Before the first cell: what cannot be tested must not be trained for hours.
  check_episodes(config, dataset);
  if (has_test_split(dataset)) {
    test_sampler(config, dataset);
  } else {
    warn("the data set has no test split: metrics are compared by validation accuracy alone");
  }
  const fs::path out = fs::path(flags.out).lexically_normal();
  keep_settings(out / "settings.json", sweep_settings(config, dataset));

  Progress progress(flags.output.quiet);
  const Sweep sweep{config, *backend, dataset, out, interrupt, progress};
  const std::optional<std::vector<SweepCell>> cells = train_cells(sweep, metrics);
  if (!cells) return interrupted();
  std::optional<Estimate> test;
  if (has_test_split(dataset)) {
    test = test_accuracy(sweep, chosen_cell(*cells));
    if (!test) return interrupted();
  }
  write_file_atomically(out / "sweep.csv", sweep_csv(*cells));
  const std::string failure = draw_figure(out, *cells, reference, progress);
  report(sweep, *cells, test, flags.output.json);
  PROTOLITH_CHECK(failure.empty(), "{}", failure);
  return kExitDone;
}

void add_lists(CLI::App& command, SweepFlags& flags) {
  const auto add = [&](const char* name, std::vector<std::string>& list, const char* help) {
    command.add_option(name, list, help)
        ->type_name("LIST")
        ->allow_extra_args(false)
        ->group("Sweep");
  };
  add("--s", flags.lists.s, "LSED's thresholds, each with every r (default: the preset's)");
  add("--r", flags.lists.r, "LSED's slopes, each with every s (default: the preset's)");
  add("--temperature", flags.lists.temperature, "softmax temperatures");
  add("--metric", flags.lists.metric, "further metrics: sed, lsed:S:R or temperature:T");
  command
      .add_option("--reference", flags.reference,
                  "the LSED whose s and r the figure varies (default: the preset's where it is a "
                  "cell, else the first)")
      ->type_name("METRIC")
      ->group("Sweep");
}

}  // namespace

void add_sweep_command(CommandLine& program) {
  const auto flags = std::make_shared<SweepFlags>();
  CLI::App& command = program.add_command(
      "sweep", "Train with several metrics, choose one by validation and test that one",
      "  protolith sweep --s 0,4 --r 0.1,0.01 --out runs/sweep      (preset demo)\n"
      "  protolith sweep --preset omniglot-20w1s-lsed --data omniglot:data/omniglot \\\n"
      "      --r 1,0.1,0.01,0.001 --metric sed --out runs/slopes\n"
      "\n"
      "Each metric is a run in DIR/METRIC from the same seed. Ctrl-C saves and exits with 130; "
      "the\n"
      "same command continues, and more metrics may be added to a sweep. DIR also gets sweep.csv,\n"
      "summary.json and figure8.{csv,svg,png}. The test split, where there is one, is used once, "
      "for\n"
      "the chosen metric.",
      [flags] { return sweep(*flags); });
  add_lists(command, *flags);
  flags->config = ConfigFlags(command,
                              {OptionGroup::experiment, OptionGroup::data, OptionGroup::model,
                               OptionGroup::episodes, OptionGroup::schedule, OptionGroup::device},
                              {"metric", "s", "r", "temperature"});
  command.add_option("--out", flags->out, "the sweep's folder, made or continued")
      ->type_name("DIR")
      ->group("Output");
  flags->output.add_to(command);
}

}  // namespace protolith
