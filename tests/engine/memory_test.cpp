#include "engine/memory.h"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <fstream>
#include <memory>
#include <string>
#include <vector>

#include "engine/check.h"
#include "engine/random.h"
#include "tests/engine/child_process.h"

using protolith::allocate_host;
using protolith::Arena;
using protolith::borrow_host;
using protolith::Device;
using protolith::Error;
using protolith::Purpose;
using protolith::Random;
using protolith::reserve_host_region;
using protolith::Storage;

namespace {

std::shared_ptr<Arena> make_arena() {
  return std::make_shared<Arena>(Device{}, reserve_host_region());
}

/// Runs 300 random allocations and releases, the same for the same seed. Every block is filled on
/// arrival and checked on departure, which shows overlaps. Returns the addresses handed out.
std::vector<std::byte*> random_step(Arena& arena, std::uint64_t seed) {
  Random random(seed, Purpose::test);
  std::vector<std::shared_ptr<Storage>> live;
  std::vector<std::byte*> addresses;
  std::size_t mark = 0;
  const auto is_intact = [](const Storage& block) {
    return std::all_of(block.data(), block.data() + block.bytes(),
                       [&](std::byte value) { return value == block.data()[0]; });
  };
  for (int i = 0; i < 300; ++i) {
    if (!live.empty() && random.below(2) == 0) {
      const auto victim = live.begin() + random.below(static_cast<std::uint32_t>(live.size()));
      CHECK(is_intact(**victim));
      live.erase(victim);
      continue;
    }
    live.push_back(arena.allocate(1 + random.below(100'000)));
    const Storage& block = *live.back();
    std::memset(block.data(), static_cast<int>(++mark % 256), block.bytes());
    addresses.push_back(block.data());
  }
  for (const auto& block : live) CHECK(is_intact(*block));
  return addresses;
}

}  // namespace

TEST_CASE("an arena's blocks are aligned and as large as asked for") {
  const auto arena = make_arena();
  std::vector<std::shared_ptr<Storage>> blocks;
  for (const std::size_t bytes : {0U, 1U, 255U, 256U, 257U, 5'000'000U}) {
    blocks.push_back(arena->allocate(bytes));
    CHECK(reinterpret_cast<std::uintptr_t>(blocks.back()->data()) % Arena::kAlignment == 0);
    CHECK(blocks.back()->bytes() == bytes);
  }
  // 0 and 1 to 256 bytes take one unit of 256, 257 two, 5'000'000 19532.
  CHECK(arena->live_bytes() == 256U * (1 + 1 + 1 + 1 + 2 + 19532));
  CHECK(arena->footprint_bytes() == arena->live_bytes());
}

TEST_CASE("a block freed inside a step is used again") {
  const auto arena = make_arena();
  auto a = arena->allocate(1024);
  const auto b = arena->allocate(1024);
  const std::byte* const place = a->data();
  a.reset();
  CHECK(arena->live_bytes() == 1024);
  a = arena->allocate(500);
  CHECK(a->data() == place);
  const auto rest = arena->allocate(512);  // what is left of the 1024 bytes
  CHECK(rest->data() == place + 512);
  CHECK(arena->footprint_bytes() == 2048);
  CHECK(arena->growth_count() == 2);
}

TEST_CASE("the footprint of a forward and backward pass is its liveness peak") {
  const auto arena = make_arena();
  std::size_t peak = 0;
  const auto allocate = [&](std::size_t bytes) {
    auto block = arena->allocate(bytes);
    peak = std::max(peak, arena->live_bytes());
    return block;
  };
  // Forward keeps every activation, backward holds two gradients and frees as it goes.
  std::vector<std::shared_ptr<Storage>> activations;
  for (int layer = 0; layer < 8; ++layer) activations.push_back(allocate(10'000));
  auto gradient = allocate(10'000);
  while (!activations.empty()) {
    auto next = allocate(10'000);
    activations.pop_back();
    gradient = std::move(next);
  }
  CHECK(peak == 10U * 10'240);
  CHECK(arena->footprint_bytes() == peak);
}

TEST_CASE("neighbours that are free become one block, in whatever order they were freed") {
  std::vector<std::size_t> order{0, 1, 2};
  do {
    const auto arena = make_arena();
    std::vector<std::shared_ptr<Storage>> blocks;
    for (int i = 0; i < 3; ++i) blocks.push_back(arena->allocate(256));
    const auto guard = arena->allocate(256);  // keeps the end of the arena occupied
    const std::byte* const first = blocks[0]->data();
    for (const std::size_t i : order) blocks[i].reset();
    CHECK(arena->allocate(768)->data() == first);
    CHECK(arena->footprint_bytes() == 1024);
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("a free block at the end of an arena is extended") {
  const auto arena = make_arena();
  const auto a = arena->allocate(256);
  auto b = arena->allocate(256);
  const std::byte* const place = b->data();
  b.reset();
  b = arena->allocate(512);
  CHECK(b->data() == place);
  CHECK(arena->footprint_bytes() == 768);
}

TEST_CASE("a second identical step places its blocks identically and does not grow") {
  const auto arena = make_arena();
  const std::vector<std::byte*> first = random_step(*arena, 1);
  const std::uint64_t growths = arena->growth_count();
  const std::size_t footprint = arena->footprint_bytes();
  REQUIRE(growths > 0);
  for (int step = 0; step < 3; ++step) {
    arena->reset();
    CHECK(arena->live_bytes() == 0);
    CHECK(random_step(*arena, 1) == first);
    CHECK(arena->growth_count() == growths);
    CHECK(arena->footprint_bytes() == footprint);
  }
}

TEST_CASE("blocks of random steps never overlap") {
  const auto arena = make_arena();
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    random_step(*arena, seed);
    CHECK(arena->live_bytes() == 0);
    if (seed % 3 == 0) arena->reset();
  }
}

TEST_CASE("a block stays where it is while the arena grows") {
  const auto arena = make_arena();
  const auto block = arena->allocate(100);
  std::memset(block->data(), 42, 100);
  const std::byte* const place = block->data();
  const auto large = arena->allocate(std::size_t{64} << 20);
  CHECK(block->data() == place);
  CHECK(std::all_of(place, place + 100, [](std::byte value) { return value == std::byte{42}; }));
}

TEST_CASE("a block used after the reset throws, and releasing it then is harmless") {
  const auto arena = make_arena();
  auto old = arena->allocate(1000);
  arena->reset();
  CHECK_THROWS_WITH_AS(old->data(), doctest::Contains("after the step ended"), Error);
  const auto fresh = arena->allocate(1000);  // the same place
  old.reset();
  CHECK(arena->live_bytes() == 1024);
  const auto other = arena->allocate(1000);
  CHECK(other->data() != fresh->data());
}

TEST_CASE("storage may outlive its arena's last other reference") {
  auto arena = make_arena();
  const auto block = arena->allocate(1000);
  arena.reset();
  std::memset(block->data(), 1, 1000);
  CHECK(block->data()[999] == std::byte{1});
}

TEST_CASE("more than the machine has throws and leaves the arena as it was") {
  const auto arena = make_arena();
  const auto block = arena->allocate(1000);
  for (const std::size_t bytes : {std::size_t{1} << 50, std::size_t{1} << 63}) {
    CHECK_THROWS_WITH_AS(arena->allocate(bytes), doctest::Contains("this machine has"), Error);
  }
  CHECK_THROWS_WITH_AS(arena->allocate(SIZE_MAX), doctest::Contains("out of memory"), Error);
  CHECK_THROWS_WITH_AS(allocate_host(SIZE_MAX), doctest::Contains("out of memory"), Error);
  CHECK(arena->live_bytes() == 1024);
  CHECK(arena->footprint_bytes() == 1024);
  CHECK(arena->growth_count() == 1);
  CHECK(arena->allocate(1000)->data() == block->data() + 1024);
}

/// The outcome of `work` in a process that may have so many bytes more of address space.
template <class Work>
std::string with_address_space(std::size_t more, const Work& work) {
  return protolith::testing::in_child([&] {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlim_t allowed = pages * 4096 + more;
    const rlimit limit{allowed, allowed};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return std::string("no limit set");
    return work(allowed);
  });
}

TEST_CASE("under ulimit -v step memory takes half of what is left") {
  const std::string outcome = with_address_space(std::size_t{1} << 30, [](std::size_t allowed) {
    const auto arena = make_arena();
    const auto block = arena->allocate(std::size_t{256} << 20);
    const auto heap = std::make_unique_for_overwrite<std::byte[]>(std::size_t{256} << 20);
    arena->allocate(allowed / 2);
    return std::string("no limit");
  });
  CAPTURE(outcome);
  CHECK(outcome.find("exception: a step needs") == 0);
  CHECK(outcome.find("ulimit -v") != std::string::npos);
}

TEST_CASE("too little address space is an error with a remedy") {
  const std::string outcome = with_address_space(std::size_t{64} << 20, [](std::size_t) {
    reserve_host_region();
    return std::string("reserved");
  });
  CHECK(outcome.find("exception: cannot reserve") == 0);
  CHECK(outcome.find("ulimit -v") != std::string::npos);
}

TEST_CASE("host blocks are zero-filled and aligned") {
  for (int i = 0; i < 10; ++i) {
    const auto block = allocate_host(10'000);
    CHECK(reinterpret_cast<std::uintptr_t>(block->data()) % Arena::kAlignment == 0);
    CHECK(std::all_of(block->data(), block->data() + block->bytes(),
                      [](std::byte value) { return value == std::byte{0}; }));
    std::memset(block->data(), 0xff, block->bytes());  // the next one may get this memory
  }
}

TEST_CASE("a borrowed block keeps its keeper alive and no longer") {
  auto bytes = std::make_shared<std::vector<std::byte>>(16, std::byte{7});
  const std::weak_ptr<std::vector<std::byte>> watch = bytes;
  std::byte* const data = bytes->data();
  auto storage = borrow_host(data, 16, std::move(bytes));
  CHECK(!watch.expired());
  CHECK(storage->data() == data);
  storage.reset();
  CHECK(watch.expired());
}

TEST_CASE("host blocks of any size are zero-filled and aligned") {
  for (const std::size_t bytes : {std::size_t{0}, std::size_t{1}, std::size_t{1000},
                                  (std::size_t{4} << 20) - 1, (std::size_t{5} << 20) + 3}) {
    CAPTURE(bytes);
    for (int again = 0; again < 4; ++again) {  // also what the heap has handed out before
      const auto block = allocate_host(bytes);
      CHECK(block->bytes() == bytes);
      CHECK(reinterpret_cast<std::uintptr_t>(block->data()) % Arena::kAlignment == 0);
      CHECK(std::all_of(block->data(), block->data() + bytes,
                        [](std::byte value) { return value == std::byte{0}; }));
      std::memset(block->data(), 1, bytes);
    }
  }
}
