// How work is shared among threads: every item once, in parts that the counts alone decide, and
// more of them to whoever is free.
#include "kernels/cpu/parallel.h"

#include <doctest/doctest.h>
#include <omp.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <thread>
#include <vector>

#include "tests/kernels/naive.h"

namespace protolith::test {
namespace {

using cpu::parallel_parts;
using cpu::WorkParts;

TEST_CASE("parallel: parts follow each other, and hold everything") {
  for_each_thread_count([](int threads) {
    for (const std::int64_t count : {1, 2, 7, 60, 360, 1001}) {
      for (const std::int64_t grain : {1, 7, 30}) {
        CAPTURE(count);
        CAPTURE(grain);
        const WorkParts parts(count, 2, grain);
        CHECK(parts.workers() == std::clamp<std::int64_t>(count / 2, 1, threads));
        CHECK(parts.begin(0) == 0);
        CHECK(parts.begin(parts.count()) == count);
        std::int64_t small = 0;
        for (int part = 0; part < parts.count(); ++part) {
          const std::int64_t items = parts.begin(part + 1) - parts.begin(part);
          CHECK(items > 0);
          if (part % parts.per_worker() == 0) continue;
          CHECK(items % grain == 0);
          small += items;
        }
        CHECK(small <= count / 4);
      }
    }
  });
}

TEST_CASE("parallel: enough work for several threads has small parts") {
  for_each_thread_count([](int threads) {
    const WorkParts parts(360, 1, 7);
    CHECK(parts.count() == (threads == 1 ? 1 : 5 * threads));
  });
}

TEST_CASE("parallel: every item goes to one call, and calls at once to different workers") {
  for_each_thread_count([](int) {
    const WorkParts parts(500, 1, 3);
    std::vector<std::atomic<int>> items(500);
    std::vector<std::atomic<int>> busy(static_cast<std::size_t>(parts.workers()));
    std::atomic<int> clashes = 0;
    parallel_parts(parts, [&](std::int64_t begin, std::int64_t end, int part, int worker) {
      auto& own = busy.at(static_cast<std::size_t>(worker));
      if (own.fetch_add(1) != 0 || begin != parts.begin(part)) ++clashes;
      for (std::int64_t i = begin; i < end; ++i) ++items.at(static_cast<std::size_t>(i));
      std::this_thread::sleep_for(std::chrono::milliseconds(1));  // so that calls meet
      --own;
    });
    CHECK(clashes == 0);
    for (const auto& calls : items) CHECK(calls == 1);
  });
}

TEST_CASE("parallel: all parts are done where fewer threads come than were asked for") {
  const int before = omp_get_max_active_levels();
  omp_set_max_active_levels(1);
  for_each_thread_count([](int) {
    std::vector<int> items(500);
    int strangers = 0;
#pragma omp parallel num_threads(2)
#pragma omp single
    parallel_parts({500, 1, 3}, [&](std::int64_t begin, std::int64_t end, int, int worker) {
      if (worker != 0) ++strangers;
      for (std::int64_t i = begin; i < end; ++i) ++items.at(static_cast<std::size_t>(i));
    });
    CHECK(strangers == 0);
    for (const int calls : items) CHECK(calls == 1);
  });
  omp_set_max_active_levels(before);
}

TEST_CASE("parallel: a slow thread leaves the small parts to the others") {
  for_each_thread_count([](int threads) {
    if (threads == 1) return;
    const WorkParts parts(360, 1, 7);
    std::atomic<int> done = 0;
    bool others_were_done = false;
    parallel_parts(parts, [&](std::int64_t, std::int64_t, int part, int) {
      if (part == 0) {
        const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
        while (done < parts.count() - 1 && std::chrono::steady_clock::now() < limit) {
          std::this_thread::yield();
        }
        others_were_done = done == parts.count() - 1;
      }
      ++done;
    });
    CHECK(others_were_done);
  });
}

}  // namespace
}  // namespace protolith::test
