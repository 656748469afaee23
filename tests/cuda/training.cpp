#include "tests/cuda/training.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "engine/random.h"
#include "tests/backend_ops/support.h"
#include "tests/reference/adam.h"

namespace protolith::test {
namespace {

constexpr std::int64_t kSide = 12;
constexpr std::int32_t kClasses = 10, kDrawings = 4;

Dataset make_patterns() {
  Dataset dataset;
  dataset.kind = "patterns";
  dataset.scale = {1.0F / 255.0F};
  dataset.shift = {0.0F};
  dataset.images = Tensor::host({std::int64_t{kClasses} * kDrawings, kSide, kSide, 1}, DType::u8);
  std::uint8_t* pixel = dataset.images.data<std::uint8_t>();
  for (std::int32_t c = 0; c < kClasses; ++c) {
    dataset.splits[c < kClasses / 2 ? 0 : 1].push_back(
        {std::to_string(c), c * kDrawings, kDrawings, 0});
    for (std::uint64_t drawing = 0; drawing < kDrawings; ++drawing) {
      Random pattern(1, Purpose::test, 0, static_cast<std::uint64_t>(c));
      Random noise(1, Purpose::test, static_cast<std::uint32_t>(c) + 1, drawing);
      for (std::int64_t i = 0; i < kSide * kSide; ++i) {
        const auto drawn = static_cast<std::uint8_t>(pattern.below(2) * 255);
        *pixel++ = noise.below(8) == 0 ? static_cast<std::uint8_t>(noise.below(256)) : drawn;
      }
    }
  }
  return dataset;
}

/// What a step reads and changes in a model and its optimizer.
std::vector<Tensor> state_of(Learner& learner) {
  return {learner.model().parameters().values(), learner.optimizer().first_moment(),
          learner.optimizer().second_moment()};
}

void copy_state(Backend& from, Learner& source, Backend& to, Learner& target) {
  const std::vector<Tensor> a = state_of(source), b = state_of(target);
  for (std::size_t i = 0; i < a.size(); ++i) to.copy(from.to_host(a[i]), b[i]);
}

reference::AdamState download_state(Backend& backend, Learner& learner) {
  const std::vector<Tensor> state = state_of(learner);
  return {download(backend, state[0]), download(backend, state[1]), download(backend, state[2])};
}

/// Checks that the learner's last step was Adam's with its gradients, from the state `before` it.
void check_update(Backend& backend, Learner& learner, reference::AdamState before) {
  const AdamOptions& o = small_config().adam;
  const auto exact = [](float value) { return static_cast<double>(value); };
  const reference::Adam options{exact(o.learning_rate), exact(o.beta1), exact(o.beta2),
                                exact(o.epsilon)};
  adam_step(before, download(backend, learner.model().parameters().gradients()), options,
            static_cast<int>(learner.optimizer().steps()));
  const reference::AdamState after = download_state(backend, learner);
  check_close(after.m, before.m, 16.0 * kRoundoff, "first moment");
  check_close(after.v, before.v, 16.0 * kRoundoff, "second moment");
  // A parameter is rounded once; its step of some learning rates at most is exact to a few hundred
  // roundoffs, as the sum of moment and gradient may cancel.
  Array bound = before.parameters;
  for (double& value : bound) {
    value = kRoundoff * (2.0 * std::abs(value) + 256.0 * options.learning_rate);
  }
  check_within(after.parameters, before.parameters, bound, "parameters");
}

/// The worst relative error among the gradients of all parameters.
double worst_gradient(Backend& device, Learner& got, Backend& cpu, Learner& want) {
  const ParameterBuffer& a = got.model().parameters();
  const ParameterBuffer& b = want.model().parameters();
  double worst = 0;
  for (std::size_t k = 0; k < a.size(); ++k) {
    worst = std::max(worst,
                     relative_error(download(device, a.gradient(k)), download(cpu, b.gradient(k))));
  }
  return worst;
}

}  // namespace

const Dataset& patterns() {
  static const Dataset dataset = make_patterns();
  return dataset;
}

Config small_config(const std::string& metric) {
  Config config;
  config.last_pool = false;
  config.metric = Metric::parse(metric);
  return config;
}

EpisodeSampler small_episodes() {
  return {patterns().classes(Split::train), kSmallEpisode, 1, Split::train};
}

std::vector<std::vector<double>> trained_numbers(Backend& backend, Learner& learner) {
  std::vector<Array> numbers;
  for (const Tensor& tensor : state_of(learner)) numbers.push_back(download(backend, tensor));
  return numbers;
}

void check_parity(Backend& device, std::uint64_t steps) {
  const auto cpu = make_cpu_backend(1, CpuConvolution::direct);
  Learner reference(*cpu, small_config(), patterns());
  Learner learner(device, small_config(), patterns());
  const EpisodeSampler episodes = small_episodes();
  // Each backend's gradients are within 1e-4 of the double reference at 5-way (sums of up to 2,160
  // products in a filter's gradient, four layers: tests/models/golden_test.cpp), so the two within
  // twice that. Where a maximum or ReLU decides otherwise in one of them, the difference is of the
  // order of 1e-3: that may happen in a few steps, but not be the rule.
  constexpr double kGradients = 2e-4;
  constexpr double kDecision = 1e-2;
  std::uint64_t decisions = 0;
  for (std::uint64_t i = 0; i < steps; ++i) {
    CAPTURE(i);
    copy_state(*cpu, reference, device, learner);
    const reference::AdamState before = download_state(device, learner);
    const Learner::StepResult want = reference.step(episodes.sample(i), kSmallEpisode);
    const Learner::StepResult got = learner.step(episodes.sample(i), kSmallEpisode);
    // Distances of some tens are exact to some 1e-7 of themselves in either backend.
    CHECK(std::abs(got.loss - want.loss) <= 2e-5 * std::max(1.0, std::abs(want.loss)));
    CHECK(got.accuracy == want.accuracy);
    const double worst = worst_gradient(device, learner, *cpu, reference);
    CHECK(worst <= kDecision);
    if (worst > kGradients) ++decisions;
    // Not against the CPU's parameters: Adam moves one by about the learning rate, whatever its
    // gradient's size, so that where that is rounding noise the two may move apart.
    check_update(device, learner, before);
  }
  CHECK(decisions <= steps / 10);
}

std::vector<std::vector<double>> train_with_evaluation(Backend& device, std::uint64_t steps) {
  const EpisodeSampler episodes = small_episodes();
  Learner learner(device, small_config(), patterns());
  std::vector<Array> results;
  for (std::uint64_t i = 0; i < steps; ++i) {
    const Learner::StepResult result = learner.step(episodes.sample(i), kSmallEpisode);
    results.push_back({result.loss, result.accuracy});
    if (i != steps / 2) continue;
    // It takes and gives back step memory, and prepares other weights.
    const EpisodeSampler validation(patterns().classes(Split::val), {5, 1, 1}, 1, Split::val);
    results.push_back(evaluate(device, learner.model(), learner.images(), validation, 0, 1,
                               {.metric = small_config().metric})
                          .loss);
  }
  for (Array& numbers : trained_numbers(device, learner)) results.push_back(std::move(numbers));
  return results;
}

void check_fresh_gradients(Backend& device) {
  const Episode episode = small_episodes().sample(0);
  Learner untouched(device, small_config(), patterns()),
      learner(device, small_config(), patterns());
  std::vector<Array> gradients;
  for (int step = 0; step < 4; ++step) {  // some are recorded, where the backend does that
    learner.step(episode, kSmallEpisode);
    gradients.push_back(download(device, learner.model().parameters().gradients()));
    copy_state(device, untouched, device, learner);
  }
  for (const Array& later : gradients) CHECK(later == gradients.front());
}

void check_learning(Backend& device, std::uint64_t steps) {
  const EpisodeSampler episodes = small_episodes();
  Learner learner(device, small_config("sed"), patterns());
  for (std::uint64_t i = 0; i < steps; ++i) learner.submit(episodes.sample(i), kSmallEpisode);
  const std::vector<Learner::StepResult> results = learner.collect();
  REQUIRE(results.size() == steps);
  for (const Learner::StepResult& result : results) CHECK(result.loss > 0.0);  // of its own step
  const auto mean = [&](std::size_t begin, std::size_t end, auto member) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) sum += results[i].*member;
    return sum / static_cast<double>(end - begin);
  };
  const std::size_t tail = steps - steps / 4;
  CHECK(mean(tail, steps, &Learner::StepResult::loss) <
        0.7 * mean(0, steps / 10, &Learner::StepResult::loss));
  CHECK(mean(tail, steps, &Learner::StepResult::accuracy) > 0.7);
  CHECK(learner.model().is_finite());
}

void check_stopping(Backend& device) {
  Config config = small_config();
  config.adam.learning_rate = 1e30F;
  const EpisodeSampler episodes = small_episodes();
  Learner learner(device, config, patterns());
  for (std::uint64_t i = 0; i < 6; ++i) learner.submit(episodes.sample(i), kSmallEpisode);
  const auto before = trained_numbers(device, learner);
  const auto results = learner.collect();
  REQUIRE(results.size() < 6);
  CHECK(!std::isfinite(results.back().loss));
  CHECK_THROWS_AS(learner.step(episodes.sample(6), kSmallEpisode), Error);
  CHECK(trained_numbers(device, learner) == before);
}

}  // namespace protolith::test
