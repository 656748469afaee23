// Runs CUDA kernels, compiled as C++, on the host: what shim/cuda_runtime.h is made of and what the
// tests steer.
//
// Blocks run one after another, and so do a block's threads: each until it ends or waits for others
// at a barrier or a warp operation. A thread that waits keeps its own stack (fiber.h); those that
// never wait share one. Threads and blocks run in an order that the tests choose, so that code that
// lacks a barrier meets values from before it or after it, whichever is wrong. All is
// deterministic: the same order and seed interleave threads in the same way.
//
// What CUDA leaves undefined is an Error here: barriers that not all threads of a block reach, warp
// operations that not all named lanes execute, shuffles from lanes that take no part, launches
// beyond CUDA's limits. Shared memory starts as NaN, each array a heap block of its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "tests/gpu_emulation/shim/vector_types.h"

struct CUstream_st;

namespace simt {

/// A kernel did what CUDA forbids; says which kernel, block, thread and source line.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// In which order blocks start, and threads start and go on after a barrier. In reverse order a
/// warp that can go on does so before the others have caught up, in shuffled order at random.
enum Order { forward, reverse, shuffled };
void set_order(Order order, std::uint64_t seed = 1);

/// Whether this build is so slow (it looks for races between simulated threads, each on a stack of
/// its own) that tests should launch a few small blocks only.
bool tiny_grids_only();

/// A line of source; by default the caller's.
struct Site {
  const char* file;
  int line;
  static Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
};

/// The __syncthreads() and __syncwarp() that ran since the program's start, as "file:line" with the
/// file relative to the source tree, sorted.
std::vector<std::string> barrier_sites();
/// From now on the barrier at that site does nothing (for tests that must notice); "" for none. The
/// environment variable SIMT_DISABLED_BARRIER does the same from the program's start, and
/// SIMT_BARRIER_SITES names a file that gets the list of sites when the program ends.
void disable_barrier(const std::string& site);

/// One launch of a kernel.
struct Launch {
  const void* kernel = nullptr;  ///< its address, for its name
  dim3 grid, block;
  std::size_t shared_bytes = 0;  ///< dynamic shared memory
  std::function<void()> thread;  ///< calls the kernel
};
/// Throws Error when CUDA would refuse the launch.
void check_launch(const Launch& launch);
/// Runs a launch. Throws Error when a thread or the whole does what CUDA forbids.
void run(const Launch& launch);
/// Called before each launch runs and after it; {} for none.
void set_launch_observer(std::function<void(const Launch&, bool finished)> observer);

/// Takes a launch's work: runs it at once, unless a stand-in for the CUDA runtime queues it.
void submit(CUstream_st* stream, std::function<void()> work);
void set_submitter(std::function<void(CUstream_st*, std::function<void()>)> submitter);

// What the device language calls, on the running thread's stack.

/// The running thread's lane in its warp; its other coordinates are CUDA's threadIdx and so on.
extern unsigned current_lane;
/// The block's static shared array that `key` stands for.
void* shared_array(const void* key, std::size_t bytes);
/// The block's dynamic shared memory; nullptr when the launch asked for none.
void* dynamic_shared();
void synchronize_block(Site site);
void synchronize_warp(unsigned mask, Site site);
/// The bits that lane `source` of the mask passes; one's own when `source` is negative.
std::uint64_t shuffle(unsigned mask, std::uint64_t bits, int source, Site site);
/// A bit for each lane of the mask that passes true.
unsigned vote(unsigned mask, bool ballot, Site site);

}  // namespace simt

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
