// What a step that is replayed on the device needs: work that runs again and again, results that
// wait in device memory, and an optimizer that stops by itself.
#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"

namespace protolith::test {
namespace {

TEST_CASE("scores wait in their slots; a loss that is not finite raises the flag for good") {
  for_each_backend([](Backend& backend) {
    const Tensor scores = backend.persistent({3, 2}), failed = backend.persistent({1});
    const auto record = [&](double loss, const Array& hit, std::int32_t slot) {
      backend.record_scores(upload(backend, Array{loss}, {1}),
                            upload(backend, hit, {static_cast<std::int64_t>(hit.size())}),
                            upload(backend, std::vector<std::int32_t>{slot}, {1}), scores, failed);
    };
    record(0.5, {1, 0, 1, 1}, 2);
    record(1.5, {0}, 0);
    CHECK(download(backend, scores) == Array{1.5, 0, 0, 0, 0.5, 0.75});
    CHECK(download(backend, failed) == Array{0});
    record(INFINITY, Array(300, 1.0), 1);
    CHECK(download(backend, scores)[3] == 1);
    CHECK(download(backend, failed) == Array{1});
    record(0.25, {1}, 0);
    CHECK(download(backend, failed) == Array{1});
  });
}

TEST_CASE("a slot outside raises the flag and writes nothing") {
  for_each_backend([](Backend& backend) {
    for (const std::int32_t slot : {-1, 2}) {
      const Tensor scores = backend.persistent({2, 2}), failed = backend.persistent({1});
      backend.record_scores(upload(backend, Array{1}, {1}), upload(backend, Array{1}, {1}),
                            upload(backend, std::vector<std::int32_t>{slot}, {1}), scores, failed);
      CHECK(download(backend, failed) == Array{1});
      CHECK(download(backend, scores) == Array(4, 0.0));
    }
  });
}

TEST_CASE("adam: a raised flag leaves parameters and moments alone") {
  for_each_backend([](Backend& backend) {
    const Array start = random_array(21, 1);
    const Tensor parameters = upload(backend, start, {21});
    const Tensor m = backend.persistent({21}), v = backend.persistent({21});
    const Tensor gradients = upload(backend, Array(21, 1.0), {21});
    const Tensor schedule = upload(backend, Array{0.1, 1}, {2});
    const auto step = [&](double flag) {
      backend.adam_step(parameters, gradients, m, v, {}, schedule,
                        upload(backend, Array{flag}, {1}));
    };
    step(1);
    CHECK(download(backend, parameters) == start);
    CHECK(download(backend, m) == Array(21, 0.0));
    CHECK(download(backend, v) == Array(21, 0.0));
    step(0);
    CHECK(download(backend, parameters)[20] < start[20]);
  });
}

TEST_CASE("rows backward: zeros around the rows") {
  for_each_backend([](Backend& backend) {
    for (const std::int64_t begin : {0, 1, 5}) {
      const Array dy = random_array(2 * 3, 1);
      const Tensor dx = backend.rows_backward(upload(backend, dy, {2, 3}), {7, 3}, begin);
      CHECK(dx.shape() == Shape{7, 3});
      Array want(21, 0.0);
      std::copy(dy.begin(), dy.end(), want.begin() + 3 * begin);
      CHECK(download(backend, dx) == want);
    }
  });
}

TEST_CASE("many accumulations at once, in order") {
  for_each_backend([](Backend& backend) {
    std::vector<Accumulation> sums;
    std::vector<Array> want;
    for (std::int64_t i = 0; i < 70; ++i) {
      const std::int64_t count = 1 + i * i % 301;
      const Array a = random_array(count, 1), b = random_array(count, 2);
      sums.push_back({upload(backend, a, {count}), upload(backend, b, {count})});
      want.push_back(a);
      for (std::size_t k = 0; k < a.size(); ++k) {
        want.back()[k] = static_cast<float>(a[k]) + static_cast<float>(b[k]);
      }
    }
    backend.accumulate(sums);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      CHECK(download(backend, sums[i].target) == want[i]);
    }
    // The same target twice, as a parameter that is used twice makes it.
    const Tensor twice = upload(backend, Array{1}, {1}), one = upload(backend, Array{1}, {1});
    const Accumulation both[] = {{twice, one}, {twice, one}};
    backend.accumulate(both);
    CHECK(download(backend, twice) == Array{3});
    const Accumulation wrong[] = {{backend.persistent({2}), one}};
    CHECK_THROWS_AS(backend.accumulate(wrong), Error);
  });
}

TEST_CASE("a replay does its work at each run, on what the persistent tensors then hold") {
  for_each_backend([](Backend& backend) {
    const Tensor x = backend.persistent({5}), sum = backend.persistent({5});
    const auto replay = backend.make_replay([&] { backend.accumulate(sum, backend.add(x, x)); });
    Array want(5, 0.0);
    for (std::uint64_t run = 0; run < 5; ++run) {
      const Array values = {static_cast<double>(run), 1, 2, 3, 4};
      backend.copy(upload(backend, values, {5}), x);
      replay->run();
      for (std::size_t i = 0; i < 5; ++i) want[i] += 2 * values[i];
      CHECK(download(backend, sum) == want);
      // Other work between two runs takes and gives back step memory.
      const Tensor other = backend.add(x, sum);
      CHECK(download(backend, other)[0] == values[0] + want[0]);
      backend.end_step();
    }
  });
}

TEST_CASE("each run of a replay ends the step") {
  for_each_backend([](Backend& backend) {
    const Tensor x = upload(backend, Array{1, 2}, {2}), sum = backend.persistent({2});
    const auto replay = backend.make_replay([&] { backend.accumulate(sum, backend.add(x, x)); });
    for (int run = 0; run < 3; ++run) {
      const Tensor of_this_step = backend.add(x, x);
      CHECK(download(backend, of_this_step) == Array{2, 4});
      replay->run();
      CHECK_THROWS_AS(of_this_step.raw(), Error);
    }
    CHECK(download(backend, sum) == Array{6, 12});
  });
}

}  // namespace
}  // namespace protolith::test
