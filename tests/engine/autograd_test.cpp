// The tape itself, on tiny graphs whose gradients are known by hand; the operations' arithmetic is
// tested with the backends.
#include "engine/autograd.h"

#include <doctest/doctest.h>

#include <memory>
#include <vector>

#include "engine/module.h"
#include "engine/ops/convolution.h"
#include "engine/ops/distance.h"
#include "engine/optimizer.h"

namespace protolith {
namespace {

Tensor tensor(std::vector<float> values, Shape shape) {
  return Tensor::of<float>({values.data(), values.size()}, shape);
}

std::vector<float> values(const Tensor& t) {
  const auto span = t.host_span<float>();
  return {span.begin(), span.end()};
}

/// The scalar mean of x * weights, as an operation with a hand-written derivative.
Variable weighted_mean(Backend& backend, const Variable& x, std::vector<float> weights) {
  const auto n = static_cast<float>(weights.size());
  float sum = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    sum += x.value().host_span<float>()[i] * weights[i];
  }
  auto back = [shape = x.value().shape(), weights,
               n](const Tensor& gradient) -> std::vector<Tensor> {
    Tensor dx = Tensor::host(shape);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      dx.host_span<float>()[i] = gradient.host_span<float>()[0] * weights[i] / n;
    }
    return {dx};
  };
  (void)backend;
  return Variable::result(tensor({sum / n}, {1}), {x}, std::move(back));
}

/// a + b.
Variable sum(Backend& backend, const Variable& a, const Variable& b) {
  return Variable::result(backend.add(a.value(), b.value()), {a, b},
                          [](const Tensor& gradient) -> std::vector<Tensor> {
                            return {gradient, gradient};
                          });
}

struct Leaf {
  explicit Leaf(std::vector<float> start)
      : gradient(Tensor::host({static_cast<std::int64_t>(start.size())})),
        variable(Variable::parameter(tensor(start, gradient.shape()), gradient)) {}
  Tensor gradient;
  Variable variable;
};

}  // namespace

TEST_CASE("gradients of a variable that is used several times add up") {
  const auto backend = make_cpu_backend();
  Leaf x({1, 2, 3, 4});
  // d/dx of mean((x + x) + x) with weights w is 3 w / 4.
  const Variable twice = sum(*backend, x.variable, x.variable);
  const Variable thrice = sum(*backend, twice, x.variable);
  backward(*backend, weighted_mean(*backend, thrice, {4, 8, 12, 16}));
  CHECK(values(x.gradient) == std::vector<float>{3, 6, 9, 12});
}

TEST_CASE("a diamond: a shared intermediate is differentiated once, with the whole gradient") {
  const auto backend = make_cpu_backend();
  Leaf x({1, 1});
  int calls = 0;
  const Variable shared =
      Variable::result(backend->add(x.variable.value(), x.variable.value()), {x.variable},
                       [&](const Tensor& gradient) -> std::vector<Tensor> {
                         ++calls;
                         return {backend->add(gradient, gradient)};
                       });
  const Variable top = sum(*backend, sum(*backend, shared, shared), shared);
  backward(*backend, weighted_mean(*backend, top, {2, 4}));
  CHECK(calls == 1);
  CHECK(values(x.gradient) == std::vector<float>{6, 12});
}

TEST_CASE("gradients accumulate over graphs until they are zeroed") {
  const auto backend = make_cpu_backend();
  Leaf x({1, 2});
  for (int i = 0; i < 2; ++i) {
    backward(*backend, weighted_mean(*backend, sum(*backend, x.variable, x.variable), {1, 3}));
  }
  CHECK(values(x.gradient) == std::vector<float>{2, 6});
}

