#include "tools/trainer.h"

#include <chrono>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/text.h"
#include "tools/gradient_record.h"
#include "tools/options.h"
#include "tools/session.h"

namespace protolith {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

CheckpointInfo checkpoint_info(const Config& config, const Dataset& dataset) {
  return {encoder_options(config, dataset), config.metric, config.distance, dataset.preprocessing};
}

/// The lines of `a` that `b` lacks.
std::string lines_missing(const std::string& a, const std::string& b) {
  const std::vector<std::string> of_b = split_text(b, '\n');
  const std::set<std::string> known(of_b.begin(), of_b.end());
  std::string missing;
  for (const std::string& line : split_text(a, '\n')) {
    if (!known.contains(line)) missing += (missing.empty() ? "" : ", ") + line;
  }
  return missing;
}

/// Of which class, by name, is in which split.
std::uint64_t split_hash(const Dataset& dataset) {
  std::string text;
  for (const std::vector<ImageClass>& split : dataset.splits) {
    for (const ImageClass& c : split) text += c.name + "\n";
    text += "\n";
  }
  return hash_bytes(text.data(), text.size());
}

}  // namespace

std::string split_identity(const Dataset& dataset) {
  // The other kinds have one split.
  if (dataset.kind != "folder") return "";
  return fmt::format("split = {:016x}", split_hash(dataset));
}

std::int64_t episode_limit(const Config& config) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  const std::int64_t by_epochs = config.max_epochs > kMost / config.epoch_episodes
                                     ? kMost
                                     : config.max_epochs * config.epoch_episodes;
  return config.train.episodes > 0 ? std::min(config.train.episodes, by_epochs) : by_epochs;
}

std::string run_identity(const Config& config, const Dataset& dataset) {
  // How long it is trained, and what is tested afterwards, do not change the trained numbers.
  static const std::set<std::string> kFree{
      "preset",          "data",     "episodes",  "patience",   "max_epochs",
      "histogram_every", "test_way", "test_shot", "test_query", "test_episodes"};
  std::string identity = fmt::format("data = {} {} {:016x}", dataset.kind, dataset.preprocessing,
                                     dataset.content_hash);
  // Its images' content and preparation is in the line above.
  const std::string split = split_identity(dataset);
  if (!split.empty()) identity += "\n" + split;
  const nlohmann::json settings = to_json(config);
  for (const auto& [key, value] : settings.items()) {
    const ConfigOption& option = *find_option(key);
    if (kFree.contains(key) || option.for_folders || option.of_machine) continue;
    identity += fmt::format("\n{} = {}", key, value.dump());
  }
  return identity;
}

void check_episodes(const Config& config, const Dataset& dataset) {
  feature_count(encoder_options(config, dataset));
  training_sampler(config, dataset);
  if (!config.trainval) validation_sampler(config, dataset);
}

Trainer::Trainer(Backend& backend, Config config, const Dataset& dataset, const RunFolder& folder)
    : backend_(backend),
      config_(std::move(config)),
      folder_(folder),
      events_(folder.path()),
      info_(checkpoint_info(config_, dataset)),
      learner_(backend, config_, dataset),
      training_(training_sampler(config_, dataset)) {
  if (!config_.trainval) {
    validation_ = std::make_unique<EpisodeSampler>(validation_sampler(config_, dataset));
  }
  state_.identity = run_identity(config_, dataset);
  state_.machine = backend.description();
}

std::string Trainer::resume() {
  const auto file = folder_.last_checkpoint();
  if (!std::filesystem::exists(file)) {
    // The first epoch's line comes before its checkpoint, the second's after it.
    const nlohmann::json last = folder_.last_metrics();
    PROTOLITH_CHECK(last.is_null() || last["epoch"] < 2,
                    "{} is missing, though {} records more than one epoch; put it back, or train "
                    "anew in another folder",
                    file.string(), folder_.metrics_file().string());
    folder_.truncate_metrics(0);
    folder_.truncate_histograms(0);
    return "the run was stopped before its first checkpoint: it starts anew";
  }
  // The settings first: they explain a difference better than the shape of a tensor.
  const TrainingState saved = read_training_state(file);
  PROTOLITH_CHECK_USAGE(saved.identity == state_.identity,
                        "{} was trained with other settings ({}) than asked for now ({}); resume "
                        "with the same ones, or start a new run",
                        file.string(), lines_missing(saved.identity, state_.identity),
                        lines_missing(state_.identity, saved.identity));
  TrainingState restored = load_training(file, learner_, backend_, info_);
  const std::int64_t whole_epochs = restored.episodes / config_.epoch_episodes;
  PROTOLITH_CHECK(restored.epoch == whole_epochs,
                  "{}: {} episodes are {} epochs of {}, not {}: the file is damaged", file.string(),
                  restored.episodes, whole_epochs, config_.epoch_episodes, restored.epoch);
  std::string warning;
  if (restored.machine != state_.machine) {
    warning = fmt::format(
        "the run was trained on '{}' and goes on on '{}': the numbers will not be bit-identical to "
        "an uninterrupted run",
        restored.machine, state_.machine);
    restored.machine = state_.machine;
  }
  state_ = std::move(restored);
  folder_.truncate_metrics(state_.epoch);
  folder_.truncate_histograms(state_.episodes);
  restore_best();
  return warning;
}

