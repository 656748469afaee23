#include "tests/gpu_emulation/simt/block.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <utility>

#include "tests/gpu_emulation/simt/barrier_sites.h"
#include "tests/gpu_emulation/simt/kernel_name.h"

unsigned simt::current_lane;
uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

namespace simt {
namespace {

// Blocks run one at a time; fibers find theirs here.
Block* running = nullptr;

void fiber_main() {
  for (;;) {
    running->run_threads();
    Fiber::suspend();
  }
}

// Fibers whose threads have ended, for the next.
std::vector<std::unique_ptr<Fiber>>& idle_fibers() {
  static std::vector<std::unique_ptr<Fiber>> fibers;
  return fibers;
}

std::unique_ptr<Fiber> take_fiber() {
  auto& idle = idle_fibers();
  if (idle.empty()) return std::make_unique<Fiber>(&fiber_main);
  auto fiber = std::move(idle.back());
  idle.pop_back();
  return fiber;
}

std::string name_of(Request::Kind kind) {
  switch (kind) {
    case Request::Kind::barrier:
      return "__syncthreads";
    case Request::Kind::warp_barrier:
      return "__syncwarp";
    case Request::Kind::shuffle:
      return "shuffle";
    case Request::Kind::vote:
      return "vote";
  }
  return "";
}

std::string triple(const uint3& v) {
  return "(" + std::to_string(v.x) + "," + std::to_string(v.y) + "," + std::to_string(v.z) + ")";
}

bool has(unsigned mask, unsigned lane) {
  return (mask >> lane & 1) != 0;
}

}  // namespace

Block::Block(const Launch& launch)
    : launch_(launch),
      count_(launch.block.x * launch.block.y * launch.block.z),
      threads_(count_),
      order_(count_),
      released_(count_),
      ready_(count_),
      warps_((count_ + kWarp - 1) / kWarp) {
  uint3 index{0, 0, 0};
  for (unsigned i = 0; i < count_; ++i) {
    threads_[i].index = index;
    threads_[i].number = i;
    if (++index.x < launch.block.x) continue;
    index.x = 0;
    if (++index.y < launch.block.y) continue;
    index.y = 0;
    ++index.z;
  }
  blockDim = launch.block;
  gridDim = launch.grid;
  running = this;
  started_.release();
}

Block::~Block() {
  running = nullptr;
  shared_.end();
}

void Block::join() {
  ended_.acquire();
  std::move(resting_.begin(), resting_.end(), std::back_inserter(idle_fibers()));
  resting_.clear();
}

void Block::run(uint3 index) {
  blockIdx = index;
  next_fresh_ = done_ = at_barrier_ = 0;
  ready_.clear();
  for (unsigned i = 0; i < count_; ++i) {
    threads_[i].state = Thread::State::fresh;
    order_[i] = i;
  }
  for (std::size_t i = 0; i < warps_.size(); ++i) {
    const auto lanes = std::min(kWarp, count_ - static_cast<unsigned>(i) * kWarp);
    warps_[i].count = 0;
    warps_[i].present = ~0U >> (kWarp - lanes);
  }
  sequence().arrange(order_.data(), order_.data() + count_);
  shared_.start(launch_.shared_bytes);
  while (done_ < count_) {
    Thread* const thread = next();
    resume(*thread);
    if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
    serve(*current_);
  }
  shared_.end();
}

// Threads that have waited go before new ones.
Thread* Block::next() {
  if (!ready_.empty()) return &threads_[ready_.pop()];
  if (next_fresh_ == count_) fail_waiting_for_ever();
  Thread& thread = threads_[order_[next_fresh_++]];
  begin(thread, take_fiber());
  return &thread;
}

void Block::begin(Thread& thread, std::unique_ptr<Fiber> fiber) {
  thread.state = Thread::State::ready;
  thread.fiber = std::move(fiber);
  if constexpr (race::kEnabled) {
    thread.fiber->strand().enter();
    started_.acquire();
    host_.enter();
  }
}

// To the race detector a second thread on the same fiber would come after the first, and races
// between the two would be none. Hence there a launch uses each fiber once, and the next launch,
// which does come after it, takes them again: making them is slow. Some thousand strands is all
// that the detector can tell apart.
void Block::put_back(std::unique_ptr<Fiber> fiber) {
  constexpr std::size_t kMostResting = 4096;
  if (!race::kEnabled) {
    idle_fibers().push_back(std::move(fiber));
  } else if (idle_fibers().size() + resting_.size() < kMostResting) {
    resting_.push_back(std::move(fiber));
  }
}

void Block::make_current(Thread& thread) {
  current_ = &thread;
  threadIdx = thread.index;
  current_lane = thread.number % kWarp;
}

void Block::resume(Thread& thread) {
  make_current(thread);
  Fiber& fiber = *thread.fiber;  // It may end up as another thread's.
  fiber.strand().enter();
  fiber.resume();
  host_.enter();
}

// A thread that ends without having waited leaves a clean stack: the next one starts on it at once.
void Block::run_threads() {
  for (;;) {
    try {
      launch_.thread();
    } catch (...) {
      thrown_ = std::current_exception();
      return;
    }
    Thread& ended = *current_;
    ended.state = Thread::State::done;
    ++done_;
    warps_[ended.number / kWarp].present &= ~(1U << ended.number % kWarp);
    ended_.release();
    if (race::kEnabled || next_fresh_ == count_) return;
    Thread& thread = threads_[order_[next_fresh_++]];
    begin(thread, std::move(ended.fiber));
    make_current(thread);
  }
}

std::uint64_t Block::wait(const Request& request) {
  Thread& thread = *current_;
  thread.request = request;
  thread.state = Thread::State::waiting;
  Fiber::suspend();
  return thread.request.bits;
}

void Block::serve(Thread& thread) {
  if (thread.state == Thread::State::done) {
    put_back(std::move(thread.fiber));
  } else if (thread.request.kind == Request::Kind::barrier) {
    arrive_at_barrier(thread);
  } else {
    arrive_at_warp_operation(thread);
  }
}

// The participants become ready; a barrier makes what each did before visible
// to all.
template <class TakesPart>
void Block::go_on(unsigned first, unsigned end, bool orders_memory, TakesPart takes_part) {
  const auto for_each = [&](auto&& act) {
    for (unsigned i = first; i < end; ++i) {
      if (takes_part(i)) act(threads_[i]);
    }
  };
  unsigned* end_of_released = released_.data();
  for_each([&](Thread& thread) {
    thread.state = Thread::State::ready;
    *end_of_released++ = thread.number;
  });
  sequence().arrange(released_.data(), end_of_released);
  ready_.add(released_.data(), end_of_released, sequence().overtakes());
  if (!race::kEnabled || !orders_memory) return;
  race::Fence fence;
  for_each([&](Thread& thread) {
    thread.fiber->strand().enter();
    fence.release();
  });
  for_each([&](Thread& thread) {
    thread.fiber->strand().enter();
    fence.acquire();
  });
  host_.enter();
}

void Block::arrive_at_barrier(Thread& thread) {
  const Site& site = thread.request.site;
  if (done_ > 0) {
    fail(thread, "divergent __syncthreads: " + std::to_string(done_) +
                     " threads of the block ended without it");
  }
  if (at_barrier_ > 0 && !same_site(barrier_, site)) {
    fail(thread, "divergent __syncthreads: others of the block wait at " + text(barrier_));
  }
  barrier_ = site;
  if (++at_barrier_ < count_) return;
  at_barrier_ = 0;
  note_barrier(site);
  go_on(0, count_, true, [](unsigned) { return true; });
}

void Block::arrive_at_warp_operation(Thread& thread) {
  Warp& warp = warps_[thread.number / kWarp];
  check_lanes(thread, warp);
  const unsigned first = thread.number - thread.number % kWarp;
  Meeting& meeting = meeting_of(thread, warp);
  meeting.arrived |= 1U << thread.number % kWarp;
  if (meeting.arrived != meeting.mask) return;
  const bool barrier = meeting.kind == Request::Kind::warp_barrier;
  if (barrier)
    note_barrier(meeting.site);
  else
    answer(meeting, &threads_[first]);
  go_on(first, std::min(first + kWarp, count_), barrier,
        [&](unsigned i) { return has(meeting.mask, i - first); });
  meeting = warp.meetings[--warp.count];
}

// Stricter than CUDA, which lets masks name lanes that have ended and a partial warp's missing
// lanes: a kernel can name the lanes that it has, and a mask that names others hides mistakes.
void Block::check_lanes(const Thread& thread, const Warp& warp) const {
  const unsigned mask = thread.request.mask, lane = thread.number % kWarp;
  if (!has(mask, lane)) fail(thread, "the mask leaves out the lane that passes it");
  const unsigned missing = mask & ~warp.present;
  if (missing == 0) return;
  const auto first = static_cast<unsigned>(std::countr_zero(missing));
  const bool exists = thread.number - lane + first < count_;
  fail(thread, "the mask names lane " + std::to_string(first) +
                   (exists ? ", which has ended" : ", which the block does not have"));
}

// The operation that lanes with this mask have begun, or a new one.
Block::Meeting& Block::meeting_of(const Thread& thread, Warp& warp) {
  const Request& request = thread.request;
  for (unsigned i = 0; i < warp.count; ++i) {
    Meeting& meeting = warp.meetings[i];
    if (meeting.mask != request.mask) continue;
    if (meeting.kind != request.kind || !same_site(meeting.site, request.site)) {
      fail(thread, "divergent warp operation: others of the mask wait at " + text(meeting.site));
    }
    return meeting;
  }
  Meeting& meeting = warp.meetings[warp.count++];
  meeting = {request.mask, 0, request.kind, request.site};
  return meeting;
}

void Block::answer(const Meeting& meeting, Thread* lanes) {
  std::array<std::uint64_t, kWarp> passed{};
  unsigned ballot = 0;
  for (unsigned i = 0; i < kWarp; ++i) {
    if (!has(meeting.mask, i)) continue;
    passed[i] = lanes[i].request.bits;
    if (passed[i] != 0) ballot |= 1U << i;
  }
  for (unsigned i = 0; i < kWarp; ++i) {
    if (!has(meeting.mask, i)) continue;
    Request& request = lanes[i].request;
    if (meeting.kind == Request::Kind::vote) {
      request.bits = ballot;
    } else if (request.source >= 0) {
      const auto source = static_cast<unsigned>(request.source);
      if (!has(meeting.mask, source)) {
        fail(lanes[i],
             "the shuffle reads lane " + std::to_string(source) + ", which the mask does not name");
      }
      request.bits = passed[source];
    }
  }
}

std::string Block::describe(const Thread& thread) const {
  return kernel_name(launch_.kernel) + ", block " + triple(blockIdx) + ", thread " +
         triple(thread.index) + " at " + text(thread.request.site) + ", " +
         name_of(thread.request.kind);
}

void Block::fail(const Thread& thread, const std::string& what) const {
  throw Error(describe(thread) + ": " + what);
}

void Block::fail_waiting_for_ever() const {
  const auto waits = [](const Thread& thread) { return thread.state == Thread::State::waiting; };
  const auto first = std::find_if(threads_.begin(), threads_.end(), waits);
  const auto waiting = std::count_if(threads_.begin(), threads_.end(), waits);
  fail(*first, "waits for ever: " + std::to_string(waiting) +
                   " threads wait at barriers or warp "
                   "operations that not all take part in, " +
                   std::to_string(done_) + " have ended");
}

void* shared_array(const void* key, std::size_t bytes) {
  return running->shared().array(key, bytes);
}

void* dynamic_shared() {
  return running->shared().dynamic();
}

void synchronize_block(Site site) {
  if (!is_disabled(site)) running->wait({Request::Kind::barrier, 0, -1, 0, site});
}

void synchronize_warp(unsigned mask, Site site) {
  if (!is_disabled(site)) running->wait({Request::Kind::warp_barrier, mask, -1, 0, site});
}

std::uint64_t shuffle(unsigned mask, std::uint64_t bits, int source, Site site) {
  return running->wait({Request::Kind::shuffle, mask, source, bits, site});
}

unsigned vote(unsigned mask, bool ballot, Site site) {
  return static_cast<unsigned>(running->wait({Request::Kind::vote, mask, -1, ballot, site}));
}

}  // namespace simt
