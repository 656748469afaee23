#include "kernels/cpu/batch_norm_relu_pool.h"

#include <algorithm>

#include "tests/kernels/batch_norm_naive.h"

namespace protolith::test {
namespace {

using cpu::ImageExtents;

constexpr ImageExtents kShapes[] = {{1, 2, 2, 1},  {2, 3, 2, 3},    {1, 5, 7, 5},
                                    {3, 4, 5, 64}, {4, 21, 16, 65}, {8, 32, 33, 65}};

std::int64_t size(const ImageExtents& e) {
  return e.images * e.height * e.width * e.channels;
}
std::int64_t pooled_size(const ImageExtents& e) {
  return e.images * (e.height / 2) * (e.width / 2) * e.channels;
}

// The input index of a place, 0..3, in the window of an output index.
std::size_t input_index(const ImageExtents& e, std::size_t out, int place) {
  auto rest = static_cast<std::int64_t>(out);
  const std::int64_t c = rest % e.channels;
  rest /= e.channels;
  const std::int64_t x = rest % (e.width / 2) * 2 + place % 2;
  rest /= e.width / 2;
  const std::int64_t y = rest % (e.height / 2) * 2 + place / 2;
  const std::int64_t n = rest / (e.height / 2);
  return static_cast<std::size_t>(((n * e.height + y) * e.width + x) * e.channels + c);
}

float relu(float t) {
  return t <= 0.0F ? 0.0F : t;
}

struct Pooled {
  explicit Pooled(const ImageExtents& e)
      : y(static_cast<std::size_t>(pooled_size(e))), selected(y.size()), winner(y.size(), 9) {}
  Floats y, selected;
  std::vector<std::uint8_t> winner;
};

// The definition, for inputs whose affine part is exact in f32.
Pooled naive_pool(const Floats& x, const Floats& scale, const Floats& shift,
                  const ImageExtents& e) {
  Pooled r(e);
  for (std::size_t out = 0; out < r.y.size(); ++out) {
    for (int place = 0; place < 4; ++place) {
      const float value = x[input_index(e, out, place)];
      const std::size_t c = out % scale.size();
      const float t = relu(value * scale[c] + shift[c]);
      if (place == 0 || t > r.y[out] || std::isnan(t)) {
        r.y[out] = t;
        r.selected[out] = value;
        r.winner[out] = static_cast<std::uint8_t>(place);
      }
    }
  }
  return r;
}

Pooled pool(const Floats& x, const Floats& scale, const Floats& shift, const ImageExtents& e) {
  Pooled r(e);
  cpu::affine_relu_pool_forward(x.data(), scale.data(), shift.data(), r.y.data(), r.winner.data(),
                                r.selected.data(), e);
  return r;
}

TEST_CASE("fused forward on exact values: ties, zeros, negatives and NaN as defined") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const ImageExtents& e : kShapes) {
        Floats x = quarters(size(e), 71);
        for (std::size_t i = 3; i < x.size(); i += 11) x[i] = kNan;
        const Floats scale = quarters(e.channels, 72);
        const Floats shift = quarters(e.channels, 73);
        const Pooled expected = naive_pool(x, scale, shift, e);
        const Pooled actual = pool(x, scale, shift, e);
        CHECK(same(actual.y, expected.y));
        CHECK(same(actual.selected, expected.selected));
        CHECK(actual.winner == expected.winner);
        Floats inference(expected.y.size());
        cpu::affine_relu_pool_forward(x.data(), scale.data(), shift.data(), inference.data(),
                                      nullptr, nullptr, e);
        CHECK(same(inference, expected.y));
        Floats unpooled(x.size());
        cpu::affine_relu_forward(x.data(), scale.data(), shift.data(), unpooled.data(), e);
        Floats expected_unpooled;
        for (std::size_t i = 0; i < x.size(); ++i) {
          const std::size_t c = i % scale.size();
          expected_unpooled.push_back(relu(x[i] * scale[c] + shift[c]));
        }
        CHECK(same(unpooled, expected_unpooled));
      }
    });
  });
}

TEST_CASE("fused forward on any values: two roundings from the definition") {
  for_each_instruction_set([] {
    for (const ImageExtents& e : kShapes) {
      const Floats x = normal(size(e), 74);
      const Floats scale = normal(e.channels, 75);
      const Floats shift = normal(e.channels, 76);
      const Pooled actual = pool(x, scale, shift, e);
      Doubles expected(actual.y.size());
      Doubles magnitude(actual.y.size());
      for (std::size_t out = 0; out < expected.size(); ++out) {
        const std::size_t c = out % scale.size();
        for (int place = 0; place < 4; ++place) {
          const double product =
              static_cast<double>(x[input_index(e, out, place)]) * static_cast<double>(scale[c]);
          expected[out] = std::max(expected[out], product + static_cast<double>(shift[c]));
          magnitude[out] = std::max(magnitude[out], std::abs(product));
        }
        CHECK(actual.selected[out] == x[input_index(e, out, actual.winner[out])]);
      }
      check_within(actual.y, expected, [&](std::size_t i) {
        return kRounding * (magnitude[i] + std::abs(expected[i]));
      });
    }
  });
}