bool Trainer::has_ended() const {
  if (state_.episodes >= episode_limit()) return true;
  return validation_ && episodes_in_epoch() == 0 && patience_left() <= 0;
}

Learner::Observer Trainer::observer() {
  if (config_.histogram_every == 0 || state_.episodes % config_.histogram_every != 0) return {};
  return [this](const LossDiagnostics& diagnostics, const Tensor& labels) {
    const nlohmann::json line =
        training_record(backend_, diagnostics, labels, config_.metric.leaky(), state_.episodes);
    folder_.append_histograms(line);
    events_.histograms(line);
  };
}

void Trainer::train_episode() {
  const ProfileRange range(backend_.profiler(), "episode", state_.episodes + 1);
  Episode episode;
  {
    const ProfileRange drawing(backend_.profiler(), "draw episode");
    episode = training_.sample(static_cast<std::uint64_t>(state_.episodes));
  }
  learner_.submit(episode, training_.shape(), observer());
  ++state_.episodes;
}

void Trainer::train_episode(ProfileSession* profile, std::optional<ProfileRange>& epoch) {
  // Reading the results waits for the device: what it does lies on one side of the border.
  if (profile != nullptr && profile->starts_with(state_.episodes + 1)) {
    collect_scores();
    epoch.reset();
    profile->start();
  }
  if (!epoch) epoch.emplace(backend_.profiler(), "epoch", state_.epoch + 1);
  train_episode();
  if (profile != nullptr && profile->ends_with(state_.episodes)) {
    collect_scores();
    epoch.reset();
    profile->stop();
  }
}

bool Trainer::scores_are_due(const Progress& progress) const {
  // On the host reading costs nothing; a device should not wait for us at every step.
  return backend_.device().type == DeviceType::cpu || learner_.pending() == Learner::kMaxPending ||
         state_.episodes % config_.epoch_episodes == 0 || state_.episodes == episode_limit() ||
         progress.wants_update();
}

std::string Trainer::what_is_saved() const {
  const std::string folder = folder_.path().string();
  return std::filesystem::exists(folder_.last_checkpoint())
             ? fmt::format("checkpoints of the last finished epoch stay in {}", folder)
             : fmt::format("nothing is saved yet; remove {} before another try", folder);
}

void Trainer::collect_scores() {
  std::int64_t episode = state_.episodes - learner_.pending();
  for (const Learner::StepResult& result : learner_.collect()) {
    ++episode;
    try {
      check_loss(result.loss);
    } catch (const Error& error) {
      throw Error(
          fmt::format("training episode {}: {} ({})", episode, error.what(), what_is_saved()));
    }
    state_.loss_sum += result.loss;
    state_.accuracy_sum += result.accuracy;
  }
}

EpisodeScores Trainer::validate(std::int64_t epoch) {
  const ProfileRange range(backend_.profiler(), "validation");
  return evaluate(backend_, learner_.model(), learner_.images(), *validation_,
                  static_cast<std::uint64_t>(epoch * config_.val.episodes), config_.val.episodes,
                  evaluation_options(config_));
}

Trainer::Validation Trainer::validate_epoch() {
  const EpisodeScores scores = validate(state_.epoch);
  Validation result{estimate(scores.loss), estimate(scores.accuracy)};
  PROTOLITH_CHECK(std::isfinite(result.loss.mean),
                  "epoch {}: the validation loss became {}; use a lower learning rate (--lr)",
                  state_.epoch + 1, result.loss.mean);
  result.best = state_.best_epoch == 0 || result.loss.mean < state_.best_loss;
  if (result.best) {
    state_.best_epoch = state_.epoch + 1;
    state_.best_loss = result.loss.mean;
    state_.best_accuracy = result.accuracy.mean;
  }
  return result;
}

