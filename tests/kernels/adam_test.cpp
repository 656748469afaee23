#include "kernels/cpu/adam.h"

#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

struct Step {
  float learning_rate, beta1, beta2, epsilon;
  std::int64_t step;
  cpu::AdamStep scheduled() const {
    const auto power = static_cast<double>(step);
    return {beta1, beta2, epsilon,
            static_cast<float>(learning_rate / (1.0 - std::pow(static_cast<double>(beta1), power))),
            static_cast<float>(1.0 / std::sqrt(1.0 - std::pow(static_cast<double>(beta2), power)))};
  }
};

// One element's step in double, from f32 state; with the size of the update for the error bound.
struct Reference {
  double parameter, m, v, update;
};

Reference reference(double parameter, double g, double m, double v, const Step& s) {
  const double beta1 = s.beta1;
  const double beta2 = s.beta2;
  const auto step = static_cast<double>(s.step);
  m = beta1 * m + (1.0 - beta1) * g;
  v = beta2 * v + (1.0 - beta2) * g * g;
  const double m_hat = m / (1.0 - std::pow(beta1, step));
  const double v_hat = v / (1.0 - std::pow(beta2, step));
  const double update = s.learning_rate * m_hat / (std::sqrt(v_hat) + s.epsilon);
  return {parameter - update, m, v, update};
}

TEST_CASE("adam follows the definition step by step") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const std::int64_t count : {1, 5, 64, 40003}) {
        Floats p = normal(count, 21);
        Floats m(p.size(), 0.0F);
        Floats v(p.size(), 0.0F);
        for (const std::int64_t step : {1, 2, 3, 2000}) {
          const Floats g = normal(count, 22 + static_cast<unsigned>(step), 0.01F, 0.1F);
          const Step s{1e-3F, 0.9F, 0.999F, 1e-8F, step};
          std::vector<double> expected_p(p.size());
          std::vector<double> expected_m(p.size());
          std::vector<double> expected_v(p.size());
          std::vector<double> m_scale(p.size());
          std::vector<double> update_scale(p.size());
          for (std::size_t i = 0; i < p.size(); ++i) {
            const Reference r = reference(p[i], g[i], m[i], v[i], s);
            expected_p[i] = r.parameter;
            expected_m[i] = r.m;
            expected_v[i] = r.v;
            m_scale[i] = std::abs(0.9 * static_cast<double>(m[i])) +
                         std::abs(0.1 * static_cast<double>(g[i]));
            update_scale[i] = std::abs(r.update) * m_scale[i] / std::abs(r.m);
          }
          cpu::adam_step(p.data(), g.data(), m.data(), v.data(), count, s.scheduled());
          // Roundings: m, v: a coefficient, a square, a product, the sum.
          check_within(m, expected_m, [&](std::size_t i) { return 4 * kRounding * m_scale[i]; });
          check_within(v, expected_v, [&](std::size_t i) { return 4 * kRounding * expected_v[i]; });
          // The update: 4 of m, half of v's 4, and root, correction, epsilon's sum, step size,
          // product and quotient; then the parameter's own.
          check_within(p, expected_p, [&](std::size_t i) {
            return kRounding * (12 * update_scale[i] + std::abs(expected_p[i]));
          });
        }
      }
    });
  });
}

TEST_CASE("adam: the first step moves by the learning rate against the gradient's sign") {
  Floats p{1.0F, 1.0F, 1.0F};
  const Floats g{3.0F, -0.5F, 0.0F};
  Floats m(3, 0.0F);
  Floats v(3, 0.0F);
  cpu::adam_step(p.data(), g.data(), m.data(), v.data(), 3,
                 Step{0.125F, 0.9F, 0.999F, 1e-8F, 1}.scheduled());
  // m / sqrt(v) is 1 to a few roundings.
  CHECK(std::abs(static_cast<double>(p[0]) - 0.875) <= 8 * kRounding);
  CHECK(std::abs(static_cast<double>(p[1]) - 1.125) <= 8 * kRounding);
  CHECK(p[2] == 1.0F);
}

}  // namespace
}  // namespace protolith::test
