#include "engine/cuda/cudnn_plan.h"

#include <algorithm>
#include <array>

namespace protolith::cuda {
namespace {

/// More proposals than cuDNN ever makes for one operation (some 40).
constexpr std::size_t kMaximumProposals = 128;
/// Mode A ranks by predicted time; the fallback list is short and unranked.
constexpr std::array kModes{CUDNN_HEUR_MODE_A, CUDNN_HEUR_MODE_FALLBACK};

const char* name(cudnnBackendNumericalNote_t note) {
  switch (note) {
    case CUDNN_NUMERICAL_NOTE_TENSOR_CORE:
      return "tensor core";
    case CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS:
      return "down-converts inputs";
    case CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION:
      return "reduced-precision sums";
    case CUDNN_NUMERICAL_NOTE_FFT:
      return "FFT";
    case CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC:
      return "non-deterministic";
    case CUDNN_NUMERICAL_NOTE_WINOGRAD:
      return "Winograd";
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_4x4:
      return "tile 4x4";
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_6x6:
      return "tile 6x6";
    case CUDNN_NUMERICAL_NOTE_WINOGRAD_TILE_13x13:
      return "tile 13x13";
    case CUDNN_NUMERICAL_NOTE_STRICT_NAN_PROP:
      return "strict NaN";
    default:
      return "unknown numerical note";
  }
}

const char* name(cudnnBackendBehaviorNote_t note) {
  switch (note) {
    case CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION:
      return "compiles at run time";
    case CUDNN_BEHAVIOR_NOTE_REQUIRES_FILTER_INT8x32_REORDER:
      return "int8x32 filter reorder";
    case CUDNN_BEHAVIOR_NOTE_REQUIRES_BIAS_INT8x32_REORDER:
      return "int8x32 bias reorder";
    case CUDNN_BEHAVIOR_NOTE_SUPPORTS_CUDA_GRAPH_NATIVE_API:
      return "native CUDA graph";
    case CUDNN_BEHAVIOR_NOTE_CUBLASLT_DEPENDENCY:
      return "uses cuBLASLt";
    default:
      return "unknown behavior note";
  }
}

EngineNotes notes_of(const Descriptor& config) {
  const std::vector<Descriptor> engines =
      config.descriptors(CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_BACKEND_ENGINE_DESCRIPTOR, 1);
  PROTOLITH_CHECK(engines.size() == 1, "cuDNN's engine configuration names no engine");
  const Descriptor& engine = engines.front();
  return {engine.value<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX),
          engine.values<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                                     CUDNN_NUMERICAL_NOTE_TYPE_COUNT),
          engine.values<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                                    CUDNN_BEHAVIOR_NOTE_TYPE_COUNT)};
}

std::string last_error(cudnnStatus_t status) {
  std::array<char, 512> detail{};
  cudnnGetLastErrorString(detail.data(), detail.size());
  return fmt::format("{} {}", cudnnGetErrorString(status), detail.data());
}

/// Whether cuDNN says that it lacks the operation, and not that its installation lacks something.
bool is_no(cudnnStatus_t status) {
  switch (status) {
    case CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDA_DRIVER:
    case CUDNN_STATUS_NOT_SUPPORTED_INCOMPATIBLE_CUDART:
    case CUDNN_STATUS_NOT_SUPPORTED_RUNTIME_PREREQUISITE_MISSING:
    case CUDNN_STATUS_NOT_SUPPORTED_SUBLIBRARY_UNAVAILABLE:
      return false;
    default:
      return CUDNN_STATUS_CATEGORY(status) == CUDNN_STATUS_NOT_SUPPORTED;
  }
}

/// None where cuDNN refuses, which is noted: another mode may know what this one does not.
std::vector<Descriptor> proposals(const OperationGraph& graph, const DeviceProperties& device,
                                  cudnnBackendHeurMode_t mode, Refusals& refusals) {
  Descriptor heuristics(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, graph.descriptor());
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_MODE, mode);
  heuristics.set(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, device.descriptor());
  const cudnnStatus_t status = heuristics.try_finalize();
  if (!succeeded(status)) {
    refusals.text +=
        fmt::format("\n  heuristics of mode {} -> {}", static_cast<int>(mode), last_error(status));
    refusals.failure |= !is_no(status);
    return {};
  }
  return heuristics.descriptors(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR,
                                kMaximumProposals);
}

}  // namespace

OperationGraph::OperationGraph(Descriptor operation, std::vector<Descriptor> parts)
    : parts_(std::move(parts)),
      operation_(std::move(operation)),
      graph_(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR) {
  graph_.set(CUDNN_ATTR_OPERATIONGRAPH_OPS, operation_);
  graph_.finalize();
}