void Trainer::finish_epoch(Progress& progress, double seconds) {
  const ProgressState trained = progress_state();
  nlohmann::json line{{"epoch", state_.epoch + 1},
                      {"episodes", state_.episodes},
                      {"train_loss", trained.loss.value()},
                      {"train_accuracy", trained.accuracy.value()},
                      {"learning_rate", learner_.optimizer().learning_rate(state_.episodes - 1)},
                      {"seconds", seconds},
                      {"peak_memory_mb", peak_memory_mb()}};
  std::string text =
      fmt::format("epoch {}: {} episodes, train loss {:.4f}, accuracy {:.2f} %", state_.epoch + 1,
                  state_.episodes, trained.loss.value(), 100 * trained.accuracy.value());
  bool best = false;
  if (validation_) {
    const Validation v = validate_epoch();
    line.update({{"val_loss", v.loss.mean},
                 {"val_accuracy", v.accuracy.mean},
                 {"val_ci95", v.accuracy.ci95},
                 {"best", v.best}});
    text += fmt::format("; val loss {:.4f}, accuracy {}{}", v.loss.mean, percent_text(v.accuracy),
                        v.best ? " (best)" : "");
    best = v.best;
  }
  const std::string rate = progress.rate(progress_state());  // to an end that `best` has put off
  ++state_.epoch;
  state_.loss_sum = 0;
  state_.accuracy_sum = 0;
  // The line first: a resume drops lines beyond its checkpoint, but could not make up a lost one.
  // The best model after the state that knows of it: a resume takes it from there. The events last:
  // a resume takes lost ones from the line, so they need not cost a checkpoint.
  {
    const ProfileRange range(backend_.profiler(), "metrics");
    folder_.append_metrics(line);
  }
  save_last();
  if (best) save_best();
  events_.epoch(line);
  progress.line(rate.empty() ? text : text + "; " + rate);
}

ProgressState Trainer::progress_state() const {
  const auto in_epoch = static_cast<double>(episodes_in_epoch());
  const std::int64_t limit = episode_limit();
  const bool open_ended =
      validation_ && patience_left() < limit / config_.epoch_episodes - state_.epoch;
  return {.done = state_.episodes,
          .total = open_ended ? (state_.epoch + patience_left()) * config_.epoch_episodes : limit,
          .loss = state_.loss_sum / in_epoch,
          .accuracy = state_.accuracy_sum / in_epoch,
          .open_ended = open_ended};
}

void Trainer::report_unfinished_epoch() {
  // Fewer episodes than an epoch: still a validated model, as epoch 0. A longer run supersedes it.
  const EpisodeScores scores = validate(0);
  state_.best_loss = estimate(scores.loss).mean;
  state_.best_accuracy = estimate(scores.accuracy).mean;
  save_best();
}

void Trainer::check_finite() {
  PROTOLITH_CHECK(
      learner_.model().is_finite(),
      "training episode {}: the model became infinite or NaN; use a lower learning rate "
      "(--lr) ({})",
      state_.episodes, what_is_saved());
}

void Trainer::save_best() {
  const ProfileRange range(backend_.profiler(), "checkpoint");
  check_finite();
  forget_evaluation();
  save_model(folder_.best_checkpoint(), learner_.model(), info_);
}

void Trainer::restore_best() {
  const bool is_best = validation_ && episodes_in_epoch() == 0 && state_.epoch > 0 &&
                       state_.best_epoch == state_.epoch;
  if (is_best && !holds_model(folder_.best_checkpoint(), learner_.model())) save_best();
}

void Trainer::forget_evaluation() const {
  std::error_code ignored;
  std::filesystem::remove(folder_.evaluation_file(), ignored);
}

void Trainer::save_last() {
  const ProfileRange range(backend_.profiler(), "checkpoint");
  if (config_.trainval) forget_evaluation();  // its last model is the one that is evaluated
  check_finite();
  state_.machine = backend_.description();  // CUDA's batch norm may have changed since the start
  save_training(folder_.last_checkpoint(), learner_, backend_, info_, state_);
}

Trainer::Outcome Trainer::run(Progress& progress, const std::function<bool()>& stop,
                              ProfileSession* profile) {
  const std::int64_t limit = episode_limit();
  const std::int64_t rest = limit % config_.epoch_episodes;
  if (validation_ && rest != 0 && limit > rest) {
    progress.line(fmt::format("the last {} episodes end no epoch of {}: they are not validated",
                              rest, config_.epoch_episodes));
  }
  events_.start(state_.episodes, folder_.last_metrics());
  progress.start("train", state_.episodes);
  auto epoch_start = Clock::now();
  std::optional<ProfileRange> epoch;
  while (!has_ended()) {
    if (stop()) {
      collect_scores();
      save_last();
      progress.finish();
      return Outcome::interrupted;
    }
    train_episode(profile, epoch);
    if (!scores_are_due(progress)) continue;
    collect_scores();
    progress.update(progress_state());
    if (state_.episodes % config_.epoch_episodes == 0) {
      finish_epoch(progress, seconds_since(epoch_start));
      epoch_start = Clock::now();
      epoch.reset();
    }
  }
  epoch.reset();
  save_last();
  if (validation_ && state_.epoch == 0) report_unfinished_epoch();
  progress.finish();
  return Outcome::finished;
}

}  // namespace protolith
