#include "tools/learner.h"

#include <bit>
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

/// Names the flags of these episodes where they cannot be drawn.
EpisodeSampler sampler(const Config& config, const EpisodeConfig& episodes, const Dataset& dataset,
                       Split split, const char* flags) {
  std::vector<ImageClass> classes = dataset.required_classes(split);
  try {
    return {std::move(classes), episode_shape(episodes), config.seed, split};
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("{1} (--{0}-way, --{0}-shot, --{0}-query)", flags, error.what()));
  }
}

EpisodeLayout layout_of(const EpisodeShape& shape) {
  return {shape.way, shape.shot, shape.query};
}

EpisodeSampler training_sampler(const Config& config, const Dataset& dataset) {
  return sampler(config, config.train, dataset, config.trainval ? Split::trainval : Split::train,
                 "train");
}

EpisodeSampler validation_sampler(const Config& config, const Dataset& dataset) {
  return sampler(config, config.val, dataset, Split::val, "val");
}

EpisodeSampler test_sampler(const Config& config, const Dataset& dataset) {
  return sampler(config, config.test, dataset, Split::test, "test");
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
      optimizer_(backend, model_.parameters(), config.adam, config.lr_halve_every),
      scores_(backend.persistent({kMaxPending, 2})),
      failed_(backend.persistent({1})) {
  model_.initialize(config.seed,
                    config.bn_init == "ones" ? BatchNormInit::ones : BatchNormInit::uniform);
}

Learner::Inputs::Inputs(Backend& backend, const EpisodeShape& episode_shape)
    : shape(episode_shape) {
  const EpisodeLayout layout = layout_of(shape);
  const std::int64_t count = layout.images();
  const std::int64_t queries = count - layout.supports();
  block = backend.persistent({2 * count + queries + 3}, DType::i32);
  images = block.view(0, {count});
  turns = block.view(count, {count});
  labels = block.view(2 * count, {queries});
  slot = block.view(2 * count + queries, {1});
  schedule = block.view(2 * count + queries + 1, {2}).viewed_as(DType::f32);
  host.reserve(static_cast<std::size_t>(block.elements()));
}

void Learner::Inputs::upload(Backend& backend, const Episode& episode, std::int64_t place,
                             const AdamSchedule& now) {
  host.clear();
  for (const auto* part : {&episode.images, &episode.turns, &episode.labels}) {
    host.insert(host.end(), part->begin(), part->end());
  }
  host.push_back(static_cast<std::int32_t>(place));
  host.push_back(std::bit_cast<std::int32_t>(now.step_size));
  host.push_back(std::bit_cast<std::int32_t>(now.deviation_correction));
  PROTOLITH_CHECK(static_cast<std::int64_t>(host.size()) == block.elements(),
                  "an episode of {} images and {} labels for {}-way {}-shot, {} queries",
                  episode.images.size(), episode.labels.size(), shape.way, shape.shot, shape.query);
  backend.copy_from_host(host.data(), block);
}

void Learner::prepare(const EpisodeShape& shape) {
  if (inputs_ && inputs_->shape == shape) return;
  replay_.reset();  // it refers to the inputs
  inputs_ = std::make_unique<Inputs>(backend_, shape);
  replay_ = backend_.make_replay([this] { compute({}); });
}

void Learner::compute(const Observer& observe) {
  LossDiagnostics diagnostics;
  ops::LeakySoftmaxLoss loss;
  {
    Variable batch;
    {
      const ProfileRange range(backend_.profiler(), "data");
      batch = Variable(backend_.episode_gather(images_.pixels, inputs_->images, inputs_->turns,
                                               images_.scale, images_.shift));
    }
    const ProfileRange range(backend_.profiler(), "forward");
    const Variable embeddings = model_.forward(batch, composed_);
    loss = prototypical_loss(backend_, embeddings, inputs_->labels, layout_of(inputs_->shape),
                             metric_, distance_, observe ? &diagnostics : nullptr);
  }
  if (observe) observe(diagnostics, inputs_->labels);
  backend_.record_scores(loss.loss.value(), loss.hit, inputs_->slot, scores_, failed_);
  optimizer_.zero_gradients();
  backward(backend_, loss.loss);
  const ProfileRange range(backend_.profiler(), "optimizer");
  optimizer_.apply(inputs_->schedule, failed_);
}

void Learner::submit(const Episode& episode, const EpisodeShape& shape, const Observer& observe) {
  PROTOLITH_CHECK(pending_ < kMaxPending, "{} results wait: collect them first", pending_);
  prepare(shape);
  {
    const ProfileRange range(backend_.profiler(), "inputs");
    inputs_->upload(backend_, episode, pending_, optimizer_.next());
  }
  if (observe) {
    compute(observe);
    backend_.end_step();
  } else {
    replay_->run();
  }
  model_.count_batch();
  ++pending_;
}

std::vector<Learner::StepResult> Learner::collect() {
  std::vector<StepResult> results;
  if (pending_ == 0) return results;
  const ProfileRange range(backend_.profiler(), "collect results");
  std::vector<float> scores(static_cast<std::size_t>(2 * pending_));
  backend_.copy_to_host(scores_.rows(0, pending_), scores.data());
  for (std::size_t i = 0; i < scores.size(); i += 2) {
    results.push_back({scores[i], scores[i + 1]});
    if (!std::isfinite(scores[i])) break;
  }
  pending_ = 0;
  return results;
}

void check_loss(double loss) {
  PROTOLITH_CHECK(std::isfinite(loss),
                  "the loss became {}; use a lower learning rate (--lr) or check the data", loss);
}

Learner::StepResult Learner::step(const Episode& episode, const EpisodeShape& shape,
                                  const Observer& observe) {
  PROTOLITH_CHECK(pending_ == 0, "{} results wait: collect them first", pending_);
  submit(episode, shape, observe);
  const StepResult result = collect().front();
  check_loss(result.loss);
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

std::string percent_text(const Estimate& share) {
  if (std::isnan(share.ci95)) return fmt::format("{:.2f} %", 100 * share.mean);
  return fmt::format("{:.2f} +- {:.2f} %", 100 * share.mean, 100 * share.ci95);
}

}  // namespace protolith
