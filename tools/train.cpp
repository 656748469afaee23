// `protolith train`: trains a model into a run folder, continues one, or retrains on train + val.
#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "tools/child_process.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/output_file.h"
#include "tools/profile_table.h"
#include "tools/session.h"
#include "tools/trainer.h"

namespace protolith {
namespace {

struct TrainFlags {
  ConfigFlags config;
  OutputFlags output;
  ProfileFlags profile;
  std::string out, resume, trainval;
};

/// The configuration of a retraining on train + val: as many epochs as the run's best one took,
/// plus the patience, as the reference implementation of Prototypical Networks does; or as many as
/// flags say.
Config trainval_config(const TrainFlags& flags) {
  const RunFolder source = RunFolder::open(flags.trainval);
  Config config = source.config();
  PROTOLITH_CHECK_USAGE(!config.trainval, "{} is itself a retraining on train + val",
                        flags.trainval);
  config = flags.config.over(config);
  config.trainval = true;
  if (!flags.config.has("episodes")) config.train.episodes = 0;  // no validation: until max_epochs
  if (config.train.episodes > 0 || flags.config.has("max_epochs")) return config;
  const TrainingState state = read_training_state(source.last_checkpoint());
  PROTOLITH_CHECK_USAGE(state.best_epoch >= 1, "{} has no validated epoch yet; train it further",
                        flags.trainval);
  PROTOLITH_CHECK_USAGE(
      state.best_epoch <= kMaxEpisodes / config.epoch_episodes - config.patience,
      "best epoch {} + patience {} with {} episodes each are too many; give --patience",
      state.best_epoch, config.patience, config.epoch_episodes);
  config.max_epochs = state.best_epoch + config.patience;
  return config;
}

Config configuration(const TrainFlags& flags) {
  PROTOLITH_CHECK_USAGE(flags.resume.empty() || flags.trainval.empty(),
                        "--resume and --trainval exclude each other");
  if (flags.resume.empty() && flags.trainval.empty()) return flags.config.resolve();
  PROTOLITH_CHECK_USAGE(!flags.config.has_file(),
                        "--config does not go with --resume or --trainval: they take the run's own "
                        "config.toml");
  if (!flags.trainval.empty()) return trainval_config(flags);
  PROTOLITH_CHECK_USAGE(flags.out.empty(), "--resume continues in its own folder; drop --out");
  return flags.config.over(RunFolder::open(flags.resume).config());
}

void report(const Trainer& trainer, const Config& config, const RunFolder& folder, double seconds,
            bool as_json, const nlohmann::json& profile) {
  const TrainingState& state = trainer.state();
  if (as_json) {
    nlohmann::json result{{"episodes", state.episodes},          {"seconds", seconds},
                          {"run", folder.path().string()},       {"device", state.machine},
                          {"val_accuracy", state.best_accuracy}, {"val_loss", state.best_loss},
                          {"best_epoch", state.best_epoch}};
    if (config.trainval) {  // validates nothing
      for (const char* const key : {"val_accuracy", "val_loss", "best_epoch"})
        result[key] = nullptr;
    }
    if (!profile.is_null()) result["profile"] = profile;
    print_json(result);
    return;
  }
  std::string text = fmt::format("{} episodes in {}", state.episodes, format_duration(seconds));
  if (!config.trainval) {
    text += fmt::format("; {}: validation loss {:.4f}, accuracy {:.2f} %",
                        state.best_epoch > 0 ? fmt::format("best epoch {}", state.best_epoch)
                                             : "less than an epoch",
                        state.best_loss, 100 * state.best_accuracy);
  }
  std::fputs(fmt::format("{}\nrun folder: {}\nnext: {}\n", text, folder.path().string(),
                         shell_line({"protolith", "eval", path_word(folder.path())}))
                 .c_str(),
             stdout);
}

/// Throws UsageError when the trace cannot be written there. Its folder may be the run's, which is
/// yet to be made.
void check_trace(const TrainFlags& flags) {
  if (flags.profile.trace.empty()) return;
  const std::filesystem::path file = absolute_path(flags.profile.trace);
  std::filesystem::path out = flags.out.empty() ? "" : absolute_path(flags.out);
  if (!out.has_filename()) out = out.parent_path();  // "runs/a/"
  PROTOLITH_CHECK_USAGE(file != out && file.has_filename(), "--trace {}: is {}; give a file's name",
                        flags.profile.trace, file == out ? "the run's folder" : "a folder");
  if (file.parent_path() != out || std::filesystem::is_directory(out)) {
    check_output("--trace", file);
  } else {
    PROTOLITH_CHECK_USAGE(!RunFolder::has_file_named(file.filename()),
                          "--trace {}: is a file of the run; give another name",
                          flags.profile.trace);
  }
}

/// Throws UsageError when flags ask for fewer episodes than a resumed run has had.
void check_length(const Trainer& trainer, const Config& config, const std::string& run) {
  PROTOLITH_CHECK_USAGE(
      trainer.state().episodes <= trainer.episode_limit(),
      "{} has had {} episodes, and would end at {} (episodes {}, max_epochs {} of {}); give more "
      "with --episodes or --max-epochs",
      run, trainer.state().episodes, trainer.episode_limit(), config.train.episodes,
      config.max_epochs, config.epoch_episodes);
}

/// Prints the table where one is wanted, unless the result is JSON: then it is returned.
nlohmann::json end_profile(ProfileSession& session, const Backend& backend,
                           const TrainFlags& flags) {
  const ProfileReport report = session.finish();
  if (!flags.profile.table) return {};
  const ProfilePeak peak = measured_peak(backend);
  if (flags.output.json) return profile_json(report, peak);
  std::fputs(profile_table(report, peak).c_str(), stdout);
  return {};
}

/// Says at once, not after hours, that the run cannot be evaluated as it is.
void warn_if_untestable(const Config& config, const Dataset& dataset) {
  try {
    test_sampler(config, dataset);
  } catch (const UsageError& error) {
    warn(fmt::format("'protolith eval' will need other episodes or another split: {}",
                     error.what()));
  }
}

int train(const TrainFlags& flags) {
  const auto start = std::chrono::steady_clock::now();
  Config config = configuration(flags);
  if (flags.config.print_config(config, flags.output.json)) return kExitDone;
  const InterruptGuard interrupt;
  const std::unique_ptr<Backend> backend = open_backend(config, flags.output.quiet);
  check_trace(flags);
  ProfileSession profile(*backend, flags.profile);
  const Dataset dataset = open_data(config, flags.output.quiet);
  const bool resumed = !flags.resume.empty();
  make_data_absolute(config);
  if (interrupt.requested()) {
    std::fputs("interrupted; nothing was begun\n", stderr);
    return kExitInterrupted;
  }
  // A new folder is made once all that may be wrong has been checked.
  if (!resumed) {
    check_outside_data(config, flags.out.empty() ? "runs" : flags.out);
    check_episodes(config, dataset);
    warn_if_untestable(config, dataset);
    profile.check(1, episode_limit(config));
  }
  const RunFolder folder =
      resumed ? RunFolder::open(flags.resume) : RunFolder::create(config, flags.out);
  const RunLock lock(folder);
  Trainer trainer(*backend, config, dataset, folder);
  if (resumed) {
    const std::string warning = trainer.resume();
    check_length(trainer, config, flags.resume);
    profile.check(trainer.state().episodes + 1, trainer.episode_limit());
    if (!warning.empty()) warn(warning);
    folder.write_config(config);
  }
  profile.open();
  Progress progress(flags.output.quiet);
  progress.line(fmt::format("{} in {}: {}, {} on {}", resumed ? "resuming" : "training",
                            folder.path().string(), to_string(config.metric), config.data,
                            backend->description()));
  if (resumed && trainer.has_ended()) {
    progress.line("it has ended already; --episodes, --max-epochs or --patience give it more");
  }
  const Trainer::Outcome outcome = trainer.run(
      progress, [&] { return interrupt.requested(); }, &profile);
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  const nlohmann::json profiled = end_profile(profile, *backend, flags);
  if (outcome == Trainer::Outcome::interrupted) {
    const std::string run = path_word(folder.path());
    std::fputs(
        fmt::format("interrupted after {} episodes; continue with: {}\n", trainer.state().episodes,
                    shell_line({"protolith", "train", "--resume", run}))
            .c_str(),
        stderr);
    return kExitInterrupted;
  }
  report(trainer, config, folder, elapsed.count(), flags.output.json, profiled);
  return kExitDone;
}

}  // namespace

void add_train_command(CommandLine& program) {
  const auto flags = std::make_shared<TrainFlags>();
  CLI::App& command = program.add_command(
      "train", "Train a model into a run folder, or continue one",
      "  protolith train                                    (preset demo: synthetic data)\n"
      "  protolith train --preset omniglot-20w1s-lsed --data omniglot:data/omniglot\n"
      "  protolith train --preset omniglot-20w1s-sed --data omniglot:data/omniglot \\\n"
      "      --episodes 10000 --out runs/sed\n"
      "  protolith train --preset mini-5w1s-lsed --data mini-imagenet:data/mini_imagenet.tar\n"
      "  protolith train --resume runs/sed --episodes 20000\n"
      "  protolith train --trainval runs/sed --out runs/sed-trainval\n"
      "  protolith train --episodes 40 --profile-episodes 21:40 --trace trace.json --profile\n"
      "\n"
      "Ctrl-C saves and exits with 130; --resume continues with the same numbers.",
      [flags] { return train(*flags); });
  flags->config =
      ConfigFlags(command, {OptionGroup::experiment, OptionGroup::data, OptionGroup::model,
                            OptionGroup::episodes, OptionGroup::schedule, OptionGroup::device});
  command.add_option("--out", flags->out, "the run folder to create (default: runs/NAME)")
      ->type_name("RUN")
      ->group("Output");
  command.add_option("--resume", flags->resume, "continue this run from its last checkpoint")
      ->type_name("RUN")
      ->group("Experiment");
  command
      .add_option("--trainval", flags->trainval,
                  "retrain on the training and validation classes together, with RUN's settings, "
                  "for its best epoch + patience epochs, saving the last model")
      ->type_name("RUN")
      ->group("Experiment");
  flags->profile.add_to(command);
  flags->output.add_to(command);
}

}  // namespace protolith
