// The stand-in's descriptors: attributes as they were set, checked against a table of what each
// kind of descriptor takes, and rules that finalizing enforces. Statuses are those of cuDNN 9.19
// wherever tests/cuda/cudnn_cases.cpp asks both; where NVIDIA's library accepts what it then
// misreads, this one refuses.
#pragma once

#include <cudnn.h>

#include <cstdint>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace protolith::emulated::dnn {

/// What a call returns, thrown from wherever it was found; `reason` is for the last error string.
struct Refusal {
  cudnnStatus_t status;
  std::string reason;
};

inline void require(bool condition, cudnnStatus_t status, const std::string& reason) {
  if (!condition) throw Refusal{status, reason};
}

struct Descriptor;

/// An attribute's value: bytes of `count` elements, or descriptors. A descriptor that is set is
/// copied as it is then, as cuDNN does: finalizing it later does not help.
struct Value {
  cudnnBackendAttributeType_t type{};
  std::vector<std::byte> bytes;
  std::int64_t count = 0;
  std::vector<std::shared_ptr<const Descriptor>> descriptors;
};

/// What an engine is and what it demands.
struct Engine {
  std::int64_t index = 0;
  std::vector<cudnnBackendNumericalNote_t> numerical = {};
  std::vector<cudnnBackendBehaviorNote_t> behavior = {};
  std::int64_t workspace = 0;  ///< bytes
  bool buildable = true;       ///< whether a plan of it can be finalized
  bool has(cudnnBackendNumericalNote_t note) const;
};

struct Descriptor {
  cudnnBackendDescriptorType_t type{};
  bool finalized = false;
  std::map<cudnnBackendAttributeName_t, Value> values;
  Engine engine;                ///< of an engine, a configuration, a plan
  std::vector<Engine> engines;  ///< of heuristics: the proposals, best first
  int compute_capability = 0;   ///< of a device, 10 * major + minor

  bool has(cudnnBackendAttributeName_t name) const { return values.count(name) != 0; }
  /// The values of an attribute, none when it was not set.
  template <class T>
  std::vector<T> all(cudnnBackendAttributeName_t name) const {
    const auto found = values.find(name);
    if (found == values.end()) return {};
    std::vector<T> result(found->second.bytes.size() / sizeof(T));
    std::memcpy(result.data(), found->second.bytes.data(), result.size() * sizeof(T));
    return result;
  }
  template <class T>
  T one(cudnnBackendAttributeName_t name, T otherwise) const {
    const auto found = values.find(name);
    if (found == values.end()) return otherwise;
    T result{};
    std::memcpy(&result, found->second.bytes.data(), sizeof result);
    return result;
  }
  std::int64_t number(cudnnBackendAttributeName_t name, std::int64_t otherwise = 0) const {
    return one<std::int64_t>(name, otherwise);
  }
  /// What an attribute refers to, null when it was not set.
  std::shared_ptr<const Descriptor> part(cudnnBackendAttributeName_t name) const;
};

/// Bytes of one element of an attribute's type.
std::size_t element_size(cudnnBackendAttributeType_t type);

void set_attribute(Descriptor& descriptor, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, std::int64_t count, const void* values);
void get_attribute(const Descriptor& descriptor, cudnnBackendAttributeName_t name,
                   cudnnBackendAttributeType_t type, std::int64_t capacity, std::int64_t* count,
                   void* values);
void finalize(Descriptor& descriptor);

/// The live descriptor behind a pointer; refuses null and anything else.
std::shared_ptr<Descriptor> live(cudnnBackendDescriptor_t raw);
/// Whether this handle exists, and the device that it is on.
bool is_handle(cudnnHandle_t handle);
int compute_capability(cudnnHandle_t handle);

/// The engines that this stand-in has for an operation graph on a device, in the order in which
/// the heuristics of a mode propose them.
std::vector<Engine> propose(const Descriptor& graph, cudnnBackendHeurMode_t mode,
                            int compute_capability);

/// Whether an operation is a convolution's pass, and the attributes that each pass names its own
/// way.
struct ConvolutionNames {
  cudnnBackendDescriptorType_t type;
  cudnnBackendAttributeName_t convolution, x, weight, y, alpha, beta;
};
const ConvolutionNames* convolution_names(cudnnBackendDescriptorType_t type);

/// The tensors of an operation, in the order of its attributes.
struct NamedTensor {
  cudnnBackendAttributeName_t name;
  std::shared_ptr<const Descriptor> tensor;
};
std::vector<NamedTensor> tensors_of(const Descriptor& operation);

}  // namespace protolith::emulated::dnn
