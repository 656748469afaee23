#include "models/conv4.h"

#include <doctest/doctest.h>

#include <cmath>

#include "models/protonet.h"

namespace protolith {
namespace {

Tensor images(std::int64_t count, const Conv4Options& options) {
  Tensor x = Tensor::host({count, options.height, options.width, options.channels});
  float next = 0.3F;
  for (float& v : x.host_span<float>()) v = next = 3.9F * next * (1 - next);
  return x;
}

std::vector<float> values(const Tensor& t) {
  const auto span = t.host_span<const float>();
  return {span.begin(), span.end()};
}

constexpr Conv4Options kSmall{
    .height = 28, .width = 28, .channels = 1, .filters = 8, .last_pool = false};

}  // namespace

TEST_CASE("features follow from the image and the last pool") {
  const auto backend = make_cpu_backend();
  CHECK(Conv4(*backend, {}).features() == 64);
  CHECK(Conv4(*backend, {.last_pool = false}).features() == 576);
  CHECK(Conv4(*backend, {.height = 84, .width = 84, .channels = 3}).features() == 1600);
  CHECK(Conv4(*backend, {}).parameters().parameter_count() == 9 * 64 + 3 * 9 * 64 * 64 + 8 * 64);
  CHECK_THROWS_AS(Conv4(*backend, {.height = 15, .width = 28}), UsageError);
  CHECK_THROWS_AS(Conv4(*backend, {.channels = 0}), UsageError);
}

TEST_CASE("the start: PyTorch's bounds, gamma as asked, a function of the seed") {
  const auto backend = make_cpu_backend();
  Conv4 model(*backend, {});
  model.initialize(7, BatchNormInit::uniform);
  for (int block = 0; block < Conv4::kBlocks; ++block) {
    const auto i = static_cast<std::size_t>(3 * block);
    const double bound = 1 / std::sqrt(block == 0 ? 9.0 : 9.0 * 64);
    double sum = 0;
    double squares = 0;
    const auto weights = values(model.parameters().variable(i).value());
    for (const float w : weights) {
      CHECK(std::abs(w) <= bound);
      sum += w;
      squares += static_cast<double>(w) * w;
    }
    const auto n = static_cast<double>(weights.size());
    // Uniform in +-b: mean 0 and variance b^2 / 3; five standard errors of either.
    CHECK(std::abs(sum / n) < 5 * bound / std::sqrt(3 * n));
    CHECK(std::abs(squares / n / (bound * bound / 3) - 1) < 5 * std::sqrt(0.8 / n));
    double gamma_sum = 0;
    for (const float gamma : values(model.parameters().variable(i + 1).value())) {
      CHECK(gamma >= 0);
      CHECK(gamma < 1);
      gamma_sum += gamma;
    }
    CHECK(std::abs(gamma_sum / 64 - 0.5) < 5 / std::sqrt(12.0 * 64));
    CHECK(values(model.parameters().variable(i + 2).value()) == std::vector<float>(64, 0.0F));
  }
  Conv4 same(*backend, {});
  same.initialize(7, BatchNormInit::uniform);
  CHECK(values(same.parameters().values()) == values(model.parameters().values()));
  Conv4 other(*backend, {});
  other.initialize(8, BatchNormInit::ones);
  CHECK(values(other.parameters().values()) != values(model.parameters().values()));
  CHECK(values(other.parameters().variable(1).value()) == std::vector<float>(64, 1.0F));
}

TEST_CASE("the state goes out in PyTorch's layout and comes back the same") {
  const auto backend = make_cpu_backend();
  Conv4 model(*backend, kSmall);
  model.initialize(1, BatchNormInit::uniform);
  model.forward(Variable(images(6, kSmall)));
  model.count_batch();
  const auto state = model.state();
  CHECK(state.size() == 4 * 7);
  CHECK(state.at("encoder.1.0.weight").shape() == Shape{8, 8, 3, 3});
  CHECK(values(state.at("encoder.2.0.bias")) == std::vector<float>(8, 0.0F));
  CHECK(*state.at("encoder.3.1.num_batches_tracked").data<std::int64_t>() == 1);
  // OIHW [o, i, h, w] is KRSC [o, h, w, i].
  const auto oihw = values(state.at("encoder.1.0.weight"));
  const auto krsc = values(model.parameters().variable(3).value());
  CHECK(oihw[((5 * 8 + 2) * 3 + 1) * 3 + 2] == krsc[((5 * 3 + 1) * 3 + 2) * 8 + 2]);

  Conv4 copy(*backend, kSmall);
  copy.load_state(state);
  CHECK(values(copy.parameters().values()) == values(model.parameters().values()));
  const auto again = copy.state();
  for (const auto& entry : state) {
    const auto& [name, tensor] = entry;
    INFO(entry.first);
    REQUIRE(again.contains(name));
    if (tensor.dtype() == DType::f32) CHECK(values(again.at(name)) == values(tensor));
  }
  backend->end_step();
  CHECK(values(backend->to_host(copy.embed(images(3, kSmall)))) ==
        values(backend->to_host(model.embed(images(3, kSmall)))));
}

TEST_CASE("a convolution bias is folded into the running mean") {
  const auto backend = make_cpu_backend();
  Conv4 model(*backend, kSmall);
  model.initialize(1, BatchNormInit::ones);
  auto state = model.state();
  // (conv + bias) - mean is conv - (mean - bias): a bias and an equal mean cancel.
  for (float& b : state.at("encoder.0.0.bias").host_span<float>()) b = 0.25F;
  for (float& m : state.at("encoder.0.1.running_mean").host_span<float>()) m = 0.25F;
  Conv4 folded(*backend, kSmall);
  folded.load_state(state);
  CHECK(values(folded.state().at("encoder.0.1.running_mean")) == std::vector<float>(8, 0.0F));
  CHECK(values(folded.state().at("encoder.0.0.bias")) == std::vector<float>(8, 0.0F));
  CHECK(values(backend->to_host(folded.embed(images(2, kSmall)))) ==
        values(backend->to_host(model.embed(images(2, kSmall)))));
}

TEST_CASE("a wrong state is refused by name and leaves the model alone") {
  const auto backend = make_cpu_backend();
  Conv4 model(*backend, kSmall);
  model.initialize(1, BatchNormInit::ones);
  const auto before = values(model.parameters().values());
  const auto refused = [&](auto change, const char* named) {
    auto state = Conv4(*backend, kSmall).state();
    change(state);
    try {
      model.load_state(state);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(std::string(error.what()).find(named) != std::string::npos);
    }
    CHECK(values(model.parameters().values()) == before);
  };
  refused([](auto& s) { s.erase("encoder.3.1.running_var"); }, "encoder.3.1.running_var");
  refused(
      [](auto& s) {
        s["encoder.2.0.weight"] = Tensor::host({8, 8, 3, 4});
      },
      "encoder.2.0.weight");
  refused([](auto& s) { s["encoder.1.1.weight"] = Tensor::host({8}, DType::i32); },
          "encoder.1.1.weight");
  refused([](auto& s) { s["encoder.0.1.num_batches_tracked"] = Tensor::host({2}); },
          "num_batches_tracked");
}

TEST_CASE("evaluation: independent of the batch, follows the parameters, leaves statistics alone") {
  const auto backend = make_cpu_backend();
  Conv4 model(*backend, kSmall);
  model.initialize(3, BatchNormInit::uniform);
  const Tensor x = images(4, kSmall);
  const auto all = values(backend->to_host(model.embed(x)));
  const auto first = values(backend->to_host(model.embed(x.rows(0, 1))));
  // One image alone may take another blocking of the same sums: 9 * 8 terms, four layers.
  double difference = 0;
  double norm = 0;
  for (std::size_t i = 0; i < first.size(); ++i) {
    difference += (first[i] - all[i]) * (first[i] - all[i]);
    norm += first[i] * first[i];
  }
  CHECK(std::sqrt(difference) <= 1e-5 * std::sqrt(norm));

  const auto means = values(model.state().at("encoder.0.1.running_mean"));
  model.embed_with_batch_statistics(x);
  CHECK(values(model.state().at("encoder.0.1.running_mean")) == means);
  model.forward(Variable(x));
  CHECK(values(model.state().at("encoder.0.1.running_mean")) != means);
  CHECK(values(backend->to_host(model.embed(x))) != all);  // not the stale prepared weights
}

TEST_CASE("episodes that do not fit the embeddings are refused") {
  const auto backend = make_cpu_backend();
  const Variable embeddings(Tensor::host({10, 4}));
  const Tensor labels = Tensor::host({6}, DType::i32);
  CHECK_THROWS_AS(prototypical_loss(*backend, embeddings, labels, {3, 1, 2}, {}), Error);
  CHECK_THROWS_AS(prototypical_loss(*backend, embeddings, labels, {2, 1, 4}, {}), Error);
}

}  // namespace protolith
