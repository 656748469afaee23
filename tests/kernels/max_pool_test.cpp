#include "kernels/cpu/max_pool.h"

#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

using cpu::ImageExtents;

constexpr ImageExtents kShapes[] = {
    {1, 2, 2, 1}, {2, 3, 2, 3}, {1, 5, 7, 5}, {3, 4, 5, 64}, {4, 21, 16, 65}};

std::int64_t size(const ImageExtents& e) {
  return e.images * e.height * e.width * e.channels;
}
std::int64_t pooled_size(const ImageExtents& e) {
  return e.images * (e.height / 2) * (e.width / 2) * e.channels;
}

// Calls f(output index, the four input indices in row-major order).
template <class F>
void for_each_window(const ImageExtents& e, F f) {
  std::size_t out = 0;
  for (std::int64_t n = 0; n < e.images; ++n) {
    for (std::int64_t oy = 0; oy < e.height / 2; ++oy) {
      for (std::int64_t ox = 0; ox < e.width / 2; ++ox) {
        for (std::int64_t c = 0; c < e.channels; ++c) {
          std::size_t in[4];
          for (int place = 0; place < 4; ++place) {
            const std::int64_t y = 2 * oy + place / 2;
            const std::int64_t x = 2 * ox + place % 2;
            in[place] =
                static_cast<std::size_t>(((n * e.height + y) * e.width + x) * e.channels + c);
          }
          f(out++, in);
        }
      }
    }
  }
}

TEST_CASE("max-pool: the first maximum wins a tie, the last NaN wins over all") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const ImageExtents& e : kShapes) {
        Floats x = quarters(size(e), 11, 1);  // nine values: ties in most windows
        for (std::size_t i = 3; i < x.size(); i += 5) x[i] = kNan;
        Floats expected(static_cast<std::size_t>(pooled_size(e)));
        std::vector<std::uint8_t> places(expected.size());
        for_each_window(e, [&](std::size_t out, const std::size_t(&in)[4]) {
          int best = 0;
          for (int place = 1; place < 4; ++place) {
            if (x[in[place]] > x[in[best]] || std::isnan(x[in[place]])) best = place;
          }
          expected[out] = x[in[best]];
          places[out] = static_cast<std::uint8_t>(best);
        });
        Floats y(expected.size());
        std::vector<std::uint8_t> winner(expected.size(), 9);
        cpu::max_pool_forward(x.data(), y.data(), winner.data(), e);
        CHECK(same(y, expected));
        CHECK(winner == places);
      }
    });
  });
}

TEST_CASE("max-pool backward writes every element, zero where nothing won") {
  for_each_instruction_set([] {
    for_each_thread_count([](int) {
      for (const ImageExtents& e : kShapes) {
        const Floats dy = normal(pooled_size(e), 12);
        std::vector<std::uint8_t> winner(dy.size());
        for (std::size_t i = 0; i < winner.size(); ++i) {
          winner[i] = static_cast<std::uint8_t>(i * 7 / 3 % 4);
        }
        Floats expected(static_cast<std::size_t>(size(e)), 0.0F);
        for_each_window(e, [&](std::size_t out, const std::size_t(&in)[4]) {
          expected[in[winner[out]]] = dy[out];
        });
        Floats dx(expected.size(), kNan);
        cpu::max_pool_backward(dy.data(), winner.data(), dx.data(), e);
        CHECK(same(dx, expected));
      }
    });
  });
}

}  // namespace
}  // namespace protolith::test
