#pragma once

#include <functional>
#include <optional>
#include <string>

#include "tools/checkpoint.h"
#include "tools/profile_session.h"
#include "tools/progress.h"
#include "tools/run_events.h"
#include "tools/run_folder.h"

namespace protolith {

/// What two runs must share for one to continue the other, one "key = value" a line: every setting
/// that changes the numbers, and the images' content, but no paths and no limits.
std::string run_identity(const Config& config, const Dataset& dataset);

/// The line of run_identity() that says which classes are in which split; empty where the kind of
/// the data says so.
std::string split_identity(const Dataset& dataset);

/// Episodes at which a training ends at the latest.
std::int64_t episode_limit(const Config& config);

/// Throws UsageError when the training or validation episodes of `config` cannot be drawn from
/// `dataset`, or its images are too small for the encoder.
void check_episodes(const Config& config, const Dataset& dataset);

/// Trains a model by the protocol of Snell et al. (2017): epochs of training episodes, each
/// followed by validation episodes; the best model by validation loss; an end by patience or by
/// number.
class Trainer {
 public:
  enum class Outcome : std::uint8_t { finished, interrupted };

  /// Throws UsageError when an episode cannot be drawn from the data set.
  Trainer(Backend& backend, Config config, const Dataset& dataset, const RunFolder& folder);

  /// Continues from the folder's last checkpoint; from the start where none was saved yet. Throws
  /// UsageError naming the settings that differ
  /// from the checkpoint's; a different machine only changes the last bits: it is returned as a
  /// warning, empty when there is none.
  std::string resume();

  /// Trains to the end or until `stop` returns true, asked once an episode; saves either way.
  /// Throws Error when the loss or the model becomes infinite or NaN, naming the episode; the last
  /// good checkpoints stay. `profile`, if any, records the episodes that it was made for.
  Outcome run(Progress& progress, const std::function<bool()>& stop,
              ProfileSession* profile = nullptr);

  const TrainingState& state() const noexcept { return state_; }
  std::int64_t episode_limit() const { return protolith::episode_limit(config_); }
  /// Whether number or patience has ended the training.
  bool has_ended() const;

 private:
  /// What records the next episode's histograms; empty where none are due.
  Learner::Observer observer();
  void train_episode();
  /// The same in a profile, whose recording begins or ends with it when it is due; `epoch` is the
  /// range of the epoch that it belongs to.
  void train_episode(ProfileSession* profile, std::optional<ProfileRange>& epoch);
  /// Whether to wait for the device now for the results of the steps since the last time.
  bool scores_are_due(const Progress& progress) const;
  /// Adds those results to the epoch's sums. Throws Error naming the episode whose loss was not
  /// finite.
  void collect_scores();
  /// For the message of a training that failed.
  std::string what_is_saved() const;
  /// Validation loss and accuracy of an epoch.
  struct Validation {
    Estimate loss, accuracy;
    bool best = false;
  };

  /// Of training, since the last epoch that ended.
  std::int64_t episodes_in_epoch() const {
    return state_.episodes - state_.epoch * config_.epoch_episodes;
  }
  /// How many more epochs without a better validation loss end the training.
  std::int64_t patience_left() const {
    return config_.patience - (state_.epoch - state_.best_epoch);
  }
  ProgressState progress_state() const;
  void finish_epoch(Progress& progress, double seconds);
  Validation validate_epoch();
  EpisodeScores validate(std::int64_t epoch);
  void report_unfinished_epoch();
  /// Throws Error when a weight or a statistic is infinite or NaN, before it is saved.
  void check_finite();
  void save_best();
  /// The best model of a run that was killed after the checkpoint of its epoch and before it.
  void restore_best();
  void save_last();
  /// Removes the evaluation of a model that is replaced.
  void forget_evaluation() const;

  Backend& backend_;
  Config config_;
  const RunFolder& folder_;
  RunEvents events_;
  CheckpointInfo info_;
  Learner learner_;
  EpisodeSampler training_;
  std::unique_ptr<EpisodeSampler> validation_;  // none when training on train + val
  TrainingState state_;
};

}  // namespace protolith
