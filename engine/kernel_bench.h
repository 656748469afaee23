// A device's kernels one by one, as `protolith bench kernels` runs them: each alone, at given
// sizes, without the primitive around it. Every family of kernels/cpu and kernels/cuda is
// registered once by its backend (engine/{cpu,cuda}/kernel_entries.cpp).
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/backend.h"
#include "kernels/traffic.h"

namespace protolith {

/// What a kernel is run over: which sizes it takes and, in a training step, which they are.
enum class KernelDomain : std::uint8_t {
  parameters,   ///< all of a model's, in one array
  activations,  ///< of a convolution's output, in one array
  embeddings,   ///< of a batch, in one array
  queries,      ///< a number for each
  rows,         ///< a convolution's output as rows of channels
  images,       ///< a convolution's output
  batch,        ///< the images of an episode
  first_block,  ///< the first convolution block
  block,        ///< a later convolution block
  filters,      ///< of a later convolution block
  table,        ///< rows of features
  placed,       ///< rows that are put among others
  classes,      ///< the supports of each class
  sides,        ///< queries' and prototypes' embeddings
  pairs,        ///< a distance for each query and prototype
  histogram     ///< values and bins
};

/// One of the sizes of a domain, and what it may be.
struct KernelAxis {
  std::string_view name;  ///< "ROWS"
  std::int64_t least = 1, multiple = 1;
};
std::span<const KernelAxis> axes_of(KernelDomain domain);
/// "ROWSxCHANNELS".
std::string syntax_of(KernelDomain domain);

/// Device memory for a kernel's operands. Everything comes by copies from the host, so that a
/// profiler sees no kernel but the one that it is about; rewinds nothing: kernels that work in
/// place find their own results, which may run off to infinity.
class KernelData {
 public:
  explicit KernelData(Backend& backend) : backend_(backend) {}

  /// Uniform in [low, high).
  float* random(std::int64_t count, float low = -1.0F, float high = 1.0F);
  /// In [0.5, 1.5): variances, deviations.
  float* positive(std::int64_t count) { return random(count, 0.5F, 1.5F); }
  /// 0, to be written.
  float* zeros(std::int64_t count);
  std::uint8_t* zero_bytes(std::int64_t count);
  float* values(std::span<const float> values);
  /// 0 .. bound - 1 over and over.
  std::int32_t* indices(std::int64_t count, std::int64_t bound);
  std::uint8_t* bytes(std::int64_t count, std::int64_t bound);
  /// Memory that is no operand: its contents mean nothing before or after.
  float* scratch(std::int64_t count);
  /// Of the operand made last so many floats are gaps, which no kernel touches.
  void leave_out(std::int64_t count) { operand_bytes_ -= 4 * count; }

  /// Bytes of all operands.
  std::int64_t operand_bytes() const { return operand_bytes_; }

 private:
  Tensor operand(std::int64_t count, DType dtype);
  template <class T>
  T* repeated(std::int64_t count, std::span<const T> pattern);

  Backend& backend_;
  std::vector<Tensor> tensors_;
  std::int64_t operand_bytes_ = 0;
  std::uint64_t sequence_ = 0;
};

/// A kernel with its operands, which lie in the KernelData that it was made with.
struct PreparedKernel {
  Traffic traffic;               ///< of a launch, by the family's formula
  std::function<void()> launch;  ///< submits it; on the CPU: computes
};

/// A kernel that can be run by itself.
struct KernelEntry {
  std::string family;  ///< its header's name: "relu"
  std::string name;    ///< the function's: "relu_forward"
  KernelDomain domain;
  /// At these sizes, which fit axes_of(domain). Throws UsageError when they do not go together.
  std::function<PreparedKernel(KernelData&, std::span<const std::int64_t>)> prepare;
};

/// Collects a backend's entries, family by family.
class KernelList {
 public:
  using Prepare = decltype(KernelEntry::prepare);

  /// Those added from here on belong to it.
  void family(std::string name) { family_ = std::move(name); }
  void add(std::string name, KernelDomain domain, Prepare prepare) {
    entries_.push_back({family_, std::move(name), domain, std::move(prepare)});
  }
  std::vector<KernelEntry> take() { return std::move(entries_); }

 private:
  std::string family_;
  std::vector<KernelEntry> entries_;
};

/// What a device can do at best.
struct DevicePeak {
  double flops = 0;      ///< f32 FLOP/s outside tensor cores; 0: not known
  double bandwidth = 0;  ///< bytes/s of its memory; 0: not known
  std::string source;    ///< how they are known
};

/// A backend's side of `bench kernels`.
class KernelBench {
 public:
  virtual ~KernelBench() = default;
  /// All, families one after another.
  virtual const std::vector<KernelEntry>& entries() const = 0;
  virtual DevicePeak peak() = 0;
  /// Puts other data into the caches: the next launch finds its operands in memory only.
  virtual void flush_caches() = 0;
  /// Seconds that launch()'s work takes on the device, after all work before it is done.
  virtual double seconds(const std::function<void()>& launch) = 0;
};

}  // namespace protolith
