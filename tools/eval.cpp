// `protolith eval`: few-shot accuracy of a run or a checkpoint, alone or against another on the
// same episodes.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "tools/checkpoint.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/progress.h"
#include "tools/run_folder.h"
#include "tools/session.h"

namespace protolith {
namespace {

struct EvalFlags {
  ConfigFlags config;
  OutputFlags output;
  std::string model, compare, split = "test";
  std::optional<int> way, shot, query;
  std::optional<std::int64_t> episodes;
};

/// A model to evaluate and the settings it brings along.
struct Candidate {
  std::filesystem::path file;
  Config config;
};

/// A run folder (its best checkpoint; its last one where there is no best, as after --trainval), or
/// a checkpoint file, which is evaluated with the defaults of its data.
Candidate find_candidate(const std::string& path) {
  if (!std::filesystem::is_directory(path)) {
    PROTOLITH_CHECK_USAGE(std::filesystem::exists(path),
                          "{}: no such run folder or checkpoint; train one with 'protolith train'",
                          path);
    return {path, Config{}};
  }
  const RunFolder run = RunFolder::open(path);
  const Config config = run.config();
  const bool has_best = std::filesystem::exists(run.best_checkpoint());
  const auto file = has_best && !config.trainval ? run.best_checkpoint() : run.last_checkpoint();
  PROTOLITH_CHECK_USAGE(std::filesystem::exists(file),
                        "{} has no checkpoint yet; its training has to finish an epoch", path);
  return {file, config};
}

EpisodeScores score(Backend& backend, const Candidate& candidate, const Config& config,
                    const Dataset& dataset, const ResidentImages& images,
                    const EpisodeSampler& sampler, Progress& progress,
                    const InterruptGuard& interrupt) {
  Checkpoint checkpoint = load_model(backend, candidate.file);
  const Shape& shape = dataset.images.shape();
  const Conv4Options& encoder = checkpoint.info.encoder;
  PROTOLITH_CHECK_USAGE(
      encoder.height == shape[1] && encoder.width == shape[2] && encoder.channels == shape[3],
      "{} was trained on {}x{} images of {} channels, the data set has {}x{} of {}; use --data "
      "with "
      "the data it was trained on",
      candidate.file.string(), encoder.height, encoder.width, encoder.channels, shape[1], shape[2],
      shape[3]);
  if (!checkpoint.info.preprocessing.empty() &&
      checkpoint.info.preprocessing != dataset.preprocessing) {
    warn(fmt::format("{} was trained on images prepared as '{}', these are '{}'",
                     candidate.file.string(), checkpoint.info.preprocessing,
                     dataset.preprocessing));
  }
  progress.start(candidate.file.string());
  const EvaluationOptions options{.metric = checkpoint.info.metric,
                                  .distance = checkpoint.info.distance,
                                  .episode_statistics = config.bn_eval == "episode",
                                  .progress = [&](std::int64_t done, std::int64_t all) {
                                    progress.update({.done = done, .total = all});
                                    return !interrupt.requested();
                                  }};
  EpisodeScores scores =
      evaluate(backend, *checkpoint.model, images, sampler, 0, config.test.episodes, options);
  progress.finish();
  return scores;
}

void apply_shape(Config& config, const EvalFlags& flags) {
  const auto positive = [](const auto& value, const char* name, int least) {
    PROTOLITH_CHECK_USAGE(!value || *value >= least, "{} {}: at least {}", name, *value, least);
  };
  positive(flags.way, "--way", 1);
  positive(flags.shot, "--shot", 1);
  positive(flags.query, "--query", 1);
  positive(flags.episodes, "--episodes", 1);
  config.test.way = flags.way.value_or(config.test.way);
  config.test.shot = flags.shot.value_or(config.test.shot);
  config.test.query = flags.query.value_or(config.test.query);
  config.test.episodes = flags.episodes.value_or(config.test.episodes);
}

std::string line(const std::string& name, const Estimate& accuracy, const Estimate& loss) {
  return fmt::format("{}: accuracy {:.2f} +- {:.2f} %, loss {:.4f}\n", name, 100 * accuracy.mean,
                     100 * accuracy.ci95, loss.mean);
}

int report(const EvalFlags& flags, const Config& config, const EpisodeScores& first,
           const EpisodeScores& second) {
  const Estimate accuracy = estimate(first.accuracy);
  const Estimate loss = estimate(first.loss);
  nlohmann::json result{{"accuracy", accuracy.mean}, {"ci95", accuracy.ci95},
                        {"loss", loss.mean},         {"episodes", first.accuracy.size()},
                        {"split", flags.split},      {"way", config.test.way},
                        {"shot", config.test.shot},  {"query", config.test.query}};
  std::string text =
      fmt::format("{} episodes of the {} split, {}-way {}-shot, {} queries per class\n",
                  first.accuracy.size(), flags.split, config.test.way, config.test.shot,
                  config.test.query) +
      line(flags.model, accuracy, loss);
  if (!flags.compare.empty()) {
    std::vector<double> differences(first.accuracy.size());
    for (std::size_t i = 0; i < differences.size(); ++i) {
      differences[i] = second.accuracy[i] - first.accuracy[i];
    }
    const Estimate difference = estimate(differences);
    const Estimate other = estimate(second.accuracy);
    result.update({{"other_accuracy", other.mean},
                   {"other_ci95", other.ci95},
                   {"other_loss", estimate(second.loss).mean},
                   {"difference", difference.mean},
                   {"difference_ci95", difference.ci95}});
    text += line(flags.compare, other, estimate(second.loss));
    text += fmt::format("difference on the same episodes ({} - {}): {:+.2f} +- {:.2f} points\n",
                        flags.compare, flags.model, 100 * difference.mean, 100 * difference.ci95);
  }
  if (flags.output.json) {
    print_json(result);
  } else {
    std::fputs(text.c_str(), stdout);
  }
  return kExitDone;
}

int eval(const EvalFlags& flags) {
  const Split split = parse_split(flags.split);
  const Candidate candidate = find_candidate(flags.model);
  Config config = flags.config.over(candidate.config);
  apply_shape(config, flags);
  const InterruptGuard interrupt;
  const std::unique_ptr<Backend> backend = open_backend(config);
  const Dataset dataset = open_data(config.data, flags.output.quiet);
  const EpisodeSampler sampler(dataset.classes(split), episode_shape(config.test), config.seed,
                               split);
  const ResidentImages images = make_resident(*backend, dataset);
  Progress progress(flags.output.quiet);
  const auto run = [&](const Candidate& c) {
    return score(*backend, c, config, dataset, images, sampler, progress, interrupt);
  };
  const EpisodeScores first = run(candidate);
  EpisodeScores second;
  if (!flags.compare.empty() && !interrupt.requested()) second = run(find_candidate(flags.compare));
  if (interrupt.requested()) return kExitInterrupted;
  return report(flags, config, first, second);
}

}  // namespace

void add_eval_command(CommandLine& program) {
  const auto flags = std::make_shared<EvalFlags>();
  CLI::App& command = program.add_command(
      "eval", "Measure a model's few-shot accuracy, or compare two models on the same episodes",
      "  protolith eval runs/sed\n"
      "  protolith eval runs/sed --way 5 --shot 5 --episodes 600\n"
      "  protolith eval runs/sed --compare runs/lsed --json\n"
      "  protolith eval model.safetensors --data omniglot:data/omniglot\n"
      "\n"
      "A run brings its data, its test episodes and its seed along; flags change them. The\n"
      "interval is 1.96 standard errors of the mean over the episodes.",
      [flags] { return eval(*flags); });
  command.add_option("model", flags->model, "a run folder (its best model) or a checkpoint file")
      ->type_name("RUN-or-CHECKPOINT")
      ->required();
  command.add_option("--compare", flags->compare, "a second model, evaluated on the same episodes")
      ->type_name("RUN-or-CHECKPOINT");
  command.add_option("--split", flags->split, "train, val or test")->capture_default_str();
  command.add_option("--way", flags->way, "classes per episode (default: the run's)");
  command.add_option("--shot", flags->shot, "support images per class (default: the run's)");
  command.add_option("--query", flags->query, "query images per class (default: the run's)");
  command.add_option("--episodes", flags->episodes, "episodes (default: the run's test episodes)");
  flags->config = ConfigFlags(command, {OptionGroup::data, OptionGroup::device});
  flags->output.add_to(command);
}

}  // namespace protolith
