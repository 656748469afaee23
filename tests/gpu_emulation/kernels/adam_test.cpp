#include "kernels/cuda/adam.h"

#include "tests/gpu_emulation/kernels/support.h"

namespace protolith::test {
namespace {

constexpr cuda::AdamConstants kConstants{0.9F, 0.999F, 1e-8F};
constexpr float kRate = 1e-3F;

std::vector<float> schedule(int step) {
  const double correction1 = 1.0 - std::pow(static_cast<double>(kConstants.beta1), step);
  const double correction2 = 1.0 - std::pow(static_cast<double>(kConstants.beta2), step);
  return {static_cast<float>(static_cast<double>(kRate) / correction1),
          static_cast<float>(1.0 / std::sqrt(correction2))};
}

struct State {
  explicit State(std::int64_t count, int which = 0)
      : p(normal(count, 21), skew(which, 0)),
        m(std::vector<float>(p.size(), 0.0F), skew(which, 1)),
        v(std::vector<float>(p.size(), 0.0F), skew(which, 2)) {}
  DeviceArray<float> p, m, v;

  void step(const DeviceArray<float>& g, int number, float failed = 0.0F) {
    const DeviceArray<float> numbers(schedule(number), 1), flag(std::vector<float>{failed});
    cuda::adam_step(p.data(), g.data(), m.data(), v.data(), static_cast<std::int64_t>(p.size()),
                    kConstants, numbers.data(), flag.data(), nullptr);
  }
};

// A step of `state` against the definition in double, from the same f32 state.
void check_step(State& state, const DeviceArray<float>& g, int step) {
  const double beta1 = kConstants.beta1, beta2 = kConstants.beta2;
  std::vector<double> p, m, v, m_terms, update_terms;
  for (std::size_t i = 0; i < g.size(); ++i) {
    const double gradient = g.data()[i], old = state.m.data()[i];
    m.push_back(beta1 * old + (1.0 - beta1) * gradient);
    v.push_back(beta2 * state.v.data()[i] + (1.0 - beta2) * gradient * gradient);
    const double m_hat = m[i] / (1.0 - std::pow(beta1, step));
    const double v_hat = v[i] / (1.0 - std::pow(beta2, step));
    const double update =
        static_cast<double>(kRate) * m_hat / (std::sqrt(v_hat) + kConstants.epsilon);
    p.push_back(state.p.data()[i] - update);
    m_terms.push_back(std::abs(beta1 * old) + std::abs((1.0 - beta1) * gradient));
    update_terms.push_back(std::abs(update) * m_terms[i] / std::abs(m[i]));
  }
  state.step(g, step);
  // Roundings of m and v: a coefficient, a square, a product, the sum.
  check_within(state.m.values(), m, [&](std::size_t i) { return 4 * kRounding * m_terms[i]; });
  check_within(state.v.values(), v, [&](std::size_t i) { return 4 * kRounding * v[i]; });
  // The update: 4 of m, half of v's 4, and root, correction, epsilon's sum, step size, product and
  // quotient; then the parameter's own.
  check_within(state.p.values(), p,
               [&](std::size_t i) { return kRounding * (12 * update_terms[i] + std::abs(p[i])); });
}

TEST_CASE("adam follows the definition step by step") {
  for (const std::int64_t count : {1, 3, 5, 256, 257, 1029, 4099}) {
    for (const int which : kSkews) {
      CAPTURE(count);
      CAPTURE(which);
      for_each_order([&] {
        State state(count, which);
        for (const int step : {1, 2, 3, 2000}) {
          const auto seed = 22 + static_cast<unsigned>(step);
          const DeviceArray<float> g(normal(count, seed, 0.01F, 0.1F), skew(which, 3));
          check_step(state, g, step);
        }
      });
    }
  }
}

TEST_CASE("adam changes nothing after a failure") {
  State state(1029);
  const DeviceArray<float> g(normal(1029, 23));
  state.step(g, 1);
  const std::vector<float> p = state.p.values(), m = state.m.values(), v = state.v.values();
  for (const float failed : {1.0F, -1.0F, kNan}) {
    state.step(DeviceArray<float>(1029), 2, failed);  // every gradient is NaN
    CHECK(state.p.values() == p);
    CHECK(state.m.values() == m);
    CHECK(state.v.values() == v);
  }
}

TEST_CASE("adam: a NaN gradient shows in its own parameter alone") {
  State state(9);
  std::vector<float> gradients = normal(9, 24);
  gradients[5] = kNan;
  state.step(DeviceArray<float>(gradients), 1);
  for (std::size_t i = 0; i < 9; ++i) CHECK(std::isnan(state.p.data()[i]) == (i == 5));
}

}  // namespace
}  // namespace protolith::test
