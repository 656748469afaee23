#include "engine/memory.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <new>

#include "engine/check.h"

#if defined(__SANITIZE_ADDRESS__)
#define PROTOLITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define PROTOLITH_ASAN 1
#endif
#endif
#ifdef PROTOLITH_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace protolith {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::size_t round_up(std::size_t value, std::size_t step) {
  return (value + step - 1) / step * step;
}

/// Bytes of this machine's memory.
std::size_t physical_memory() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) *
         static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

/// Bytes of address space for step memory: no more than the machine has, and under 'ulimit -v' half
/// of what that still allows, so that everything else has room.
std::size_t reservable_memory() {
  rlimit limit{};
  if (getrlimit(RLIMIT_AS, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
    return physical_memory();
  std::size_t used_pages = 0;
  std::ifstream("/proc/self/statm") >> used_pages;
  const std::size_t used = used_pages * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t free = limit.rlim_cur > used ? limit.rlim_cur - used : 0;
  constexpr std::size_t kLeast = std::size_t{64} << 20;  // a step of a few small images
  PROTOLITH_CHECK(free / 2 >= kLeast,
                  "cannot reserve memory for steps: 'ulimit -v' leaves {} MiB of address space and "
                  "at least {} MiB are needed; raise it",
                  free >> 20, 2 * kLeast >> 20);
  return std::min(physical_memory(), free / 2);
}

class HostRegion : public MemoryRegion {
 public:
  explicit HostRegion(std::size_t reserved) : reserved_(reserved) {
    void* address = mmap(nullptr, reserved_ + kHugePage, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    PROTOLITH_CHECK(address != MAP_FAILED,
                    "cannot reserve {} MiB of address space: {}; raise 'ulimit -v'",
                    reserved_ >> 20, std::strerror(errno));
    mapping_ = address;
    base_ = reinterpret_cast<std::byte*>(
        round_up(reinterpret_cast<std::uintptr_t>(address), kHugePage));
  }
  ~HostRegion() override {
    ASAN_UNPOISON_MEMORY_REGION(base_, committed_);
    munmap(mapping_, reserved_ + kHugePage);
  }
  HostRegion(const HostRegion&) = delete;
  HostRegion& operator=(const HostRegion&) = delete;

  std::byte* base() const noexcept override { return base_; }

  void commit(std::size_t bytes) override {
    if (bytes <= committed_) return;
    const std::size_t wanted = round_up(bytes, kHugePage);
    PROTOLITH_CHECK(
        wanted <= reserved_,
        "a step needs {} MiB of memory, this machine has {} MiB for it (half of what 'ulimit -v' "
        "leaves, where that is less); use fewer classes or images per episode",
        wanted >> 20, reserved_ >> 20);
    PROTOLITH_CHECK(
        mprotect(base_ + committed_, wanted - committed_, PROT_READ | PROT_WRITE) == 0,
        "out of memory: a step needs {} MiB ({}); use fewer classes or images per episode",
        wanted >> 20, std::strerror(errno));
    // Page faults dominate otherwise; failure only costs speed.
    madvise(base_ + committed_, wanted - committed_, MADV_HUGEPAGE);
    committed_ = wanted;
  }

 private:
  std::size_t reserved_;
  void* mapping_ = nullptr;
  std::byte* base_ = nullptr;
  std::size_t committed_ = 0;
};

class HostHeap : public MemoryOwner {
 public:
  void release(std::byte* data, std::size_t, std::uint64_t) noexcept override { std::free(data); }
};

class Keeper : public MemoryOwner {
 public:
  explicit Keeper(std::shared_ptr<const void> kept) : kept_(std::move(kept)) {}
  void release(std::byte*, std::size_t, std::uint64_t) noexcept override {}

 private:
  std::shared_ptr<const void> kept_;
};

}  // namespace

std::string to_string(Device device) {
  return device.type == DeviceType::cpu ? "cpu" : fmt::format("cuda:{}", device.index);
}

Storage::Storage(std::byte* data, std::size_t bytes, Device device,
                 std::shared_ptr<MemoryOwner> owner)
    : data_(data),
      bytes_(bytes),
      device_(device),
      owner_(std::move(owner)),
      generation_(owner_->generation()) {}

Storage::~Storage() {
  owner_->release(data_, bytes_, generation_);
}

std::byte* Storage::data() const {
  PROTOLITH_CHECK(generation_ == owner_->generation(),
                  "a step's tensor was used after the step ended; copy what must live on into a "
                  "persistent tensor");
  return data_;
}

std::unique_ptr<MemoryRegion> reserve_host_region() {
  return std::make_unique<HostRegion>(round_up(reservable_memory(), kHugePage));
}

Arena::Arena(Device device, std::unique_ptr<MemoryRegion> region)
    : device_(device), region_(std::move(region)) {}

Arena::~Arena() = default;

std::shared_ptr<Storage> Arena::allocate(std::size_t bytes) {
  // Rounding larger sizes up would wrap around.
  PROTOLITH_CHECK(bytes <= std::size_t{1} << 63, "out of memory: {} bytes asked for", bytes);
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), kAlignment);
  auto fit = std::find_if(free_.begin(), free_.end(),
                          [size](const auto& block) { return block.second >= size; });
  std::size_t offset = 0;
  if (fit != free_.end()) {
    offset = fit->first;
    const std::size_t rest = fit->second - size;
    free_.erase(fit);
    if (rest > 0) free_.emplace(offset + size, rest);
  } else {
    // Grow; a free block at the end is extended rather than wasted.
    offset = footprint_;
    if (!free_.empty() && free_.rbegin()->first + free_.rbegin()->second == footprint_) {
      offset = free_.rbegin()->first;
    }
    region_->commit(offset + size);
    if (offset != footprint_) free_.erase(offset);
    footprint_ = offset + size;
    ++growths_;
  }
  live_ += size;
  std::byte* data = region_->base() + offset;
  if (device_.type == DeviceType::cpu) {
    ASAN_POISON_MEMORY_REGION(data, size);
    ASAN_UNPOISON_MEMORY_REGION(data, bytes);
  }
  return std::make_shared<Storage>(data, bytes, device_, shared_from_this());
}