TEST_CASE("constants get no gradient and keep no graph") {
  const auto backend = make_cpu_backend();
  bool called = false;
  const Variable constant(tensor({1, 2}, {2}));
  const Variable result =
      Variable::result(tensor({1}, {1}), {constant}, [&](const Tensor&) -> std::vector<Tensor> {
        called = true;
        return {Tensor()};
      });
  CHECK_FALSE(result.needs_gradient());
  CHECK_THROWS_AS(backward(*backend, result), Error);
  CHECK_FALSE(called);
}

TEST_CASE("a mixed operation may leave the constant's gradient undefined") {
  const auto backend = make_cpu_backend();
  Leaf x({3, 5});
  const Variable constant(tensor({1, 1}, {2}));
  const Variable y =
      Variable::result(backend->add(x.variable.value(), constant.value()), {x.variable, constant},
                       [](const Tensor& g) -> std::vector<Tensor> {
                         return {g, Tensor()};
                       });
  backward(*backend, weighted_mean(*backend, y, {2, 2}));
  CHECK(values(x.gradient) == std::vector<float>{1, 1});
}

TEST_CASE("the backward pass frees what the graph kept") {
  const auto backend = make_cpu_backend();
  Leaf x({1, 2});
  auto token = std::make_shared<int>(1);
  const std::weak_ptr<int> watch = token;
  const Variable y = Variable::result(
      tensor({1, 2}, {2}), {x.variable},
      [token = std::move(token)](const Tensor& g) -> std::vector<Tensor> { return {g}; });
  const Variable loss = weighted_mean(*backend, y, {1, 1});
  CHECK_FALSE(watch.expired());
  backward(*backend, loss);
  CHECK(watch.expired());
  CHECK_THROWS_AS(backward(*backend, loss), Error);
}

TEST_CASE("a graph that shares a spent part is refused") {
  const auto backend = make_cpu_backend();
  Leaf x({1, 2});
  const Variable shared = sum(*backend, x.variable, x.variable);
  const Variable first = weighted_mean(*backend, shared, {1, 1});
  const Variable second = weighted_mean(*backend, shared, {1, 1});
  backward(*backend, first);
  CHECK_THROWS_AS(backward(*backend, second), Error);
}

TEST_CASE("backward refuses what it cannot differentiate") {
  const auto backend = make_cpu_backend();
  Leaf x({1, 2});
  CHECK_THROWS_AS(backward(*backend, Variable()), Error);
  CHECK_THROWS_AS(backward(*backend, x.variable), Error);  // two elements
  const Variable wrong_shape =
      Variable::result(tensor({1}, {1}), {x.variable}, [](const Tensor&) -> std::vector<Tensor> {
        return {tensor({1, 2, 3}, {3})};
      });
  CHECK_THROWS_AS(backward(*backend, wrong_shape), Error);
  const Variable wrong_count = Variable::result(
      tensor({1}, {1}), {x.variable}, [](const Tensor&) -> std::vector<Tensor> { return {}; });
  CHECK_THROWS_AS(backward(*backend, wrong_count), Error);
  CHECK_THROWS_AS(Variable::parameter(tensor({1}, {1}), tensor({1, 2}, {2})), Error);
}

TEST_CASE("a deep chain needs no deep stack") {
  const auto backend = make_cpu_backend();
  Leaf x({1});
  Variable y = x.variable;
  for (int i = 0; i < 200000; ++i) {
    y = Variable::result(y.value(), {y},
                         [](const Tensor& g) -> std::vector<Tensor> { return {g}; });
  }
  backward(*backend, y);
  CHECK(values(x.gradient) == std::vector<float>{1});
}

TEST_CASE("rows and reshape scatter their gradients back") {
  const auto backend = make_cpu_backend();
  Leaf flat({1, 2, 3, 4, 5, 6});
  const Variable matrix = ops::reshape(*backend, flat.variable, {3, 2});
  const Variable middle = ops::rows(*backend, matrix, 1, 2);
  CHECK(values(middle.value()) == std::vector<float>{3, 4});
  backward(*backend, weighted_mean(*backend, middle, {10, 20}));
  CHECK(values(flat.gradient) == std::vector<float>{0, 0, 5, 10, 0, 0});
}

