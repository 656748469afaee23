// Sequences of calls to cuDNN's backend API, right and wrong, each with the answer that is
// expected. The table is run twice: against NVIDIA's library, which makes it true, and against the
// tests' stand-in, which must not accept more.
#pragma once

#include <cudnn.h>

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace protolith::test {

enum class Call : std::uint8_t { none, create, set, finalize, get, execute };

/// The first call of a sequence that failed, and how; {none, success} when all succeeded.
struct Outcome {
  Call call = Call::none;
  cudnnStatus_t status = CUDNN_STATUS_SUCCESS;
  friend bool operator==(const Outcome&, const Outcome&) = default;
};

/// Remembers the first failure of the calls that descriptors made within it.
class Sequence {
 public:
  void note(Call call, cudnnStatus_t status) {
    if (outcome_.status == CUDNN_STATUS_SUCCESS && status != CUDNN_STATUS_SUCCESS) {
      outcome_ = {call, status};
    }
  }
  const Outcome& outcome() const { return outcome_; }

 private:
  Outcome outcome_;
};

/// A descriptor without any safety: what the engine's own wrapper cannot express must be tried too.
class RawDescriptor {
 public:
  RawDescriptor(Sequence& sequence, int type) : sequence_(&sequence) {
    sequence.note(Call::create, cudnnBackendCreateDescriptor(
                                    static_cast<cudnnBackendDescriptorType_t>(type), &raw));
  }
  ~RawDescriptor() {
    if (raw != nullptr) cudnnBackendDestroyDescriptor(raw);
  }
  RawDescriptor(RawDescriptor&& other) noexcept
      : raw(std::exchange(other.raw, nullptr)), sequence_(other.sequence_) {}
  RawDescriptor(const RawDescriptor&) = delete;
  RawDescriptor& operator=(const RawDescriptor&) = delete;
  RawDescriptor& operator=(RawDescriptor&&) = delete;

  RawDescriptor& set(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                     std::int64_t count, const void* values) {
    sequence_->note(Call::set, cudnnBackendSetAttribute(raw, name, type, count, values));
    return *this;
  }
  RawDescriptor& ints(cudnnBackendAttributeName_t name, const std::vector<std::int64_t>& values) {
    return set(name, CUDNN_TYPE_INT64, static_cast<std::int64_t>(values.size()), values.data());
  }
  template <class T>
  RawDescriptor& one(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type, T value) {
    return set(name, type, 1, &value);
  }
  RawDescriptor& refer(cudnnBackendAttributeName_t name, const RawDescriptor& other) {
    return one(name, CUDNN_TYPE_BACKEND_DESCRIPTOR, other.raw);
  }
  RawDescriptor& finalize() {
    sequence_->note(Call::finalize, cudnnBackendFinalize(raw));
    return *this;
  }
  template <class T>
  std::vector<T> get(cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
                     std::size_t capacity) const {
    std::vector<T> values(capacity);
    std::int64_t count = 0;
    sequence_->note(Call::get,
                    cudnnBackendGetAttribute(raw, name, type, static_cast<std::int64_t>(capacity),
                                             &count, values.data()));
    values.resize(std::min(capacity, static_cast<std::size_t>(count)));
    return values;
  }

  cudnnBackendDescriptor_t raw = nullptr;

 private:
  Sequence* sequence_;
};

/// Whom a case is asked. NVIDIA's library takes some wrong calls for right or reads what is not
/// there, and some answers depend on the machine: there the stand-in alone must refuse.
enum class Asked : std::uint8_t { both, standin };

struct Case {
  std::string name;
  Outcome (*run)();
  Outcome expected = {};
  Asked asked = Asked::both;
};

std::vector<Case> tensor_cases();
std::vector<Case> convolution_cases();
std::vector<Case> plan_cases();
std::vector<Case> norm_cases();

}  // namespace protolith::test
