#include "tools/learner.h"

#include <cmath>
#include <limits>
#include <numeric>

namespace protolith {

ResidentImages make_resident(Backend& backend, const Dataset& dataset) {
  const auto channels = static_cast<std::int64_t>(dataset.scale.size());
  const auto constants = [&](const std::vector<float>& values) {
    return backend.to_device(Tensor::of<float>({values.data(), values.size()}, {channels}));
  };
  return {backend.device() == dataset.images.device() ? dataset.images
                                                      : backend.to_device(dataset.images),
          constants(dataset.scale), constants(dataset.shift)};
}

Tensor upload(Backend& backend, std::span<const std::int32_t> values) {
  const Shape shape{static_cast<std::int64_t>(values.size())};
  Tensor target = backend.empty(shape, DType::i32);
  backend.copy_from_host(values.data(), target);
  return target;
}

Tensor gather(Backend& backend, const ResidentImages& images, std::span<const std::int32_t> indices,
              std::span<const std::int32_t> turns) {
  return backend.episode_gather(images.pixels, upload(backend, indices), upload(backend, turns),
                                images.scale, images.shift);
}

EpisodeShape episode_shape(const EpisodeConfig& config) {
  return {config.way, config.shot, config.query};
}

EpisodeLayout layout_of(const EpisodeShape& shape) {
  return {shape.way, shape.shot, shape.query};
}

EpisodeSampler training_sampler(const Config& config, const Dataset& dataset) {
  const Split split = config.trainval ? Split::trainval : Split::train;
  return {dataset.classes(split), episode_shape(config.train), config.seed, split};
}

Conv4Options encoder_options(const Config& config, const Dataset& dataset) {
  const Shape& s = dataset.images.shape();
  return {.height = s[1], .width = s[2], .channels = s[3], .last_pool = config.last_pool};
}

Learner::Learner(Backend& backend, const Config& config, const Dataset& dataset)
    : backend_(backend),
      metric_(config.metric),
      distance_(config.distance),
      composed_(config.batch_norm == "composed"),
      images_(make_resident(backend, dataset)),
      model_(backend, encoder_options(config, dataset)),
      optimizer_(backend, model_.parameters(), config.adam, config.lr_halve_every) {
  model_.initialize(config.seed,
                    config.bn_init == "ones" ? BatchNormInit::ones : BatchNormInit::uniform);
}

Learner::StepResult Learner::step(const Episode& episode, const EpisodeShape& shape,
                                  const Observer& observe) {
  StepResult result;
  {
    LossDiagnostics diagnostics;
    const Variable batch(gather(backend_, images_, episode.images, episode.turns));
    const Tensor labels = upload(backend_, episode.labels);
    const Variable embeddings = model_.forward(batch, composed_);
    const ops::LeakySoftmaxLoss loss =
        prototypical_loss(backend_, embeddings, labels, layout_of(shape), metric_, distance_,
                          observe ? &diagnostics : nullptr);
    if (observe) observe(diagnostics, labels);
    result.loss = backend_.read_scalar(loss.loss.value());
    PROTOLITH_CHECK(std::isfinite(result.loss),
                    "the loss became {}; use a lower learning rate (--lr) or check the data",
                    result.loss);
    result.accuracy = backend_.read_scalar(backend_.mean(loss.hit));
    optimizer_.zero_gradients();
    backward(backend_, loss.loss);
  }
  optimizer_.step();
  backend_.end_step();
  return result;
}

Estimate estimate(std::span<const double> values) {
  PROTOLITH_CHECK(!values.empty(), "an estimate from no values");
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  if (values.size() == 1) return {mean, std::numeric_limits<double>::quiet_NaN()};
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return {mean, 1.96 * std::sqrt(squares / (n - 1) / n)};
}

}  // namespace protolith
