// One block of a launch at a time: its threads, what they wait for, and its shared memory.
//
// The scheduler runs on the host's stack. It resumes a thread's fiber; the thread runs until it
// ends or asks for a barrier or warp operation, which it leaves in its record before it suspends
// itself. The scheduler then serves the request: when the last participant has arrived, all become
// ready. When no thread can go on and not all have ended, they wait for ever: an Error.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include "tests/gpu_emulation/simt/executor.h"
#include "tests/gpu_emulation/simt/fiber.h"
#include "tests/gpu_emulation/simt/race_detector.h"
#include "tests/gpu_emulation/simt/sequence.h"
#include "tests/gpu_emulation/simt/shared_memory.h"

namespace simt {

inline constexpr unsigned kWarp = 32;

/// What a thread waits for, and with what.
struct Request {
  enum class Kind : std::uint8_t { barrier, warp_barrier, shuffle, vote };
  Kind kind;
  unsigned mask;
  int source;          ///< of a shuffle; negative: the lane itself
  std::uint64_t bits;  ///< passed in, and the answer
  Site site;
};

struct Thread {
  enum class State : std::uint8_t { fresh, ready, waiting, done };
  uint3 index;
  unsigned number;
  State state;
  Request request;
  std::unique_ptr<Fiber> fiber;
};

class Block {
 public:
  explicit Block(const Launch& launch);
  ~Block();
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;
  /// Runs the block to its end.
  void run(uint3 index);
  /// The host goes on after all threads of all blocks.
  void join();

  // On a fiber:
  void run_threads();
  std::uint64_t wait(const Request& request);
  SharedMemory& shared() { return shared_; }

 private:
  // One mask's operation in progress in a warp.
  struct Meeting {
    unsigned mask = 0, arrived = 0;
    Request::Kind kind{};
    Site site{};
  };
  struct Warp {
    std::array<Meeting, kWarp> meetings;  // Each waiting lane is in one.
    unsigned count = 0;
    unsigned present = 0;  // The lanes that have not ended.
  };

  Thread* next();
  void begin(Thread& thread, std::unique_ptr<Fiber> fiber);
  void put_back(std::unique_ptr<Fiber> fiber);
  void make_current(Thread& thread);
  void resume(Thread& thread);
  void serve(Thread& thread);
  void arrive_at_barrier(Thread& thread);
  void arrive_at_warp_operation(Thread& thread);
  void check_lanes(const Thread& thread, const Warp& warp) const;
  Meeting& meeting_of(const Thread& thread, Warp& warp);
  void answer(const Meeting& meeting, Thread* lanes);
  template <class TakesPart>
  void go_on(unsigned first, unsigned end, bool orders_memory, TakesPart takes_part);
  [[noreturn]] void fail(const Thread& thread, const std::string& what) const;
  [[noreturn]] void fail_waiting_for_ever() const;
  std::string describe(const Thread& thread) const;

  const Launch& launch_;
  const unsigned count_;
  race::Host host_;
  race::Fence started_, ended_;
  std::vector<std::unique_ptr<Fiber>> resting_;  // See put_back().
  std::vector<Thread> threads_;
  std::vector<unsigned> order_, released_;
  ReadyQueue ready_;
  std::vector<Warp> warps_;
  SharedMemory shared_;
  std::exception_ptr thrown_;  // by a kernel's own code
  Thread* current_ = nullptr;
  unsigned next_fresh_ = 0, done_ = 0, at_barrier_ = 0;
  Site barrier_{};
};

}  // namespace simt
