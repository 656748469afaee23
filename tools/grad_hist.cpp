// `protolith grad-hist`: the gradients that the loss sends to the distances early in training, with
// their histograms (Shen & Liu, Figures 3 to 7).
#include <CLI/CLI.hpp>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/file.h"
#include "engine/text.h"
#include "tools/command.h"
#include "tools/gradient_files.h"
#include "tools/interrupt.h"
#include "tools/json_text.h"
#include "tools/model_source.h"
#include "tools/progress.h"
#include "tools/session.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

struct GradHistFlags {
  ConfigFlags config;
  OutputFlags output;
  std::string metrics, at = "0", checkpoint, out = "grad-hist", gradient = "softmax";
};

/// "0,8,16": ascending iterations.
std::vector<std::int64_t> parse_iterations(const std::string& text) {
  constexpr std::int64_t kMost = 1'000'000'000;
  std::vector<std::int64_t> iterations;
  for (const std::string& part : split_text(text, ',')) {
    std::int64_t value = 0;
    const char* const last = part.data() + part.size();
    const auto [end, error] = std::from_chars(part.data(), last, value);
    PROTOLITH_CHECK_USAGE(error == std::errc() && end == last && value >= 0 && value <= kMost,
                          "--at {}: '{}' is not an iteration, an integer from 0 to {}", text, part,
                          kMost);
    PROTOLITH_CHECK_USAGE(iterations.empty() || iterations.back() < value,
                          "--at {}: {} does not come after {}; give each iteration once, in order",
                          text, value, iterations.back());
    iterations.push_back(value);
  }
  return iterations;
}

/// A configuration for each metric, which differ in nothing else; one where no metric is given.
std::vector<Config> configurations(const GradHistFlags& flags) {
  if (flags.metrics.empty()) return {flags.config.resolve()};
  std::vector<Config> configs;
  for (const std::string& text : split_text(flags.metrics, ',')) {
    const Assignment metric{find_option("metric"), text, "--metric " + text};
    configs.push_back(flags.config.resolve({metric}));
    for (std::size_t i = 0; i + 1 < configs.size(); ++i) {
      PROTOLITH_CHECK_USAGE(!(configs[i].metric == configs.back().metric),
                            "--metric {}: {} is there twice", flags.metrics, text);
    }
  }
  return configs;
}

fs::path make_folder(const std::string& out) {
  const fs::path folder(out);
  std::error_code error;
  PROTOLITH_CHECK_USAGE(!fs::exists(folder, error) || fs::is_empty(folder, error),
                        "--out {}: exists and is not empty; give a new folder", out);
  PROTOLITH_CHECK(!error, "{}: cannot be read: {}", out, error.message());
  fs::create_directories(folder, error);
  PROTOLITH_CHECK(!error, "{}: cannot be made: {}; give another folder with --out", out,
                  error.message());
  return folder;
}

/// The network of --checkpoint, checked to be one that the configuration trains.
Checkpoint open_network(Backend& backend, const std::string& path, const Conv4Options& wanted) {
  Checkpoint checkpoint = open_model(backend, path).checkpoint;
  const Conv4Options& found = checkpoint.info.encoder;
  PROTOLITH_CHECK_USAGE(
      found == wanted,
      "--checkpoint {}: its encoder takes {}x{}x{} images {} the last pool, the configuration's "
      "{}x{}x{} {}; give --data, --preset or --last-pool to match",
      path, found.height, found.width, found.channels, found.last_pool ? "with" : "without",
      wanted.height, wanted.width, wanted.channels, wanted.last_pool ? "with" : "without");
  return checkpoint;
}

/// What the program works on while it collects records.
struct Collection {
  Backend& backend;
  const Dataset& dataset;
  const GradHistFlags& flags;
  const fs::path& folder;
  Progress& progress;
  const InterruptGuard& interrupt;
  std::vector<GradientRecord> records = {};
};

