// The executor runs right what is right, and catches what CUDA forbids. Each kernel here isolates
// one feature or one mistake.
#include "tests/gpu_emulation/simt/executor.h"

#include <cuda_runtime.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/cuda/launch.cuh"
#include "tests/engine/child_process.h"
#include "tests/gpu_emulation/kernels/support.h"

namespace protolith::test {
namespace {

using cuda::launch;
using Ints = DeviceArray<int>;

constexpr unsigned kFull = ~0U;

// What the executor says of a launch; "" when it accepts it.
template <class... P, class... A>
std::string complaint(void (*kernel)(P...), dim3 grid, dim3 block, std::size_t shared,
                      A... arguments) {
  try {
    launch(kernel, grid, block, shared, nullptr, arguments...);
  } catch (const simt::Error& error) {
    return error.what();
  }
  return "";
}

// Whether a wrong kernel's faults show: in results, or because the race detector ends the program.
template <class CountFaults>
bool noticed(CountFaults faults) {
  if (!simt::tiny_grids_only()) return faults() > 0;
  return testing::in_child([&] { return faults(), std::string("unnoticed"); }) == "died";
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

__global__ void coordinates_kernel(int* out) {
  const unsigned block = blockIdx.x + gridDim.x * (blockIdx.y + gridDim.y * blockIdx.z);
  const unsigned thread = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
  const unsigned threads = blockDim.x * blockDim.y * blockDim.z;
  atomicAdd(&out[block * threads + thread], 1);
}

TEST_CASE("every thread of every block runs once, by coordinates in three dimensions") {
  for_each_order([] {
    const dim3 grid(3, 2, 5), block(7, 3, 2);
    Ints out(std::vector<int>(30 * 42, 0));
    launch(coordinates_kernel, grid, block, 0, nullptr, out.data());
    CHECK(out.values() == std::vector<int>(30 * 42, 1));
  });
}

// The sum of a block's values by a tree; `missing` leaves out the barrier between two levels.
template <bool missing>
__global__ void tree_sum_kernel(const unsigned* in, unsigned* out) {
  SHARED_ARRAY(unsigned, sums, [128]);
  const unsigned i = threadIdx.x;
  sums[i] = in[blockIdx.x * 128 + i];
  __syncthreads();
  for (unsigned half = 64; half > 0; half /= 2) {
    if (i < half) sums[i] += sums[i + half];
    if (!missing || half != 32) __syncthreads();
  }
  if (i == 0) out[blockIdx.x] = sums[0];
}

std::vector<unsigned> tree_sums(bool missing) {
  std::vector<unsigned> in(3 * 128);
  std::iota(in.begin(), in.end(), 1U);
  const DeviceArray<unsigned> device(in);
  DeviceArray<unsigned> out(3);
  launch(missing ? tree_sum_kernel<true> : tree_sum_kernel<false>, 3, 128, 0, nullptr,
         device.data(), out.data());
  return out.values();
}

const std::vector<unsigned> kTreeSums = {128 * 129 / 2, 128 * 129 / 2 + 128 * 128,
                                         128 * 129 / 2 + 2 * 128 * 128};

int wrong_tree_sums(bool missing) {
  int wrong = 0;
  for_each_order([&] { wrong += tree_sums(missing) != kTreeSums; });
  return wrong;
}

TEST_CASE("barriers order accesses to shared memory") {
  CHECK(wrong_tree_sums(false) == 0);
}

TEST_CASE("a missing barrier shows in some order of threads") {
  CHECK(noticed([] { return wrong_tree_sums(true); }));
}

// Sums the block's values, 1, and twice those, through one array; `missing` leaves out the barrier
// that keeps a warp from writing its second sum before all have read the first.
template <bool missing>
__global__ void two_sums_kernel(int* out) {
  SHARED_ARRAY(int, partial, [4]);
  int value = 1;
  for (int turn = 0; turn < 2; ++turn) {
    for (int distance = 16; distance > 0; distance /= 2) {
      value += __shfl_xor_sync(kFull, value, distance);
    }
    if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
    __syncthreads();
    value = partial[0] + partial[1] + partial[2] + partial[3];
    out[2 * threadIdx.x + static_cast<unsigned>(turn)] = value;
    value = 2;
    if (!missing) __syncthreads();
  }
}

int wrong_sums(void (*kernel)(int*)) {
  int wrong = 0;
  for_each_order([&] {
    Ints out(256);
    launch(kernel, 1, 128, 0, nullptr, out.data());
    for (int i = 0; i < 128; ++i) wrong += out.data()[2 * i] != 128 || out.data()[2 * i + 1] != 256;
  });
  return wrong;
}

TEST_CASE("warps overtake one another where no barrier keeps them together") {
  CHECK(wrong_sums(two_sums_kernel<false>) == 0);
  CHECK(noticed([] { return wrong_sums(two_sums_kernel<true>); }));
}

TEST_CASE("a disabled barrier does nothing and others go on as before") {
  CHECK(tree_sums(false) == kTreeSums);
  int needed = 0;
  for (const std::string& site : simt::barrier_sites()) {
    simt::disable_barrier(site);
    needed += noticed([] { return wrong_tree_sums(false); });
  }
  simt::disable_barrier("");
  CHECK(needed == 2);  // The tree's two, whatever else ran in this program.
  CHECK(tree_sums(false) == kTreeSums);
}

// Transposes tiles through a two-dimensional array and adds the dynamic shared memory's values.
__global__ void transpose_kernel(const int* in, int* out, int extra_count) {
  SHARED_ARRAY(int, tile, [8][9]);
  DYNAMIC_SHARED(int, extra);
  const unsigned x = threadIdx.x, y = threadIdx.y;
  for (int i = static_cast<int>(8 * y + x); i < extra_count; i += 64) extra[i] = 1000 * i;
  tile[y][x] = in[8 * y + x];
  __syncthreads();
  out[8 * y + x] = tile[x][y] + extra[(8 * y + x) % static_cast<unsigned>(extra_count)];
}

TEST_CASE("shared arrays of two dimensions and dynamic shared memory") {
  for_each_order([] {
    std::vector<int> in(64), expected(64);
    std::iota(in.begin(), in.end(), 0);
    for (int i = 0; i < 64; ++i) {
      expected[static_cast<std::size_t>(i)] = i % 8 * 8 + i / 8 + 1000 * (i % 70);
    }
    const Ints device(in);
    Ints out(64);
    launch(transpose_kernel, 1, dim3(8, 8), 70 * sizeof(int), nullptr, device.data(), out.data(),
           70);
    CHECK(out.values() == expected);
  });
}

__global__ void fresh_shared_kernel(float* out) {
  SHARED_ARRAY(float, values, [32]);
  DYNAMIC_SHARED(float, dynamic);
  out[blockIdx.x] = values[threadIdx.x] + dynamic[threadIdx.x];
  values[threadIdx.x] = dynamic[threadIdx.x] = 1.0F;
}

TEST_CASE("shared memory starts as NaN in every block") {
  DeviceArray<float> out(std::vector<float>(3, 0.0F));
  launch(fresh_shared_kernel, 3, 1, 32 * sizeof(float), nullptr, out.data());
  for (const float value : out.values()) CHECK(std::isnan(value));
}

#if defined(__SANITIZE_ADDRESS__)

// Out of bounds by one, which only the address sanitizer sees.
__global__ void overflow_kernel(int* out, unsigned extent, bool dynamic) {
  SHARED_ARRAY(int, values, [16]);
  DYNAMIC_SHARED(int, more);
  (dynamic ? more : values)[threadIdx.x] = 1;
  if (threadIdx.x < extent) out[threadIdx.x] = 1;
}

TEST_CASE("the address sanitizer sees accesses past the end of an array of any kind") {
  const auto survives = [](unsigned threads, unsigned extent, bool dynamic) {
    return testing::in_child([=] {
             Ints out(8);
             launch(overflow_kernel, 1, threads, 16 * sizeof(int), nullptr, out.data(), extent,
                    dynamic);
             return std::string("ran");
           }) == "ran";
  };
  CHECK(survives(16, 8, false));
  CHECK_FALSE(survives(17, 8, false));
  CHECK_FALSE(survives(17, 8, true));
  CHECK_FALSE(survives(16, 9, false));
}
#endif

// out[lane][0..4]: idx, xor, down, up, idx of width 4; lanes from `lanes` on take no part.
__global__ void shuffle_kernel(int* out, unsigned mask, int lanes) {
  const int lane = static_cast<int>(threadIdx.x);
  if (lane >= lanes) return;
  const int value = 100 + lane;
  int* const row = out + 5 * lane;
  row[0] = __shfl_sync(mask, value, (lane + 1) % lanes);
  row[1] = __shfl_xor_sync(mask, value, 1);
  row[2] = __shfl_down_sync(mask, value, 2, lanes);
  row[3] = __shfl_up_sync(mask, value, 3);
  row[4] = __shfl_sync(mask, value, 2, 4);
}

TEST_CASE("shuffles, in whole and partial warps") {
  for_each_order([] {
    // Lanes that return early, and a block that has fewer lanes.
    for (const auto& pair : {std::pair{32, 32}, {32, 16}, {8, 8}}) {
      const int threads = pair.first, lanes = pair.second;
      CAPTURE(threads);
      CAPTURE(lanes);
      const unsigned mask = kFull >> (32 - lanes);
      Ints out(std::vector<int>(5 * 32, -1));
      launch(shuffle_kernel, 1, static_cast<unsigned>(threads), 0, nullptr, out.data(), mask,
             lanes);
      for (int lane = 0; lane < lanes; ++lane) {
        CAPTURE(lane);
        const int* const row = out.data() + 5 * lane;
        CHECK(row[0] == 100 + (lane + 1) % lanes);
        CHECK(row[1] == 100 + (lane ^ 1));
        CHECK(row[2] == 100 + (lane + 2 < lanes ? lane + 2 : lane));
        CHECK(row[3] == 100 + (lane >= 3 ? lane - 3 : lane));
        CHECK(row[4] == 100 + lane / 4 * 4 + 2);
      }
    }
  });
}

__global__ void wide_shuffle_kernel(double* out) {
  out[threadIdx.x] = __shfl_xor_sync(kFull, 0.1 * threadIdx.x, 31);
}

TEST_CASE("a shuffle carries eight bytes, in every warp of a block") {
  DeviceArray<double> out(96);
  launch(wide_shuffle_kernel, 1, 96, 0, nullptr, out.data());
  for (unsigned i = 0; i < 96; ++i) CHECK(out.data()[i] == 0.1 * (i / 32 * 32 + (31 - i % 32)));
}

// Odd and even lanes vote apart, in code of their own.
__global__ void vote_kernel(unsigned* out, unsigned below) {
  const unsigned lane = threadIdx.x;
  const bool yes = lane < below;
  unsigned* const row = out + 3 * lane;
  if (lane % 2 == 0) {
    const unsigned mask = 0x55555555U;
    row[0] = __ballot_sync(mask, yes);
    row[1] = static_cast<unsigned>(__any_sync(mask, yes));
    row[2] = static_cast<unsigned>(__all_sync(mask, yes));
  } else {
    const unsigned mask = 0xaaaaaaaaU;
    row[0] = __ballot_sync(mask, yes);
    row[1] = static_cast<unsigned>(__any_sync(mask, yes));
    row[2] = static_cast<unsigned>(__all_sync(mask, yes));
  }
}

TEST_CASE("votes, of two groups of lanes that have diverged") {
  for_each_order([] {
    for (const unsigned below : {0U, 1U, 7U, 32U}) {
      CAPTURE(below);
      DeviceArray<unsigned> out(96);
      launch(vote_kernel, 1, 32, 0, nullptr, out.data(), below);
      const unsigned yes = below == 32 ? kFull : (1U << below) - 1;
      for (unsigned lane = 0; lane < 32; ++lane) {
        const unsigned mask = lane % 2 == 0 ? 0x55555555U : 0xaaaaaaaaU;
        CHECK(out.data()[3 * lane] == (yes & mask));
        CHECK(out.data()[3 * lane + 1] == ((yes & mask) != 0));
        CHECK(out.data()[3 * lane + 2] == ((yes & mask) == mask));
      }
    }
  });
}

__global__ void warp_rotate_kernel(int* out) {
  SHARED_ARRAY(int, values, [64]);
  const unsigned i = threadIdx.x, warp = i / 32 * 32;
  values[i] = static_cast<int>(i);
  __syncwarp();
  out[i] = values[warp + (i + 1) % 32];
}

TEST_CASE("__syncwarp orders a warp's accesses to shared memory") {
  for_each_order([] {
    Ints out(64);
    launch(warp_rotate_kernel, 1, 64, 0, nullptr, out.data());
    for (int i = 0; i < 64; ++i) CHECK(out.data()[i] == i / 32 * 32 + (i + 1) % 32);
  });
}

__global__ void atomic_kernel(int* sum, unsigned long long* large, int* greatest) {
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  atomicAdd(sum, i);
  atomicAdd(large, 1ULL << 33U);
  atomicMax(greatest, 7 * i % 1000);
}

TEST_CASE("atomics on integers") {
  for_each_order([] {
    Ints sum(std::vector<int>{0}), greatest(std::vector<int>{-1});
    DeviceArray<unsigned long long> large(std::vector<unsigned long long>{0});
    launch(atomic_kernel, 10, 100, 0, nullptr, sum.data(), large.data(), greatest.data());
    CHECK(sum.data()[0] == 999 * 500);
    CHECK(large.data()[0] == 1000ULL << 33U);
    CHECK(greatest.data()[0] == 999);
  });
}

enum class Mistake : int {
  none,
  barrier_in_branch,
  barrier_after_exit,
  exit_before_others_barrier,
  two_barriers,
  mask_without_caller,
  mask_with_ended_lane,
  mask_with_absent_lane,
  divergent_shuffle,
  shuffle_from_outside,
  lane_never_comes,
  too_much_shared,
};

__global__ void wrong_kernel(Mistake mistake, int* out) {
  const unsigned i = threadIdx.x;
  int value = static_cast<int>(i);
  switch (mistake) {
    case Mistake::none:
      break;
    case Mistake::barrier_in_branch:
      if (i % 2 == 0) __syncthreads();
      break;
    case Mistake::barrier_after_exit:
      if (i >= 40) return;
      __syncthreads();
      break;
    case Mistake::exit_before_others_barrier:
      if (i < 40) __syncthreads();
      break;
    case Mistake::two_barriers:
      if (i < 32)
        __syncthreads();
      else
        __syncthreads();
      break;
    case Mistake::mask_without_caller:
      value = __shfl_sync(0xffffU, value, 0);
      break;
    case Mistake::mask_with_ended_lane:
      if (i == 3) return;
      value = __shfl_xor_sync(kFull, value, 1);
      break;
    case Mistake::mask_with_absent_lane:
      __syncwarp();
      break;
    case Mistake::divergent_shuffle:
      if (i % 32 < 16)
        value = __shfl_xor_sync(kFull, value, 1);
      else
        value = __shfl_xor_sync(kFull, value, 1);
      break;
    case Mistake::shuffle_from_outside:
      if (i % 32 < 16) value = __shfl_down_sync(0xffffU, value, 8);
      break;
    case Mistake::lane_never_comes:
      if (i % 32 < 16)
        __syncwarp(0xffffU);
      else
        __syncwarp(kFull);
      break;
    case Mistake::too_much_shared: {
      SHARED_ARRAY(int, large, [8192]);
      large[i] = value;
      value = large[i];
      break;
    }
  }
  out[blockIdx.x * blockDim.x + i] = value;
}

std::string complaint_about(Mistake mistake, unsigned threads, std::size_t shared = 0) {
  Ints out(3 * 128);
  return complaint(wrong_kernel, 3, threads, shared, mistake, out.data());
}

TEST_CASE("mistakes are reported with kernel, block, thread and line, in every order") {
  struct Case {
    Mistake mistake;
    unsigned threads;
    const char* says;
  };
  const Case cases[] = {
      {Mistake::barrier_in_branch, 64, "__syncthreads"},
      {Mistake::barrier_after_exit, 64, "__syncthreads"},
      {Mistake::exit_before_others_barrier, 64, "__syncthreads"},
      {Mistake::two_barriers, 64, "others of the block wait at"},
      {Mistake::mask_without_caller, 64, "leaves out the lane"},
      {Mistake::mask_with_ended_lane, 64, "shuffle"},
      {Mistake::mask_with_absent_lane, 40, "which the block does not have"},
      {Mistake::divergent_shuffle, 64, "others of the mask wait at"},
      {Mistake::shuffle_from_outside, 64, "which the mask does not name"},
      {Mistake::lane_never_comes, 64, "__syncwarp"},
  };
  for (const Case& c : cases) {
    CAPTURE(c.says);
    for_each_order([&] {
      CHECK(complaint_about(Mistake::none, c.threads) == "");
      const std::string said = complaint_about(c.mistake, c.threads);
      CAPTURE(said);
      CHECK(contains(said, c.says));
      CHECK(contains(said, "wrong_kernel, block ("));
      CHECK(contains(said, ",0,0), thread ("));
      CHECK(contains(said, "tests/gpu_emulation/executor/executor_test.cpp:"));
    });
  }
}

TEST_CASE("shared memory, static and dynamic, is limited to 48 KiB") {
  CHECK(complaint_about(Mistake::too_much_shared, 64, 16384) == "");
  CHECK(contains(complaint_about(Mistake::too_much_shared, 64, 16388), "48 KiB"));
  CHECK(complaint_about(Mistake::none, 64, 49152) == "");
  CHECK(contains(complaint_about(Mistake::none, 64, 49153), "invalid launch configuration"));
}

__global__ void idle_kernel(int) {}

TEST_CASE("launches beyond CUDA's limits are refused") {
  const auto refused = [](dim3 grid, dim3 block) {
    const std::string said = complaint(idle_kernel, grid, block, 0, 0);
    if (said.empty()) return false;
    CHECK(contains(said, "idle_kernel: invalid launch configuration"));
    return true;
  };
  CHECK_FALSE(refused(1, 1024));
  CHECK_FALSE(refused(1, dim3(4, 4, 64)));
  CHECK_FALSE(refused(dim3(1, 65535), 1));
  CHECK_FALSE(refused(dim3(1, 1, 65535), 1));
  CHECK_FALSE(refused(70000, 1));
  CHECK(refused(1, 1025));
  CHECK(refused(1, dim3(32, 33)));
  CHECK(refused(1, dim3(1, 1, 65)));
  CHECK(refused(1, 0));
  CHECK(refused(0, 1));
  CHECK(refused(dim3(1, 65536), 1));
  CHECK(refused(dim3(1, 1, 65536), 1));
}

__global__ void throwing_kernel(unsigned thread) {
  __syncthreads();
  if (threadIdx.x == thread) throw std::runtime_error("from a kernel");
}

TEST_CASE("after any failure the executor starts anew") {
  CHECK_THROWS_WITH(launch(throwing_kernel, 2, 64, 0, nullptr, 5), "from a kernel");
  CHECK(complaint_about(Mistake::barrier_in_branch, 128) != "");
  CHECK(tree_sums(false) == kTreeSums);
}

}  // namespace
}  // namespace protolith::test
