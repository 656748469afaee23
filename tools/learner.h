#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "data/episode.h"
#include "data/image_set.h"
#include "engine/optimizer.h"
#include "models/protonet.h"
#include "tools/config.h"

namespace protolith {

/// A data set's images on the backend's device.
struct ResidentImages {
  Tensor pixels;        ///< u8 [M,H,W,C]
  Tensor scale, shift;  ///< [C]
};

/// Shares the host's memory when the device is the host, else copies.
ResidentImages make_resident(Backend& backend, const Dataset& dataset);

/// A step tensor with these numbers.
Tensor upload(Backend& backend, std::span<const std::int32_t> values);

/// Images of a data set by index and quarter turn -> f32 [N,H,W,C].
Tensor gather(Backend& backend, const ResidentImages& images, std::span<const std::int32_t> indices,
              std::span<const std::int32_t> turns);

/// Embeddings [N, features], persistent, of images by index and quarter turn, by running
/// statistics. Every batch has the same number of images (the last one is filled up), so that an
/// embedding does not depend on how many there are. `progress` is told how many are done, may be
/// empty, and stops the work by returning false: the result is undefined then. Ends the backend's
/// current step.
Tensor embed_all(Backend& backend, Conv4& model, const ResidentImages& images,
                 std::span<const std::int32_t> indices, std::span<const std::int32_t> turns,
                 const std::function<bool(std::int64_t done)>& progress = {});

EpisodeShape episode_shape(const EpisodeConfig& config);
EpisodeLayout layout_of(const EpisodeShape& shape);

/// The episodes that `config` trains on: of the training classes, or of train + val. Throws
/// UsageError where they lack classes or images.
EpisodeSampler training_sampler(const Config& config, const Dataset& dataset);

/// Its validation and its test episodes. Throw likewise, and where the data set lacks the split.
EpisodeSampler validation_sampler(const Config& config, const Dataset& dataset);
EpisodeSampler test_sampler(const Config& config, const Dataset& dataset);

/// The encoder that `config` describes for the images of `dataset`; not initialised.
Conv4Options encoder_options(const Config& config, const Dataset& dataset);

/// A model in training: one call is one episode.
class Learner {
 public:
  struct StepResult {
    double loss = 0;      ///< mean over the queries
    double accuracy = 0;  ///< share of the queries whose nearest prototype is right
  };

  /// Initialises the model from config.seed.
  Learner(Backend& backend, const Config& config, const Dataset& dataset);
  Learner(const Learner&) = delete;  // its replay refers to it
  Learner& operator=(const Learner&) = delete;

  /// Called with an episode's diagnostics and labels before the parameters change; both are step
  /// memory.
  using Observer = std::function<void(const LossDiagnostics&, const Tensor& labels)>;

  /// Most steps whose results may wait on the device.
  static constexpr std::int64_t kMaxPending = 1024;

  /// Forward, backward, Adam; the results wait on the device until collect(). Once a loss is not
  /// finite no step changes the parameters any more. Observing changes no bit of the result. Throws
  /// Error when kMaxPending results wait.
  void submit(const Episode& episode, const EpisodeShape& shape, const Observer& observe = {});
  /// Results that wait.
  std::int64_t pending() const noexcept { return pending_; }
  /// The results of the steps since the last collect(), in order, up to the first whose loss is not
  /// finite, that one included. Waits for the device.
  std::vector<StepResult> collect();
  /// One step and its result. Throws Error when the loss is not finite; the parameters are
  /// untouched then.
  StepResult step(const Episode& episode, const EpisodeShape& shape, const Observer& observe = {});

  Conv4& model() noexcept { return model_; }
  Adam& optimizer() noexcept { return optimizer_; }
  const ResidentImages& images() const noexcept { return images_; }

 private:
  Backend& backend_;
  Metric metric_;
  /// What a step reads that changes from step to step, on the device as one block of 4-byte words,
  /// so that one copy brings it there.
  struct Inputs {
    explicit Inputs(Backend& backend, const EpisodeShape& shape);
    /// Fills the block for one step.
    void upload(Backend& backend, const Episode& episode, std::int64_t slot,
                const AdamSchedule& now);

    EpisodeShape shape;
    Tensor block, images, turns, labels, slot, schedule;
    std::vector<std::int32_t> host;
  };

  /// Sets up the inputs and the replay for episodes of `shape`.
  void prepare(const EpisodeShape& shape);
  /// The step's device work.
  void compute(const Observer& observe);

  DistanceMethod distance_;
  bool composed_;
  ResidentImages images_;
  Conv4 model_;
  Adam optimizer_;
  Tensor scores_;  ///< [kMaxPending, 2]: loss and accuracy of the steps that wait
  Tensor failed_;  ///< [1], not 0 once a loss was not finite
  std::int64_t pending_ = 0;
  std::unique_ptr<Inputs> inputs_;
  std::unique_ptr<Replay> replay_;
};

/// Throws Error when `loss` is not finite, saying what to do.
void check_loss(double loss);

/// Scores of consecutive episodes.
struct EpisodeScores {
  std::vector<double> accuracy, loss;
};

struct Estimate {
  double mean = 0;
  double ci95 = 0;  ///< half the 95 % interval, 1.96 s / sqrt(n); NaN for one value
};
/// Throws Error on no values.
Estimate estimate(std::span<const double> values);
/// "95.14 +- 0.16 %" of shares; without an interval where there is none.
std::string percent_text(const Estimate& share);

/// How a model is scored.
struct EvaluationOptions {
  Metric metric;
  DistanceMethod distance = DistanceMethod::gemm;
  /// Batch statistics of each episode instead of the running ones.
  bool episode_statistics = false;
  /// Called with the number of finished units and all of them; may be empty. Returning false stops
  /// the evaluation after the current episode.
  std::function<bool(std::int64_t done, std::int64_t all)> progress = {};
};

/// How a configuration's models are scored; without `progress`.
EvaluationOptions evaluation_options(const Config& config);

/// Scores episodes [first, first + count) of `sampler`. With running statistics every image is
/// embedded once, however many episodes show it. Ends the backend's current step.
EpisodeScores evaluate(Backend& backend, Conv4& model, const ResidentImages& images,
                       const EpisodeSampler& sampler, std::uint64_t first, std::int64_t count,
                       const EvaluationOptions& options);

}  // namespace protolith