/// Trains one network and records what --at asks for. A loss that is no longer finite ends it,
/// after it was recorded: what went wrong is returned. So does an interruption.
std::string collect(Collection& c, const Config& config, const std::vector<std::int64_t>& at) {
  Learner learner(c.backend, config, c.dataset);
  if (!c.flags.checkpoint.empty()) {
    Conv4& model = learner.model();
    model.load_state(open_network(c.backend, c.flags.checkpoint, model.options()).model->state());
  }
  const EpisodeSampler sampler = training_sampler(config, c.dataset);
  c.progress.start(to_string(config.metric));
  auto next = at.begin();
  for (std::int64_t iteration = 0; iteration <= at.back(); ++iteration) {
    if (c.interrupt.requested()) break;
    const bool wanted = iteration == *next;
    const auto record = [&](const LossDiagnostics& diagnostics, const Tensor& labels) {
      c.records.push_back({config.metric, iteration,
                           download_pairs(c.backend, diagnostics, labels, config.metric.leaky())});
      write_values(c.folder, c.records.back());
    };
    try {
      learner.step(sampler.sample(static_cast<std::uint64_t>(iteration)), sampler.shape(),
                   wanted ? Learner::Observer(record) : Learner::Observer());
    } catch (const Error& error) {
      return fmt::format("{}, iteration {}: {}", to_string(config.metric), iteration, error.what());
    }
    if (wanted) ++next;
    c.progress.update({.done = iteration + 1, .total = at.back() + 1, .unit = "iterations"});
  }
  c.progress.finish();
  return {};
}

/// The results as a table, a row per record.
std::string table(const nlohmann::json& results) {
  std::string text =
      fmt::format("{:<18}{:>10}{:>12}{:>10}{:>14}{:>14}{:>12}{:>10}\n", "metric", "iteration",
                  "|g| < 1e-5", "inside", "median |g|", "median d_EUC", "max d_EUC", "entropy");
  for (const nlohmann::json& row : results) {
    const auto number = [&](const char* key) { return row[key].get<double>(); };
    text += fmt::format("{:<18}{:>10}{:>11.2f}%{:>9.2f}%{:>14.3g}{:>14.4g}{:>12.4g}{:>10.4f}\n",
                        row["metric"].get<std::string>(), row["iteration"].get<std::int64_t>(),
                        100 * number("share_below_1e-5"), 100 * number("share_inside"),
                        number("gradient_median"), number("distance_median"),
                        number("distance_max"), number("entropy"));
  }
  return text +
         "inside: 1e-3 < |g| < 1 - 1e-3; g = dl/dd with respect to the distance that enters "
         "the softmax\n";
}

void warn_of_nan(const nlohmann::json& results, const std::vector<GradientRecord>& records) {
  for (std::size_t i = 0; i < records.size(); ++i) {
    const auto nan = results[i]["nan"].get<std::int64_t>();
    if (nan == 0) continue;
    warn(
        fmt::format("{}, iteration {}: {} of {} gradients are no numbers (NaN); shares, medians "
                    "and extremes leave them out",
                    to_string(records[i].metric), records[i].iteration, nan,
                    records[i].pairs.softmax_gradient.size()));
  }
}

/// "omniglot, 60-way 1-shot".
std::string episodes_in_words(const Dataset& dataset, const Config& config) {
  return fmt::format("{}, {}-way {}-shot", dataset.kind, config.train.way, config.train.shot);
}

/// Histograms, the summary and the picture; `failure` is thrown once all that is on disk.
void finish(Collection& c, const Config& config, const std::string& failure) {
  const std::vector<RecordCounts> counts = count_records(c.backend, c.records);
  write_counts(c.folder, c.records, counts);
  const nlohmann::json result{{"results", summaries(c.records)}, {"out", c.folder.string()}};
  write_file_atomically(c.folder / "summary.json", json_text(result, 1));
  warn_of_nan(result["results"], c.records);
  if (c.flags.output.json) {
    print_json(result);
  } else {
    std::fputs((table(result["results"]) + "written to " + c.folder.string() + "\n").c_str(),
               stdout);
  }
  PROTOLITH_CHECK(failure.empty(), "{}", failure);
  const std::string source = episodes_in_words(c.dataset, config);
  draw(histogram_figure(c.records, counts, source, c.flags.gradient == "euclidean"),
       c.folder / "figure");
}