// What both backward tests need.
struct Backward {
  explicit Backward(const ImageExtents& e)
      : x(normal(size(e), 81, 0.5F)),
        mean(normal(e.channels, 82, 0.5F, 0.1F)),
        inv_std(normal(e.channels, 83, 1.0F, 0.1F)),
        gamma(normal(e.channels, 84)),
        shift(normal(e.channels, 85)),
        dgamma(gamma.size()),
        dbeta(gamma.size()),
        dx(x.size()) {}
  Floats x, mean, inv_std, gamma, shift, dgamma, dbeta, dx;
};

TEST_CASE("fused backward without a pool") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const ImageExtents& e : kShapes) {
        Backward b(e);
        const Floats dy = normal(size(e), 86);
        Floats y(b.x.size());
        cpu::affine_relu_forward(b.x.data(), b.gamma.data(), b.shift.data(), y.data(), e);
        Doubles g;
        for (std::size_t i = 0; i < y.size(); ++i) {
          g.push_back(y[i] <= 0.0F ? 0.0 : static_cast<double>(dy[i]));
        }
        cpu::relu_batch_norm_backward_reduce(b.x.data(), y.data(), dy.data(), b.mean.data(),
                                             b.inv_std.data(), b.dgamma.data(), b.dbeta.data(), e);
        check_parameter_gradients(b.dgamma, b.dbeta,
                                  parameter_gradients(b.x, g, b.mean, b.inv_std));
        const auto backward = [&](const Floats& x, Floats& dx) {
          cpu::relu_batch_norm_backward_data(x.data(), y.data(), dy.data(), b.gamma.data(),
                                             b.mean.data(), b.inv_std.data(), b.dgamma.data(),
                                             b.dbeta.data(), dx.data(), e);
        };
        backward(b.x, b.dx);
        check_data_gradients(b.dx,
                             data_gradients(b.x, g, b.gamma, b.mean, b.inv_std, b.dgamma, b.dbeta));
        Floats in_place = b.x;
        backward(in_place, in_place);
        CHECK(same(in_place, b.dx));
      }
    });
  });
}

TEST_CASE("fused backward through the pool, odd rows and columns included") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const ImageExtents& e : kShapes) {
        Backward b(e);
        const Pooled p = pool(b.x, b.gamma, b.shift, e);
        const Floats dy = normal(pooled_size(e), 87);
        Doubles g(b.x.size(), 0.0);
        for (std::size_t out = 0; out < dy.size(); ++out) {
          if (p.y[out] > 0.0F) {
            g[input_index(e, out, p.winner[out])] = static_cast<double>(dy[out]);
          }
        }
        cpu::pool_relu_batch_norm_backward_reduce(p.selected.data(), p.y.data(), dy.data(),
                                                  b.mean.data(), b.inv_std.data(), b.dgamma.data(),
                                                  b.dbeta.data(), e);
        check_parameter_gradients(b.dgamma, b.dbeta,
                                  parameter_gradients(b.x, g, b.mean, b.inv_std));
        const auto backward = [&](const Floats& x, Floats& dx) {
          cpu::pool_relu_batch_norm_backward_data(x.data(), p.y.data(), p.winner.data(), dy.data(),
                                                  b.gamma.data(), b.mean.data(), b.inv_std.data(),
                                                  b.dgamma.data(), b.dbeta.data(), dx.data(), e);
        };
        backward(b.x, b.dx);
        check_data_gradients(b.dx,
                             data_gradients(b.x, g, b.gamma, b.mean, b.inv_std, b.dgamma, b.dbeta));
        Floats in_place = b.x;
        backward(in_place, in_place);
        CHECK(same(in_place, b.dx));
      }
    });
  });
}

TEST_CASE("a NaN output passes its gradient on") {
  for_each_instruction_set([] {
    const ImageExtents e{1, 2, 2, 1};
    const Floats x{1.0F, kNan, 2.0F, 3.0F};
    const Floats one{1.0F};
    const Floats zero{0.0F};
    const Pooled p = pool(x, one, zero, e);
    CHECK(std::isnan(p.y[0]));
    CHECK(p.winner[0] == 1);
    const Floats dy{5.0F};
    Floats dgamma(1);
    Floats dbeta(1);
    cpu::pool_relu_batch_norm_backward_reduce(p.selected.data(), p.y.data(), dy.data(), zero.data(),
                                              one.data(), dgamma.data(), dbeta.data(), e);
    CHECK(dbeta[0] == 5.0F);
    CHECK(std::isnan(dgamma[0]));
  });
}

}  // namespace
}  // namespace protolith::test