void Arena::release(std::byte* data, std::size_t bytes, std::uint64_t generation) noexcept {
  if (generation != generation_) return;  // the reset took it back already
  std::size_t size = round_up(std::max<std::size_t>(bytes, 1), kAlignment);
  auto offset = static_cast<std::size_t>(data - region_->base());
  if (device_.type == DeviceType::cpu) ASAN_POISON_MEMORY_REGION(data, size);
  live_ -= size;
  auto next = free_.lower_bound(offset);
  if (next != free_.end() && offset + size == next->first) {
    size += next->second;
    next = free_.erase(next);
  }
  if (next != free_.begin()) {
    auto before = std::prev(next);
    if (before->first + before->second == offset) {
      before->second += size;
      return;
    }
  }
  free_.emplace_hint(next, offset, size);
}

void Arena::reset() {
  ++generation_;
  free_.clear();
  if (footprint_ > 0) free_.emplace(0, footprint_);
  if (device_.type == DeviceType::cpu) ASAN_POISON_MEMORY_REGION(region_->base(), footprint_);
  live_ = 0;
}

std::shared_ptr<Storage> allocate_host(std::size_t bytes) {
  PROTOLITH_CHECK(bytes <= physical_memory(),
                  "out of memory: {} MiB asked for, this machine has {} MiB", bytes >> 20,
                  physical_memory() >> 20);
  const bool large = bytes >= 2 * kHugePage;
  const std::size_t alignment = large ? kHugePage : Arena::kAlignment;
  const std::size_t size = round_up(std::max<std::size_t>(bytes, 1), alignment);
  auto* data = static_cast<std::byte*>(std::aligned_alloc(alignment, size));
  PROTOLITH_CHECK(data != nullptr, "out of memory: {} MiB asked for", size >> 20);
  if (large) madvise(data, size, MADV_HUGEPAGE);  // fewer page faults; failure only costs speed
  std::memset(data, 0, size);
  return std::make_shared<Storage>(data, bytes, Device{}, std::make_shared<HostHeap>());
}

std::shared_ptr<Storage> borrow_host(std::byte* data, std::size_t bytes,
                                     std::shared_ptr<const void> keeper) {
  return std::make_shared<Storage>(data, bytes, Device{},
                                   std::make_shared<Keeper>(std::move(keeper)));
}

}  // namespace protolith
