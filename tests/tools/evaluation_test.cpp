// Scoring episodes: the shortcut of embedding each image once must not change a number.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tools/session.h"
#include "tools/trainer.h"

namespace protolith::testing {
namespace {

struct Fixture {
  Fixture()
      : dataset(open_dataset("synthetic", {.use_cache = false})),
        backend(open_backend({})),
        model(*backend, {.last_pool = false}),
        images(make_resident(*backend, dataset)) {
    model.initialize(1, BatchNormInit::uniform);
  }
  Dataset dataset;
  std::unique_ptr<Backend> backend;
  Conv4 model;
  ResidentImages images;
};

}  // namespace

TEST_CASE("an estimate is the mean and 1.96 standard errors") {
  const std::vector<double> values{1, 2, 3, 4};
  CHECK(estimate(values).mean == 2.5);
  // s^2 = 5 / 3 with n - 1; s / sqrt(4).
  CHECK(estimate(values).ci95 == doctest::Approx(1.96 * std::sqrt(5.0 / 3.0) / 2).epsilon(1e-12));
  CHECK(estimate(std::vector<double>{7}).mean == 7);
  CHECK(std::isnan(estimate(std::vector<double>{7}).ci95));
  CHECK_THROWS_AS(estimate({}), Error);
}

TEST_CASE("embedding each image once gives what whole episodes give") {
  Fixture f;
  const EpisodeSampler sampler(f.dataset.classes(Split::val), {5, 2, 3}, 9, Split::val);
  const Metric metric = Metric::parse("lsed");
  const EpisodeScores scores =
      evaluate(*f.backend, f.model, f.images, sampler, 100, 6, {.metric = metric});
  REQUIRE(scores.loss.size() == 6);
  for (std::uint64_t i = 0; i < 6; ++i) {
    const Episode episode = sampler.sample(100 + i);
    const Variable embeddings(
        f.model.embed(gather(*f.backend, f.images, episode.images, episode.turns)));
    const auto direct = prototypical_loss(*f.backend, embeddings,
                                          upload(*f.backend, episode.labels), {5, 2, 3}, metric);
    // A batch of another size may sum in another order: f32 rounding over 9 * 64 terms, 4 layers.
    CHECK(scores.loss[i] ==
          doctest::Approx(direct.loss.value().host_span<float>()[0]).epsilon(1e-5));
    f.backend->end_step();
  }
}

TEST_CASE("large images are embedded a few at a time") {
  constexpr std::int64_t kSide = 512;
  const auto backend = open_backend({});
  Conv4 model(*backend, {.height = kSide, .width = kSide, .last_pool = true});
  model.initialize(1, BatchNormInit::uniform);
  Dataset dataset;
  dataset.images = Tensor::host({3, kSide, kSide, 1}, DType::u8);
  std::uint8_t value = 0;
  for (std::uint8_t& pixel : dataset.images.host_span<std::uint8_t>()) pixel = value += 7;
  dataset.scale = {1.0F / 255};
  dataset.shift = {0};
  const ResidentImages images = make_resident(*backend, dataset);
  const std::vector<std::int32_t> all{0, 1, 2}, third{2}, upright(3), once(1);
  const Tensor table = embed_all(*backend, model, images, all, upright);
  // An image's first pooled activations are 16 MiB: 64 of them would be 1 GiB.
  CHECK(backend->step_memory_bytes() < (std::size_t{128} << 20));
  const Tensor last = model.embed(gather(*backend, images, third, once));
  CHECK(std::ranges::equal(table.rows(2, 3).host_span<float>(), last.host_span<float>()));
}

TEST_CASE("an episode's scores do not depend on how many are asked for") {
  Fixture f;
  const EpisodeSampler sampler(f.dataset.classes(Split::test), {5, 1, 3}, 9, Split::test);
  const EvaluationOptions options{.metric = Metric::parse("sed")};
  const EpisodeScores all = evaluate(*f.backend, f.model, f.images, sampler, 0, 8, options);
  const EpisodeScores some = evaluate(*f.backend, f.model, f.images, sampler, 3, 2, options);
  CHECK(some.loss[0] == all.loss[3]);
  CHECK(some.loss[1] == all.loss[4]);
  CHECK(some.accuracy[1] == all.accuracy[4]);
}

TEST_CASE("episode statistics are another convention and leave the model alone") {
  Fixture f;
  const EpisodeSampler sampler(f.dataset.classes(Split::val), {5, 1, 3}, 9, Split::val);
  const EvaluationOptions running{.metric = Metric::parse("sed")};
  EvaluationOptions episode = running;
  episode.episode_statistics = true;
  const EpisodeScores before = evaluate(*f.backend, f.model, f.images, sampler, 0, 3, running);
  const EpisodeScores other = evaluate(*f.backend, f.model, f.images, sampler, 0, 3, episode);
  const EpisodeScores after = evaluate(*f.backend, f.model, f.images, sampler, 0, 3, running);
  CHECK(before.loss == after.loss);
  CHECK(before.loss != other.loss);
}

TEST_CASE("evaluation reports progress and can be stopped") {
  Fixture f;
  const EpisodeSampler sampler(f.dataset.classes(Split::val), {5, 1, 3}, 9, Split::val);
  std::int64_t last = 0;
  std::int64_t total = 0;
  EvaluationOptions options{.metric = Metric::parse("sed")};
  options.progress = [&](std::int64_t done, std::int64_t all) {
    CHECK(done > last);
    last = done;
    total = all;
    return true;
  };
  evaluate(*f.backend, f.model, f.images, sampler, 0, 4, options);
  CHECK(last == total);
  options.progress = [](std::int64_t, std::int64_t) { return false; };
  CHECK(evaluate(*f.backend, f.model, f.images, sampler, 0, 4, options).loss.empty());
}

}  // namespace protolith::testing
