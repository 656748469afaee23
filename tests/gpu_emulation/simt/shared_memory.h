// The shared memory of the running block.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

namespace simt {

/// The arrays of a block. Every one is a heap block of its own, so that the address sanitizer sees
/// accesses past its end, and starts as NaN, so that what is read before it is written shows.
class SharedMemory {
 public:
  void* array(const void* key, std::size_t bytes);
  void* dynamic() const { return dynamic_.get(); }
  void start(std::size_t dynamic_bytes);
  /// Frees all.
  void end();

 private:
  using Bytes = std::unique_ptr<std::byte[]>;
  static Bytes poisoned(std::size_t bytes);
  struct Array {
    const void* key;
    Bytes bytes;
  };
  std::vector<Array> arrays_;
  Bytes dynamic_;
  std::size_t used_ = 0;
};

}  // namespace simt