bool EngineNotes::has(cudnnBackendNumericalNote_t note) const {
  return std::find(numerical.begin(), numerical.end(), note) != numerical.end();
}

bool EngineNotes::has(cudnnBackendBehaviorNote_t note) const {
  return std::find(behavior.begin(), behavior.end(), note) != behavior.end();
}

std::string EngineNotes::description() const {
  std::string result = fmt::format("{}", index);
  const char* separator = ": ";
  for (const auto note : numerical) {
    result += separator;
    result += name(note);
    separator = ", ";
  }
  for (const auto note : behavior) {
    result += separator;
    result += name(note);
    separator = ", ";
  }
  return result;
}

std::string objection(const EngineNotes& engine, const EngineRules& rules) {
  const auto offends = [&](bool allowed, auto note) { return !allowed && engine.has(note); };
  // On f32 tensors, tensor cores mean TF32 (from compute capability 8.0 on; before, cuDNN proposes
  // none); what goes below TF32, f16 say, is marked as converting its inputs or summing in less.
  if (offends(rules.options.tf32, CUDNN_NUMERICAL_NOTE_TENSOR_CORE)) return "TF32";
  if (offends(false, CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS) ||
      offends(false, CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) {
    return "reduced precision";
  }
  if (offends(!rules.options.deterministic, CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC)) {
    return "non-deterministic";
  }
  if (offends(rules.runtime_compilation, CUDNN_BEHAVIOR_NOTE_RUNTIME_COMPILATION)) {
    return "compiles at run time";
  }
  return {};
}

std::vector<EngineNotes> proposed_engines(const OperationGraph& graph,
                                          const DeviceProperties& device) {
  std::vector<EngineNotes> result;
  Refusals refusals;
  for (const auto mode : kModes) {
    for (const Descriptor& config : proposals(graph, device, mode, refusals)) {
      result.push_back(notes_of(config));
    }
  }
  PROTOLITH_CHECK(!result.empty() || refusals.text.empty(), "cuDNN proposes no engine:{}",
                  refusals.text);
  return result;
}

CudnnPlan::CudnnPlan(OperationGraph graph, const DeviceProperties& device, const EngineRules& rules)
    : graph_(std::move(graph)),
      config_(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR),
      plan_(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR) {
  Refusals refusals;
  for (const auto mode : kModes) {
    for (Descriptor& config : proposals(graph_, device, mode, refusals)) {
      if (adopt(std::move(config), device, rules, refusals)) return;
    }
  }
  const std::string message =
      fmt::format("cuDNN has no engine for this operation that keeps the rules:{}",
                  refusals.text.empty() ? " it proposes none" : refusals.text);
  if (refusals.failure) throw Error(message);
  throw NoEngine(message);
}

bool CudnnPlan::adopt(Descriptor config, const DeviceProperties& device, const EngineRules& rules,
                      Refusals& refusals) {
  EngineNotes engine = notes_of(config);
  const auto refuse = [&](const std::string& reason) {
    refusals.text += fmt::format("\n  engine {} -> {}", engine.description(), reason);
    return false;
  };
  if (const std::string reason = objection(engine, rules); !reason.empty()) return refuse(reason);

  Descriptor plan(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, config);
  plan.set(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, device.descriptor());
  const cudnnStatus_t status = plan.try_finalize();
  if (!succeeded(status)) {
    refusals.failure |= !is_no(status);
    return refuse(last_error(status));
  }

  const auto workspace =
      static_cast<std::size_t>(plan.value<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE));
  if (workspace > rules.options.workspace_limit) {
    return refuse(fmt::format("wants {} bytes of workspace", workspace));
  }
  config_ = std::move(config);
  plan_ = std::move(plan);
  engine_ = std::move(engine);
  workspace_bytes_ = workspace;
  return true;
}

void CudnnPlan::execute(const CudnnHandle& handle, std::span<const Binding> bindings,
                        void* workspace) const {
  std::vector<std::int64_t> ids;
  std::vector<const void*> pointers;
  for (const Binding& binding : bindings) {
    ids.push_back(binding.id);
    pointers.push_back(binding.pointer);
  }
  Descriptor pack(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  pack.set(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, std::span<const std::int64_t>(ids));
  pack.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, std::span<const void* const>(pointers));
  pack.set(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, static_cast<const void*>(workspace));
  pack.finalize();
  PROTOLITH_CUDA(cudnnBackendExecute(handle.get(), plan_.get(), pack.get()));
}

}  // namespace protolith::cuda
