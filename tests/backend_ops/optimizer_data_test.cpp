// Adam and the episode gather of every backend against the double reference.
#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"
#include "tests/reference/adam.h"
#include "tests/reference/episode_gather.h"

namespace protolith::test {
namespace {

TEST_CASE("adam: three steps") {
  for_each_backend([](Backend& backend) {
    const AdamOptions options{0.01F, 0.9F, 0.999F, 1e-8F};
    const reference::Adam exact{double{0.01F}, double{0.9F}, double{0.999F}, double{1e-8F}};
    for (const std::int64_t count : {1, 15, 16, 17, 1003}) {
      const Shape shape{count};
      const Array start = random_array(count, 1);
      reference::AdamState state{start, reference::zeros(count), reference::zeros(count)};
      const Tensor parameters = upload(backend, start, shape);
      const Tensor m = backend.persistent(shape), v = backend.persistent(shape);
      for (int step = 1; step <= 3; ++step) {
        // From large gradients to ones whose square nearly vanishes beside epsilon, and zero.
        Array g = random_array(count, static_cast<std::uint64_t>(step) + 1);
        for (std::size_t i = 0; i < g.size(); ++i) {
          g[i] = static_cast<float>(g[i] * std::pow(10.0, 2.0 - static_cast<double>(i % 12)));
        }
        if (count > 3) g[3] = 0.0;
        adam_step(state, g, exact, step);
        backend.adam_step(parameters, upload(backend, g, shape), m, v, options, step);
      }
      // m is a short sum of signed terms; v of positive ones. A parameter below 1 is rounded
      // three times; each step is at most a few percent and exact to some roundoffs.
      check_close(download(backend, m), state.m, 16.0 * kRoundoff, "m");
      check_close(download(backend, v), state.v, 16.0 * kRoundoff, "v");
      const Array bound(start.size(), 4.0 * kRoundoff);
      check_within(download(backend, parameters), state.parameters, bound, "parameters");
    }
  });
}

TEST_CASE("adam: the first step moves by the learning rate, a zero gradient by nothing") {
  for_each_backend([](Backend& backend) {
    const Tensor parameters = upload(backend, Array{0, 0, 0.5}, {3});
    const Tensor m = backend.persistent({3}), v = backend.persistent({3});
    backend.adam_step(parameters, upload(backend, Array{1e-3, -1e3, 0}, {3}), m, v, {}, 1);
    // epsilon beside |g| = 1e-3 takes off a relative 1e-5.
    const double rate = double{1e-3F};
    check_within(download(backend, parameters), {-rate / (1.0 + 1e-5), rate, 0.5},
                 {8 * kRoundoff * rate, 8 * kRoundoff * rate, 0.0}, "parameters");
  });
}

TEST_CASE("adam: a view of a buffer leaves its neighbours alone") {
  for_each_backend([](Backend& backend) {
    const Array values = random_array(64, 1);
    const Tensor all = upload(backend, values, {64});
    const Tensor part = all.view(5, {17});
    backend.adam_step(part, upload(backend, Array(17, 1.0), {17}), backend.persistent({17}),
                      backend.persistent({17}), {}, 1);
    const Array after = download(backend, all);
    for (std::size_t i = 0; i < 64; ++i) CHECK((after[i] == values[i]) == (i < 5 || i >= 22));
  });
}

TEST_CASE("episode gather: indices, quarter turns, normalisation, are exactly rounded") {
  const reference::Extents cases[] = {{4, 28, 28, 1}, {3, 5, 5, 3}, {1, 1, 1, 1}, {5, 7, 7, 2}};
  for_each_backend([&](Backend& backend) {
    for (const auto& extents : cases) {
      Bytes images;
      for (const double value : random_array(extents.elements(), 1, 0.0, 256.0)) {
        images.push_back(static_cast<std::uint8_t>(value));
      }
      const auto indices = random_labels(13, extents.images, 2), turns = random_labels(13, 4, 3);
      const Array scale = random_array(extents.channels, 4),
                  shift = random_array(extents.channels, 5);
      const Tensor got = backend.episode_gather(
          upload(backend, images, shape_of(extents)), upload(backend, indices, {13}),
          upload(backend, turns, {13}), upload(backend, scale, {extents.channels}),
          upload(backend, shift, {extents.channels}));
      CHECK(got.shape() == Shape{13, extents.height, extents.width, extents.channels});
      const Array want = reference::episode_gather(images, extents, indices, turns, scale, shift);
      // A multiplication and an addition of numbers up to 256, each rounded once.
      Array bound = want;
      for (double& value : bound) value = 2.0 * kRoundoff * 256.0;
      check_within(download(backend, got), want, bound, "pixels");
    }
  });
}

TEST_CASE("episode gather: half turns of images that are not square") {
  for_each_backend([](Backend& backend) {
    const reference::Extents extents{2, 3, 5, 2};
    Bytes images(static_cast<std::size_t>(extents.elements()));
    for (std::size_t i = 0; i < images.size(); ++i) images[i] = static_cast<std::uint8_t>(i);
    const std::vector<std::int32_t> indices{1, 0, 1}, turns{2, 0, 0};
    const Tensor got = backend.episode_gather(
        upload(backend, images, shape_of(extents)), upload(backend, indices, {3}),
        upload(backend, turns, {3}), upload(backend, Array{1, 2}, {2}),
        upload(backend, Array{0, 1}, {2}));
    CHECK(download(backend, got) ==
          reference::episode_gather(images, extents, indices, turns, {1, 2}, {0, 1}));
  });
}

TEST_CASE("gather rows: a table's rows in any order, repeated") {
  for_each_backend([](Backend& backend) {
    for (const std::int64_t columns : {1, 7, 64, 577}) {
      const Array table = random_array(9 * columns, 1);
      const std::vector<std::int32_t> indices{8, 0, 3, 3, 5};
      const Tensor got =
          backend.gather_rows(upload(backend, table, {9, columns}), upload(backend, indices, {5}));
      CHECK(got.shape() == Shape{5, columns});
      Array want;
      for (const std::int32_t index : indices) {
        const auto begin = table.begin() + index * columns;
        want.insert(want.end(), begin, begin + columns);
      }
      CHECK(download(backend, got) == want);
    }
  });
}

TEST_CASE("gather rows: as many as an evaluation episode has, every one") {
  for_each_backend([](Backend& backend) {
    constexpr std::int64_t kRows = 53, kColumns = 65, kGathered = 1500;
    const Array table = random_array(kRows * kColumns, 1);
    std::vector<std::int32_t> indices;
    Array want;
    for (std::int64_t i = 0; i < kGathered; ++i) {
      const std::int64_t row = i * 7 % kRows;
      indices.push_back(static_cast<std::int32_t>(row));
      const auto begin = table.begin() + row * kColumns;
      want.insert(want.end(), begin, begin + kColumns);
    }
    const Tensor got = backend.gather_rows(upload(backend, table, {kRows, kColumns}),
                                           upload(backend, indices, {kGathered}));
    CHECK(download(backend, got) == want);
  });
}

}  // namespace
}  // namespace protolith::test