TEST_CASE("the fused block and the composed operations agree") {
  // The same arithmetic in another order: sums over 2 * 8 * 8 rows and 9 channels of f32.
  const auto backend = make_cpu_backend();
  constexpr double kTolerance = 1e-5;
  for (const bool pool : {true, false}) {
    std::vector<std::vector<float>> results[2];
    for (const bool composed : {false, true}) {
      ParameterBuffer parameters(*backend, {{"w", {5, 3, 3, 2}}, {"g", {5}}, {"b", {5}}});
      float next = 0.1F;
      for (std::size_t i = 0; i < parameters.size(); ++i) {
        for (float& v : parameters.variable(i).value().host_span<float>()) {
          v = next = 3.7F * next * (1 - next);  // a chaotic sequence in (0, 1)
        }
      }
      Tensor x = Tensor::host({2, 8, 8, 2});
      for (float& v : x.host_span<float>()) v = next = 3.7F * next * (1 - next);
      ops::ConvBlock block{parameters.variable(0), parameters.variable(1), parameters.variable(2),
                           backend->persistent({5}), backend->persistent({5})};
      block.pool = pool;
      const Variable y = composed ? ops::conv_block_composed(*backend, Variable(x), block)
                                  : ops::conv_block(*backend, Variable(x), block);
      results[composed].push_back(values(backend->to_host(y.value())));
      std::vector<float> weights(static_cast<std::size_t>(y.value().elements()));
      for (float& w : weights) w = next = 3.7F * next * (1 - next);
      backward(*backend, weighted_mean(*backend, y, weights));
      for (std::size_t i = 0; i < 3; ++i)
        results[composed].push_back(values(parameters.gradient(i)));
      results[composed].push_back(values(block.running_mean));
      results[composed].push_back(values(block.running_variance));
      backend->end_step();
    }
    for (std::size_t k = 0; k < results[0].size(); ++k) {
      double difference = 0;
      double norm = 0;
      for (std::size_t i = 0; i < results[0][k].size(); ++i) {
        const double d = static_cast<double>(results[0][k][i]) - results[1][k][i];
        difference += d * d;
        norm += static_cast<double>(results[1][k][i]) * results[1][k][i];
      }
      CAPTURE(pool);
      CAPTURE(k);
      CHECK(difference <= kTolerance * kTolerance * norm);
      CHECK(norm > 0);
    }
  }
}

TEST_CASE("parameters lie in one buffer, aligned, and Adam halves its rate on time") {
  const auto backend = make_cpu_backend();
  ParameterBuffer parameters(*backend, {{"a", {3}}, {"b", {2, 2}}});
  CHECK(parameters.parameter_count() == 7);
  CHECK(parameters.values().elements() == 32);
  CHECK(parameters.variable(1).value().data<float>() - parameters.values().data<float>() == 16);
  Adam adam(*backend, parameters, {.learning_rate = 0.5F}, 10);
  CHECK(adam.learning_rate(0) == 0.5F);
  CHECK(adam.learning_rate(9) == 0.5F);
  CHECK(adam.learning_rate(10) == 0.25F);
  CHECK(adam.learning_rate(20) == 0.125F);
  CHECK(Adam(*backend, parameters, {.learning_rate = 0.5F}, 0).learning_rate(100000) == 0.5F);

  // A constant gradient of 1: Adam's first step is the learning rate, up to epsilon.
  const std::uint64_t version = parameters.version();
  backend->fill(parameters.gradients(), 1.0F);
  adam.step();
  CHECK(parameters.variable(0).value().host_span<float>()[0] == doctest::Approx(-0.5));
  CHECK(parameters.version() > version);
  CHECK(adam.steps() == 1);
  adam.zero_gradients();
  CHECK(values(parameters.gradient(1)) == std::vector<float>(4, 0.0F));
}

}  // namespace protolith