int grad_hist(const GradHistFlags& flags) {
  const std::vector<std::int64_t> at = parse_iterations(flags.at);
  PROTOLITH_CHECK_USAGE(flags.gradient == "softmax" || flags.gradient == "euclidean",
                        "--gradient {}: must be softmax or euclidean", flags.gradient);
  const std::vector<Config> configs = configurations(flags);
  if (flags.config.print_config(configs.front(), flags.output.json)) return kExitDone;
  const InterruptGuard interrupt;
  const std::unique_ptr<Backend> backend = open_backend(configs.front(), flags.output.quiet);
  const Dataset dataset = open_data(configs.front(), flags.output.quiet);
  // What throws does so before a folder is made.
  training_sampler(configs.front(), dataset);
  if (!flags.checkpoint.empty()) {
    open_network(*backend, flags.checkpoint, encoder_options(configs.front(), dataset));
  }
  check_outside_data(configs.front(), flags.out);
  const fs::path folder = make_folder(flags.out);
  write_file_atomically(folder / "config.toml", to_toml(configs.front()));
  Progress progress(flags.output.quiet);
  Collection collection{*backend, dataset, flags, folder, progress, interrupt};
  std::string failure;
  for (const Config& config : configs) {
    if (failure.empty() && !interrupt.requested()) failure = collect(collection, config, at);
  }
  if (interrupt.requested()) {
    std::fputs(fmt::format("interrupted; the raw values of {} finished iterations are in {}\n",
                           collection.records.size(), folder.string())
                   .c_str(),
               stderr);
    return kExitInterrupted;
  }
  finish(collection, configs.front(), failure);
  return kExitDone;
}

}  // namespace

void add_grad_hist_command(CommandLine& program) {
  const auto flags = std::make_shared<GradHistFlags>();
  CLI::App& command = program.add_command(
      "grad-hist", "Dump early gradients and distances of query-prototype pairs, with histograms",
      "  protolith grad-hist --metric sed,lsed --at 0,8,16\n"
      "  protolith grad-hist --preset omniglot-20w1s-sed --data omniglot:data/omniglot \\\n"
      "      --metric sed,lsed:0:0.1,lsed:0:0.01 --out fig3\n"
      "  protolith grad-hist --preset omniglot-20w1s-lsed --data omniglot:data/omniglot \\\n"
      "      --checkpoint runs/lsed/best.safetensors --out trained\n"
      "\n"
      "Trains each metric from the same initial network on the same episodes and records, after\n"
      "the iterations of --at, all pairs of the next training episode: raw values (.npy), counts\n"
      "(histograms.csv, .json), figures of all pairs (summary.json) and a picture (figure.svg,\n"
      ".png, by gnuplot). `train --histogram-every N` records the figures and the counts of what\n"
      "enters the softmax in a normal run.",
      [flags] { return grad_hist(*flags); });
  flags->config = ConfigFlags(command,
                              {OptionGroup::experiment, OptionGroup::data, OptionGroup::model,
                               OptionGroup::episodes, OptionGroup::schedule, OptionGroup::device},
                              {"metric"});
  const char* const group = "Histograms";
  command
      .add_option(
          "--metric", flags->metrics,
          "sed, lsed, lsed:S:R or temperature:T; several with commas (default: the preset's)")
      ->type_name("LIST")
      ->group(group);
  command.add_option("--at", flags->at, "training iterations after which to record, in order")
      ->type_name("LIST")
      ->capture_default_str()
      ->group(group);
  command
      .add_option("--checkpoint", flags->checkpoint,
                  "start from this network, a run's best or a checkpoint file's, with a new "
                  "optimizer, not from the initial one")
      ->type_name("RUN-or-CHECKPOINT")
      ->group(group);
  command
      .add_option(
          "--gradient", flags->gradient,
          "what the picture shows: with respect to the distance that enters the softmax, or "
          "to d_EUC")
      ->type_name("softmax|euclidean")
      ->capture_default_str()
      ->group(group);
  command.add_option("--out", flags->out, "the folder to create")
      ->type_name("DIR")
      ->capture_default_str()
      ->group("Output");
  flags->output.add_to(command);
}

}  // namespace protolith
