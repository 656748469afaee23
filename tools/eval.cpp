// `protolith eval`: few-shot accuracy of a run or a checkpoint, alone or against another on the
// same episodes.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>

#include "data/preparation.h"
#include "engine/file.h"
#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/json_text.h"
#include "tools/model_source.h"
#include "tools/progress.h"
#include "tools/run_folder.h"
#include "tools/session.h"
#include "tools/trainer.h"

namespace protolith {
namespace {

struct EvalFlags {
  ConfigFlags config;
  OutputFlags output;
  std::string model, compare, split = "test", bn_eval;
  std::optional<std::int64_t> way, shot, query, episodes;
};

/// Besides --data with the data that a model was trained on, how it comes to images like those.
std::string other_images(const CheckpointInfo& info) {
  const Conv4Options& encoder = info.encoder;
  const bool of_files =
      encoder.height == encoder.width && (encoder.channels == 1 || encoder.channels == 3);
  if (of_files &&
      preparation_of(info.preprocessing, encoder.height, encoder.width, encoder.channels).kind !=
          ImageKind::picture) {
    return "; 'protolith classify' and 'embed' make such images of files, folder:PATH does not";
  }
  return fmt::format(", or for folder:PATH --image-size {} --image-mode {}", encoder.height,
                     encoder.channels == 1 ? "grey" : "rgb");
}

void check_images(const ModelSource& candidate, const Dataset& dataset) {
  const Shape& shape = dataset.images.shape();
  const CheckpointInfo& info = candidate.checkpoint.info;
  const Conv4Options& encoder = info.encoder;
  const std::string remedy = other_images(info);
  PROTOLITH_CHECK_USAGE(
      encoder.height == shape[1] && encoder.width == shape[2] && encoder.channels == shape[3],
      "{} was trained on {}x{} images of {} channels, the data set has {}x{} of {}; use --data "
      "with the data it was trained on{}",
      candidate.name, encoder.height, encoder.width, encoder.channels, shape[1], shape[2], shape[3],
      remedy);
  if (!info.preprocessing.empty() && info.preprocessing != dataset.preprocessing) {
    warn(
        fmt::format("{} was trained on images prepared as '{}', these are '{}': its accuracy may "
                    "suffer; use --data with the data it was trained on{}",
                    candidate.name, info.preprocessing, dataset.preprocessing, remedy));
  }
}

/// A retraining has seen the validation classes. A folder's classes are dealt out anew when one
/// comes or goes: then classes that a run was trained on may be tested.
void check_split(const ModelSource& candidate, Split split, const Dataset& dataset,
                 bool names_data) {
  if (candidate.config.trainval && split == Split::val) {
    warn(
        fmt::format("{}: was trained on the validation classes too (--trainval): its accuracy on "
                    "them is not that on unseen classes",
                    candidate.name));
  }
  if (!candidate.is_run || dataset.kind != "folder") return;
  const auto file = RunFolder::open(candidate.name).last_checkpoint();
  if (!std::filesystem::exists(file)) return;
  const std::string identity = read_training_state(file).identity;
  const bool of_folder = identity.find("\nsplit = ") != std::string::npos;
  if (!of_folder || identity.find("\n" + split_identity(dataset)) != std::string::npos) return;
  const std::string changed = fmt::format(
      "{}: the classes of the data, or their split, are not those it was trained with: it may be "
      "tested on classes that it has seen",
      candidate.name);
  PROTOLITH_CHECK_USAGE(names_data,
                        "{}; restore the folder, give its lists with --split-lists, or name other "
                        "data with --data",
                        changed);
  warn(changed);
}

EpisodeScores score(Backend& backend, ModelSource& candidate, const EvalFlags& flags,
                    const ResidentImages& images, const EpisodeSampler& sampler,
                    std::int64_t episodes, Progress& progress, const InterruptGuard& interrupt) {
  progress.start(candidate.name);
  const std::string& statistics = flags.bn_eval.empty() ? candidate.config.bn_eval : flags.bn_eval;
  const EvaluationOptions options{.metric = candidate.checkpoint.info.metric,
                                  .distance = candidate.checkpoint.info.distance,
                                  .episode_statistics = statistics == "episode",
                                  .progress = [&](std::int64_t done, std::int64_t all) {
                                    progress.update({.done = done, .total = all, .unit = "steps"});
                                    return !interrupt.requested();
                                  }};
  EpisodeScores scores =
      evaluate(backend, *candidate.checkpoint.model, images, sampler, 0, episodes, options);
  progress.finish();
  for (const double loss : scores.loss) {
    PROTOLITH_CHECK(std::isfinite(loss), "{}: the loss of a test episode is {}", candidate.name,
                    loss);
  }
  return scores;
}

constexpr std::int64_t kMostEpisodes = 1'000'000;

/// The first model's test episodes, changed by flags.
EpisodeConfig episodes_of(const Config& config, const EvalFlags& flags) {
  const auto chosen = [](std::optional<std::int64_t> value, const char* name, std::int64_t least,
                         std::int64_t otherwise) {
    PROTOLITH_CHECK_USAGE(!value || (*value >= least && *value <= kMostEpisodes),
                          "{} {}: must be an integer from {} to {}", name, *value, least,
                          kMostEpisodes);
    return value.value_or(otherwise);
  };
  return {.way = static_cast<int>(chosen(flags.way, "--way", 2, config.test.way)),
          .shot = static_cast<int>(chosen(flags.shot, "--shot", 1, config.test.shot)),
          .query = static_cast<int>(chosen(flags.query, "--query", 1, config.test.query)),
          .episodes = chosen(flags.episodes, "--episodes", 1, config.test.episodes)};
}

std::string line(const std::string& name, const Estimate& accuracy, const Estimate& loss) {
  return fmt::format("{}: accuracy {}, loss {:.4f}\n", name, percent_text(accuracy), loss.mean);
}

nlohmann::json result_json(const EvalFlags& flags, const EpisodeConfig& episodes,
                           const EpisodeScores& scores, const std::string& device) {
  const Estimate accuracy = estimate(scores.accuracy);
  return {{"accuracy", accuracy.mean},
          {"ci95", accuracy.ci95},
          {"loss", estimate(scores.loss).mean},
          {"episodes", scores.accuracy.size()},
          {"split", flags.split},
          {"way", episodes.way},
          {"shot", episodes.shot},
          {"query", episodes.query},
          {"device", device}};
}

void report(const EvalFlags& flags, const EpisodeConfig& episodes, const EpisodeScores& first,
            const std::optional<EpisodeScores>& second, const std::string& device) {
  nlohmann::json result = result_json(flags, episodes, first, device);
  std::string text =
      fmt::format("{} episodes of the {} split, {}-way {}-shot, {} queries per class\n",
                  first.accuracy.size(), flags.split, episodes.way, episodes.shot, episodes.query) +
      line(flags.model, estimate(first.accuracy), estimate(first.loss));
  if (second) {
    std::vector<double> differences(first.accuracy.size());
    for (std::size_t i = 0; i < differences.size(); ++i) {
      differences[i] = second->accuracy[i] - first.accuracy[i];
    }
    const Estimate difference = estimate(differences);
    const Estimate other = estimate(second->accuracy);
    const Estimate other_loss = estimate(second->loss);
    result.update({{"other_accuracy", other.mean},
                   {"other_ci95", other.ci95},
                   {"other_loss", other_loss.mean},
                   {"difference", difference.mean},
                   {"difference_ci95", difference.ci95}});
    text += line(flags.compare, other, other_loss);
    text += fmt::format(
        "difference on the same episodes ({} - {}): {:+.2f}{} points\n", flags.compare, flags.model,
        100 * difference.mean,
        std::isnan(difference.ci95) ? "" : fmt::format(" +- {:.2f}", 100 * difference.ci95));
  }
  if (flags.output.json) {
    print_json(result);
  } else {
    std::fputs(text.c_str(), stdout);
  }
}

/// Whether the evaluation is the run's own: of its data, seed and batch-norm statistics.
bool is_own(const ModelSource& candidate, const Config& config, const EvalFlags& flags) {
  if (!candidate.is_run || (!flags.bn_eval.empty() && flags.bn_eval != candidate.config.bn_eval)) {
    return false;
  }
  const std::vector<std::string> differing = differing_keys(config, candidate.config);
  return std::none_of(differing.begin(), differing.end(), [](const std::string& key) {
    return key == "data" || key == "seed" || find_option(key)->for_folders;
  });
}

/// Leaves the result in the run's folder, where reports find it. A folder that cannot be written
/// costs no result.
void record(const ModelSource& candidate, const Config& config, const EvalFlags& flags,
            const EpisodeConfig& episodes, const EpisodeScores& scores, const std::string& device) {
  if (!is_own(candidate, config, flags)) return;
  if (!holds_model(candidate.file, *candidate.checkpoint.model)) {
    warn(
        fmt::format("{} has another model than the one evaluated: its training goes on; the "
                    "result is not kept in its folder",
                    candidate.file.string()));
    return;
  }
  try {
    write_file_atomically(RunFolder::open(candidate.name).evaluation_file(),
                          json_text(result_json(flags, episodes, scores, device)));
  } catch (const Error& error) {
    warn(error.what());
  }
}

int eval(const EvalFlags& flags) {
  const Split split = parse_split(flags.split);
  PROTOLITH_CHECK_USAGE(
      flags.bn_eval.empty() || flags.bn_eval == "running" || flags.bn_eval == "episode",
      "--bn-eval {}: must be running or episode", flags.bn_eval);
  const InterruptGuard interrupt;
  const Assignments given = flags.config.given();
  Config device;  // no model's configuration yet, of which data flags may be part
  apply(device, given);
  const std::unique_ptr<Backend> backend = open_backend(device, flags.output.quiet);
  // Every model first: a typing error must not cost an evaluation.
  ModelSource first = open_model(*backend, flags.model);
  std::optional<ModelSource> second;
  if (!flags.compare.empty()) second = open_model(*backend, flags.compare);

  const bool names_data = std::any_of(given.begin(), given.end(),
                                      [](const Assignment& a) { return a.option->key == "data"; });
  PROTOLITH_CHECK_USAGE(first.is_run || names_data,
                        "{} is a checkpoint, which does not know where its data lies; say so with "
                        "--data, for example --data omniglot:FOLDER",
                        flags.model);
  const Config config = flags.config.over(first.config);
  const EpisodeConfig episodes = episodes_of(config, flags);
  const Dataset dataset = open_data(config, flags.output.quiet);
  check_images(first, dataset);
  check_split(first, split, dataset, names_data);
  if (second) {
    check_images(*second, dataset);
    check_split(*second, split, dataset, true);
  }
  const EpisodeSampler sampler(dataset.required_classes(split), episode_shape(episodes),
                               config.seed, split);
  const ResidentImages images = make_resident(*backend, dataset);
  Progress progress(flags.output.quiet);
  const auto run = [&](ModelSource& candidate) {
    return score(*backend, candidate, flags, images, sampler, episodes.episodes, progress,
                 interrupt);
  };
  const EpisodeScores scores = run(first);
  std::optional<EpisodeScores> others;
  if (second && !interrupt.requested()) others = run(*second);
  if (interrupt.requested()) {
    std::fputs("protolith: interrupted; nothing was measured\n", stderr);
    return kExitInterrupted;
  }
  const std::string used = backend->description();
  record(first, config, flags, episodes, scores, used);
  if (others) record(*second, config, flags, episodes, *others, used);
  report(flags, episodes, scores, others, used);
  return kExitDone;
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
      "A run brings its data, its test episodes and its seed along; flags change them. A\n"
      "checkpoint file brings none: it needs --data, and is tested 20-way 1-shot with 15 queries\n"
      "on 1,000 episodes by the running batch-norm statistics where flags do not say otherwise.\n"
      "The interval is 1.96 standard errors of the mean over the episodes; one episode has none.\n"
      "A run's folder keeps the last evaluation of its best model on its own data, with its own\n"
      "seed and batch-norm statistics, as eval.json.",
      [flags] { return eval(*flags); });
  command.add_option("model", flags->model, "a run folder (its best model) or a checkpoint file")
      ->type_name("RUN-or-CHECKPOINT")
      ->required();
  command.add_option("--compare", flags->compare, "a second model, evaluated on the same episodes")
      ->type_name("RUN-or-CHECKPOINT");
  command.add_option("--split", flags->split, "of whose classes the episodes are made")
      ->type_name("train|val|test|trainval")
      ->capture_default_str();
  command.add_option("--way", flags->way, "classes per episode (default: the run's)")
      ->transform(decimal());
  command.add_option("--shot", flags->shot, "support images per class (default: the run's)")
      ->transform(decimal());
  command.add_option("--query", flags->query, "query images per class (default: the run's)")
      ->transform(decimal());
  command.add_option("--episodes", flags->episodes, "episodes (default: the run's test episodes)")
      ->transform(decimal());
  command
      .add_option("--bn-eval", flags->bn_eval,
                  "batch-norm statistics: running, or those of each episode (default: the run's)")
      ->type_name("running|episode");
  flags->config = ConfigFlags(command, {OptionGroup::data, OptionGroup::device});
  flags->output.add_to(command);
}

}  // namespace protolith
