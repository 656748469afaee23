// Memory, element-by-element operations, means, GEMM, ReLU and pool of every backend.
#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <numeric>

#include "tests/backend_ops/support.h"
#include "tests/reference/activation.h"

namespace protolith::test {
namespace {

constexpr std::int64_t kCounts[] = {1, 3, 15, 16, 17, 100, 4099};

TEST_CASE("elementwise: fill, add, accumulate, scale are exactly rounded") {
  for_each_backend([](Backend& backend) {
    for (const std::int64_t count : kCounts) {
      const Array a = random_array(count, 1), b = random_array(count, 2);
      const Tensor ta = upload(backend, a, {count}), tb = upload(backend, b, {count});
      Array sum, scaled;
      for (std::size_t i = 0; i < a.size(); ++i) {
        sum.push_back(static_cast<float>(a[i] + b[i]));
        scaled.push_back(static_cast<float>(a[i] * double{0.3F}));
      }
      CHECK(download(backend, backend.add(ta, tb)) == sum);
      CHECK(download(backend, backend.scale(ta, upload(backend, Array{0.3}, {1}))) == scaled);
      CHECK(download(backend, ta) == a);
      backend.accumulate(ta, tb);
      CHECK(download(backend, ta) == sum);
      backend.fill(ta, -2.5F);
      CHECK(download(backend, ta) == Array(a.size(), -2.5));
    }
  });
}

TEST_CASE("elementwise: mean") {
  for_each_backend([](Backend& backend) {
    for (const std::int64_t count : kCounts) {
      const Array a = random_array(count, 1, 0.0, 1.0);
      const Tensor mean = backend.mean(upload(backend, a, {count}));
      CHECK(mean.shape() == Shape{1});
      const double want = std::accumulate(a.begin(), a.end(), 0.0) / static_cast<double>(count);
      check_close(download(backend, mean), {want}, 4.0 * kRoundoff, "mean");
    }
  });
}

TEST_CASE("matmul: all transpositions, odd sizes, against the double reference") {
  struct Sizes {
    std::int64_t m, n, k;
  };
  for_each_backend([](Backend& backend) {
    for (const Sizes s : {Sizes{1, 1, 1}, Sizes{7, 5, 3}, Sizes{1, 17, 33}, Sizes{64, 60, 577}}) {
      for (const int flags : {0, 1, 2, 3}) {
        const bool ta = (flags & 1) != 0, tb = (flags & 2) != 0;
        const Array a = random_array(s.m * s.k, 1), b = random_array(s.k * s.n, 2);
        Array want = reference::zeros(s.m * s.n);
        for (std::int64_t i = 0; i < s.m; ++i) {
          for (std::int64_t j = 0; j < s.n; ++j) {
            for (std::int64_t l = 0; l < s.k; ++l) {
              const auto ia = ta ? reference::at(l, s.m, i) : reference::at(i, s.k, l);
              const auto ib = tb ? reference::at(j, s.k, l) : reference::at(l, s.n, j);
              want[reference::at(i, s.n, j)] += a[ia] * b[ib];
            }
          }
        }
        const Tensor c =
            backend.matmul(upload(backend, a, ta ? Shape{s.k, s.m} : Shape{s.m, s.k}), ta,
                           upload(backend, b, tb ? Shape{s.n, s.k} : Shape{s.k, s.n}), tb);
        CHECK(c.shape() == Shape{s.m, s.n});
        check_close(download(backend, c), want, sum_tolerance(s.k), "matmul");
      }
    }
  });
}

TEST_CASE("relu: exact, slope 0 at 0, NaN passes") {
  for_each_backend([](Backend& backend) {
    for (const std::int64_t count : kCounts) {
      Array x = random_array(count, 1);
      const Array dy = random_array(count, 2);
      x[0] = 0.0;
      if (count > 2) x[static_cast<std::size_t>(count - 1)] = std::nan("");
      if (count > 2) x[1] = -0.0;
      const Array want = reference::relu(x);
      const Tensor y = backend.relu(upload(backend, x, {count}));
      check_close(download(backend, y), want, 0.0, "y");
      check_close(download(backend, backend.relu_backward(y, upload(backend, dy, {count}))),
                  reference::relu_backward(want, dy), 0.0, "dx");
    }
  });
}

const reference::Extents kPoolCases[] = {{1, 2, 2, 1}, {2, 7, 5, 3},    {3, 3, 3, 64},
                                         {1, 9, 2, 5}, {2, 28, 28, 17}, {5, 4, 6, 16}};

TEST_CASE("max-pool: values, winners, ties, NaN and gradients are exact") {
  for_each_backend([](Backend& backend) {
    for (const auto& extents : kPoolCases) {
      Array x = random_array(extents.elements(), 1);
      for (double& value : x) value = std::round(value * 2.0);  // many ties
      if (x.size() > 40) x[0] = x[17] = x[38] = std::nan("");
      const auto want = reference::max_pool(x, extents);
      const auto got = backend.max_pool(upload(backend, x, shape_of(extents)));
      CHECK(got.y.shape() == shape_of(reference::pooled(extents)));
      check_close(download(backend, got.y), want.y, 0.0, "y");
      CHECK(download_bytes(backend, got.winner) == want.winner);
      const Array dy = random_array(static_cast<std::int64_t>(want.y.size()), 2);
      const Tensor dx = backend.max_pool_backward(upload(backend, dy, got.y.shape()), got.winner,
                                                  shape_of(extents));
      check_close(download(backend, dx), reference::max_pool_backward(dy, want.winner, extents),
                  0.0, "dx");
    }
  });
}

TEST_CASE("max-pool: a window of NaNs is won by the last one, as in the reference") {
  for_each_backend([](Backend& backend) {
    const double nan = std::nan("");
    const Array x{nan, 1, nan, 9, 3, nan, nan, nan};  // two channels of one window
    const reference::Extents extents{1, 2, 2, 2};
    const auto got = backend.max_pool(upload(backend, x, shape_of(extents)));
    CHECK(download_bytes(backend, got.winner) == reference::max_pool(x, extents).winner);
    CHECK(std::isnan(download(backend, got.y)[0]));
  });
}

TEST_CASE("memory: copies keep bits, persistent memory is zero and outlives steps") {
  for_each_backend([](Backend& backend) {
    const Array values = random_array(100, 1);
    const Tensor kept = backend.persistent({10, 10});
    CHECK(download(backend, kept) == Array(100, 0.0));
    backend.copy(upload(backend, values, {10, 10}), kept);
    const Tensor step = backend.empty({10, 10});
    backend.copy(kept, step);
    CHECK(download(backend, step) == values);
    backend.end_step();
    CHECK(download(backend, kept) == values);
    const std::vector<std::int32_t> integers{1, -2, 3};
    const Tensor ti = upload(backend, integers, {3});
    CHECK(backend.to_host(ti).host_span<std::int32_t>()[1] == -2);
    CHECK(backend.empty({3}, DType::u8).dtype() == DType::u8);
    CHECK(!backend.description().empty());
  });
}

TEST_CASE("elementwise: nothing is written beyond the result") {
  for_each_backend([](Backend& backend) {
    constexpr std::int64_t kCount = 64;  // fills a block of the arena
    const Tensor x = upload(backend, random_array(kCount, 1), {kCount});
    const Tensor y = upload(backend, random_array(kCount, 2), {kCount});
    const Tensor factor = upload(backend, Array{3}, {1});
    const std::function<Tensor()> operations[] = {
        [&] { return backend.add(x, y); },
        [&] { return backend.scale(x, factor); },
        [&] { return backend.relu(x); },
        [&] { return backend.relu_backward(x, y); },
        [&] { return backend.rows_backward(x, {kCount}, 0); },
    };
    for (const auto& operation : operations) {
      Tensor place = backend.empty({kCount});
      const Tensor next = backend.empty({kCount});
      backend.fill(next, 7.0F);
      const std::byte* const expected = place.raw();
      place = {};
      const Tensor result = operation();
      REQUIRE(result.raw() == expected);
      CHECK(download(backend, next) == Array(kCount, 7.0));
      backend.end_step();
    }
    const Tensor rows = backend.persistent({3, kCount});
    backend.fill(rows.rows(1, 2), 7.0F);
    backend.accumulate(rows.rows(1, 2), backend.to_device(Tensor::of<float>(
                                            std::vector<float>(kCount, 7.0F), {1, kCount})));
    Array want(3 * kCount, 0.0);
    std::fill_n(want.begin() + kCount, kCount, 14.0);
    CHECK(download(backend, rows) == want);
  });
}

}  // namespace
}  // namespace protolith::test
