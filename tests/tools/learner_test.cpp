// One training step at a time, its results at once or later.
#include "tools/learner.h"

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <numeric>

#include "tests/tools/glyphs.h"

namespace protolith::testing {
namespace {

Config lsed_config() {
  Config config;
  config.last_pool = false;
  config.metric = Metric::parse("lsed");
  return config;
}

}  // namespace

TEST_CASE("steps whose results are collected later are the same steps") {
  const EpisodeSampler sampler(glyphs().classes(Split::train), {5, 1, 2}, 1, Split::train);
  const auto backend = open_backend(lsed_config());
  Learner one(*backend, lsed_config(), glyphs()), other(*backend, lsed_config(), glyphs());
  for (std::uint64_t i = 0; i < 3; ++i) other.submit(sampler.sample(i), sampler.shape());
  CHECK(other.pending() == 3);
  CHECK_THROWS_AS(other.step(sampler.sample(3), sampler.shape()), Error);
  const auto results = other.collect();
  REQUIRE(results.size() == 3);
  CHECK(other.pending() == 0);
  CHECK(other.collect().empty());
  for (std::uint64_t i = 0; i < 3; ++i) {
    const Learner::StepResult result = one.step(sampler.sample(i), sampler.shape());
    CHECK(result.loss == results[i].loss);
    CHECK(result.accuracy == results[i].accuracy);
  }
  const auto values = [](Learner& learner) {
    const auto span = learner.model().parameters().values().host_span<float>();
    return std::vector<float>(span.begin(), span.end());
  };
  CHECK(values(one) == values(other));
}

TEST_CASE("bf16 convolutions learn, with the same bits each time") {
  if (!cpu_has_bf16()) {
    MESSAGE("skipped: the processor has no AVX512-BF16");
    return;
  }
  Config config = lsed_config();
  config.precision = "bf16";
  const EpisodeSampler sampler(glyphs().classes(Split::train), {5, 1, 2}, 1, Split::train);
  const auto train = [&] {
    const auto backend = open_backend(config);
    Learner learner(*backend, config, glyphs());
    for (std::uint64_t i = 0; i < 100; ++i) learner.submit(sampler.sample(i), sampler.shape());
    std::vector<double> losses;
    for (const Learner::StepResult& result : learner.collect()) losses.push_back(result.loss);
    return losses;
  };
  const std::vector<double> losses = train();
  REQUIRE(losses.size() == 100);
  CHECK(train() == losses);
  config.precision = "fp32";
  const std::vector<double> exact = train();
  CHECK(losses != exact);
  const auto sum = [](auto begin) { return std::accumulate(begin, begin + 20, 0.0); };
  CHECK(sum(losses.end() - 20) < 0.7 * sum(losses.begin()));
  CHECK(sum(losses.end() - 20) < 1.1 * sum(exact.end() - 20));
}

TEST_CASE("a loss that is not finite ends the collection and stops the optimizer") {
  Config config = lsed_config();
  config.adam.learning_rate = 1e30F;
  const EpisodeSampler sampler(glyphs().classes(Split::train), {5, 1, 2}, 1, Split::train);
  const auto backend = open_backend(config);
  Learner learner(*backend, config, glyphs());
  for (std::uint64_t i = 0; i < 6; ++i) learner.submit(sampler.sample(i), sampler.shape());
  const Tensor before = backend->to_host(learner.model().parameters().values());
  const auto results = learner.collect();
  REQUIRE(results.size() < 6);
  CHECK(std::isfinite(results.front().loss));
  CHECK(!std::isfinite(results.back().loss));
  CHECK_THROWS_AS(learner.step(sampler.sample(6), sampler.shape()), Error);
  const Tensor after = backend->to_host(learner.model().parameters().values());
  CHECK(std::memcmp(before.raw(), after.raw(), before.bytes()) == 0);
}

}  // namespace protolith::testing
