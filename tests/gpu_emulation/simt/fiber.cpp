#include "tests/gpu_emulation/simt/fiber.h"

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#define SIMT_ASAN 1
#endif

namespace simt {

// The address sanitizer keeps bounds and fake frames for each stack; it must hear of every switch.
namespace sanitizer {
#ifdef SIMT_ASAN
void leave(void** frames, const void* stack, std::size_t bytes) {
  __sanitizer_start_switch_fiber(frames, stack, bytes);
}
void arrive(void* frames, const void** stack, std::size_t* bytes) {
  __sanitizer_finish_switch_fiber(frames, stack, bytes);
}
void forget(void* stack, std::size_t bytes) {
  __asan_unpoison_memory_region(stack, bytes);
}
#else
void leave(void**, const void*, std::size_t) {}
void arrive(void*, const void**, std::size_t*) {}
void forget(void*, std::size_t) {}
#endif
}  // namespace sanitizer

// A guard page lies below each stack: an overflow faults. The race detector wants memory that is
// new to it, which the allocator provides and the kernel's recycled pages do not.
struct Fiber::Stack {
  static constexpr std::size_t kGuard = 4096;
  static constexpr std::size_t kBytes = race::kEnabled ? 32 << 10 : 128 << 10;

  Stack() {
    if constexpr (race::kEnabled) {
      const race::Unwatched scope;
      block = new std::byte[kGuard + kBytes];
      return;
    }
    void* const pages = mmap(nullptr, kGuard + kBytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    mprotect(pages, kGuard, PROT_NONE);
    block = static_cast<std::byte*>(pages);
  }
  ~Stack() {
    if constexpr (race::kEnabled) {
      const race::Unwatched scope;
      delete[] block;
      return;
    }
    sanitizer::forget(bottom(), kBytes);
    munmap(block, kGuard + kBytes);
  }
  std::byte* bottom() const { return block + kGuard; }
  std::byte* top() const { return bottom() + kBytes; }

  std::byte* block;
};

#ifdef SIMT_UCONTEXT

void Fiber::Context::prepare(std::byte* bottom, std::byte* top, void (*start)()) {
  getcontext(&registers);
  registers.uc_stack.ss_sp = bottom;
  registers.uc_stack.ss_size = static_cast<std::size_t>(top - bottom);
  registers.uc_link = nullptr;
  makecontext(&registers, start, 0);
}

void Fiber::Context::exchange(Context& from, Context& to) {
  swapcontext(&from.registers, &to.registers);
}

#else

// void simt_exchange_stacks(void** save_here, void* continue_there): pushes what the System V ABI
// says a call preserves, exchanges the stack pointers and pops the other side's.
asm(R"(
.text
.type simt_exchange_stacks,@function
simt_exchange_stacks:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size simt_exchange_stacks,.-simt_exchange_stacks
)");
extern "C" void simt_exchange_stacks(void** save_here, void* continue_there);

// As if `start` had been called with an aligned stack and had saved six registers of zero.
void Fiber::Context::prepare(std::byte*, std::byte* top, void (*start)()) {
  const auto address = reinterpret_cast<std::uintptr_t>(top - 64) & ~std::uintptr_t{15};
  void** const words = reinterpret_cast<void**>(address);
  for (int i = -6; i <= 1; ++i) words[i] = nullptr;
  words[0] = reinterpret_cast<void*>(start);
  stack_pointer = words - 6;
}

void Fiber::Context::exchange(Context& from, Context& to) {
  simt_exchange_stacks(&from.stack_pointer, to.stack_pointer);
}

#endif

Fiber* Fiber::running_ = nullptr;
Fiber::Context Fiber::host_;

Fiber::Fiber(void (*entry)()) : entry_(entry), stack_(std::make_unique<Stack>()) {
  // Stacks a multiple of 4 KiB apart would put all their frames in the same few sets of the cache.
  static std::size_t created = 0;
  const std::size_t shift = 320 * (created++ % 48);
  context_.stack = stack_->bottom();
  context_.stack_bytes = Stack::kBytes;
  context_.prepare(stack_->bottom(), stack_->top() - shift, &Fiber::start);
}

Fiber::~Fiber() = default;

void Fiber::start() {
  sanitizer::arrive(nullptr, &host_.stack, &host_.stack_bytes);
  running_->entry_();
  std::abort();  // There is no frame to return to.
}

void Fiber::resume() {
  void* frames = nullptr;
  running_ = this;
  sanitizer::leave(&frames, context_.stack, context_.stack_bytes);
  Context::exchange(host_, context_);
  sanitizer::arrive(frames, nullptr, nullptr);
}

void Fiber::suspend() {
  void* frames = nullptr;
  sanitizer::leave(&frames, host_.stack, host_.stack_bytes);
  Context::exchange(running_->context_, host_);
  sanitizer::arrive(frames, nullptr, nullptr);
}

}  // namespace simt
