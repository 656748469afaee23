#include "tests/gpu_emulation/simt/executor.h"

#include <algorithm>
#include <utility>

#include "tests/gpu_emulation/simt/block.h"
#include "tests/gpu_emulation/simt/kernel_name.h"
#include "tests/gpu_emulation/simt/sequence.h"

namespace simt {
namespace {

constexpr unsigned kMaxThreads = 1024, kMaxThreadsZ = 64, kMaxGridYZ = 65535;
constexpr std::size_t kMaxSharedBytes = 48 << 10;  // Without an opt-in.

std::function<void(CUstream_st*, std::function<void()>)>& submitter() {
  static std::function<void(CUstream_st*, std::function<void()>)> function;
  return function;
}

std::function<void(const Launch&, bool)>& observer() {
  static std::function<void(const Launch&, bool)> function;
  return function;
}

std::string text(const dim3& v) {
  return std::to_string(v.x) + "x" + std::to_string(v.y) + "x" + std::to_string(v.z);
}

}  // namespace

void set_order(Order order, std::uint64_t seed) {
  sequence().choose(order, seed);
}

bool tiny_grids_only() {
  return race::kEnabled;
}

void set_launch_observer(std::function<void(const Launch&, bool)> function) {
  observer() = std::move(function);
}

void submit(CUstream_st* stream, std::function<void()> work) {
  if (submitter())
    submitter()(stream, std::move(work));
  else
    work();
}

void set_submitter(std::function<void(CUstream_st*, std::function<void()>)> function) {
  submitter() = std::move(function);
}

void check_launch(const Launch& launch) {
  const dim3 &grid = launch.grid, &block = launch.block;
  const auto threads = std::uint64_t{block.x} * block.y * block.z;
  const bool valid = threads >= 1 && threads <= kMaxThreads && block.x <= kMaxThreads &&
                     block.y <= kMaxThreads && block.z <= kMaxThreadsZ && grid.x >= 1 &&
                     grid.x <= 0x7fffffff && grid.y >= 1 && grid.y <= kMaxGridYZ && grid.z >= 1 &&
                     grid.z <= kMaxGridYZ && launch.shared_bytes <= kMaxSharedBytes;
  if (valid) return;
  throw Error(kernel_name(launch.kernel) + ": invalid launch configuration: " + text(grid) +
              " blocks of " + text(block) + " threads, " + std::to_string(launch.shared_bytes) +
              " bytes of dynamic shared memory");
}

void run(const Launch& launch) {
  check_launch(launch);
  if (observer()) observer()(launch, false);
  const dim3& grid = launch.grid;
  std::vector<unsigned> order(std::size_t{grid.x} * grid.y * grid.z);
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = static_cast<unsigned>(i);
  sequence().arrange(order.data(), order.data() + order.size());
  Block block(launch);
  for (const unsigned i : order) block.run({i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y});
  block.join();
  if (observer()) observer()(launch, true);
}

}  // namespace simt
