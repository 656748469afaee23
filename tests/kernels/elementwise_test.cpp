#include "kernels/cpu/elementwise.h"

#include "kernels/cpu/relu.h"
#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

constexpr std::int64_t kCounts[] = {1, 3, 16, 17, 1000, 50001};

TEST_CASE("add, scale and fill give the rounded results, in place too, on any thread count") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const std::int64_t count : kCounts) {
        const Floats a = normal(count, 1);
        const Floats b = normal(count, 2);
        Floats total(a.size());
        Floats scaled(a.size());
        for (std::size_t i = 0; i < a.size(); ++i) {
          total[i] = a[i] + b[i];
          scaled[i] = a[i] * 0.3F;
        }
        Floats out(a.size());
        cpu::add(a.data(), b.data(), out.data(), count);
        CHECK(same(out, total));
        out = b;
        cpu::add(a.data(), out.data(), out.data(), count);
        CHECK(same(out, total));
        cpu::scale(a.data(), 0.3F, out.data(), count);
        CHECK(same(out, scaled));
        out = a;
        cpu::scale(out.data(), 0.3F, out.data(), count);
        CHECK(same(out, scaled));
        cpu::fill(out.data(), -2.5F, count);
        CHECK(same(out, Floats(a.size(), -2.5F)));
      }
    });
  });
}

TEST_CASE("sum is exact to double rounding and repeats bit for bit") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const std::int64_t count : kCounts) {
        const Floats a = normal(count, 3, 100.0F);
        long double expected = 0.0L;
        double magnitude = 0.0;
        for (const float value : a) {
          expected += static_cast<long double>(value);
          magnitude += std::abs(static_cast<double>(value));
        }
        const double actual = cpu::sum(a.data(), count);
        // Every one of the count additions rounds to a relative 2^-53.
        const double bound = static_cast<double>(count) * 0x1p-53 * magnitude;
        CHECK(std::abs(actual - static_cast<double>(expected)) <= bound);
        CHECK(actual == cpu::sum(a.data(), count));
      }
    });
  });
}

TEST_CASE("relu keeps NaN, turns -0 into 0 and has slope 0 at 0") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const std::int64_t count : kCounts) {
        Floats x = quarters(count, 4);
        const Floats dy = normal(count, 5);
        for (std::size_t i = 0; i < x.size(); i += 7) x[i] = i % 2 == 0 ? kNan : -0.0F;
        Floats expected(x.size());
        Floats gradient(x.size());
        for (std::size_t i = 0; i < x.size(); ++i) {
          expected[i] = x[i] <= 0.0F ? 0.0F : x[i];
          gradient[i] = expected[i] <= 0.0F ? 0.0F : dy[i];
        }
        Floats y(x.size());
        cpu::relu_forward(x.data(), y.data(), count);
        CHECK(same(y, expected));
        cpu::relu_forward(x.data(), x.data(), count);
        CHECK(same(x, expected));
        Floats dx(x.size());
        cpu::relu_backward(y.data(), dy.data(), dx.data(), count);
        CHECK(same(dx, gradient));
        dx = dy;
        cpu::relu_backward(y.data(), dx.data(), dx.data(), count);
        CHECK(same(dx, gradient));
      }
    });
  });
}

TEST_CASE("the instruction set has a name") {
  CHECK(std::string(cpu::instruction_set()).size() >= 4);
  std::set<std::string> names;
  for_each_instruction_set([&] { names.insert(cpu::instruction_set()); });
  CHECK(names.count(cpu::instruction_set()) == 1);
}

}  // namespace
}  // namespace protolith::test
