// From an operation to something that runs: cuDNN's heuristics propose engines, best first; the
// first one that keeps our rules and that cuDNN can build for the device becomes the plan.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/cuda/cudnn_graph.h"

namespace protolith::cuda {

/// An operation with everything that it refers to. cuDNN 9.19 copies what is set, but its
/// documentation does not promise that.
class OperationGraph {
 public:
  /// Takes the finalized operation and the descriptors that it refers to.
  OperationGraph(Descriptor operation, std::vector<Descriptor> parts);

  const Descriptor& descriptor() const noexcept { return graph_; }

 private:
  std::vector<Descriptor> parts_;
  Descriptor operation_, graph_;
};

/// What cuDNN says of an engine, and the rules that a plan's engine must keep.
struct EngineNotes {
  std::int64_t index = 0;  ///< cuDNN's number for it among the engines of this kind of operation
  std::vector<cudnnBackendNumericalNote_t> numerical;
  std::vector<cudnnBackendBehaviorNote_t> behavior;

  bool has(cudnnBackendNumericalNote_t note) const;
  bool has(cudnnBackendBehaviorNote_t note) const;
  /// "34: winograd, winograd tile 4x4"
  std::string description() const;
};

/// No engine that cuDNN proposes for an operation keeps the rules, if it proposes any. Another
/// Error means that there are some, but that cuDNN failed.
class NoEngine : public Error {
 public:
  using Error::Error;
};

/// Why proposals will not do.
struct Refusals {
  std::string text;      ///< a line for each
  bool failure = false;  ///< cuDNN failed at one of them, rather than it breaking the rules
};

struct EngineRules {
  CudnnOptions options;
  /// Engines that compile kernels when the plan is made need seconds and a compiler at run time.
  bool runtime_compilation = false;
};

/// Why an engine breaks the rules, or an empty string. `workspace` in bytes.
std::string objection(const EngineNotes& engine, const EngineRules& rules);

/// What cuDNN's heuristics propose for an operation on a device, best first, whatever the rules.
/// Throws Error when cuDNN knows no engine for this kind of operation.
std::vector<EngineNotes> proposed_engines(const OperationGraph& graph,
                                          const DeviceProperties& device);

/// One tensor of an execution: device memory, or a host scalar that is read before the call
/// returns.
struct Binding {
  std::int64_t id;
  const void* pointer;
};

/// An engine chosen, configured and built for one device and one operation.
class CudnnPlan {
 public:
  /// Throws NoEngine or Error that names every proposal and what is wrong with it when none will
  /// do.
  CudnnPlan(OperationGraph graph, const DeviceProperties& device, const EngineRules& rules);

  const EngineNotes& engine() const noexcept { return engine_; }
  std::size_t workspace_bytes() const noexcept { return workspace_bytes_; }
  /// Queues the plan on the handle's stream. `workspace`: workspace_bytes() bytes of device memory,
  /// not needed when that is 0.
  void execute(const CudnnHandle& handle, std::span<const Binding> bindings, void* workspace) const;

 private:
  bool adopt(Descriptor config, const DeviceProperties& device, const EngineRules& rules,
             Refusals& refusals);

  OperationGraph graph_;
  Descriptor config_, plan_;
  EngineNotes engine_;
  std::size_t workspace_bytes_ = 0;
};

}  // namespace protolith::cuda
