// Graphs, their nodes and their launches.
#include <utility>

#include "tests/gpu_emulation/device/runtime.h"

using namespace protolith::emulated;

namespace {

void require(bool condition) {
  if (!condition) throw Failure{cudaErrorInvalidValue};
}

cudaGraphNodeType type_of(WorkKind kind) {
  return kind == WorkKind::copy   ? cudaGraphNodeTypeMemcpy
         : kind == WorkKind::fill ? cudaGraphNodeTypeMemset
                                  : cudaGraphNodeTypeKernel;
}

}  // namespace

extern "C" {

cudaError_t cudaGraphGetNodes(cudaGraph_t handle, cudaGraphNode_t* nodes, std::size_t* count) {
  return call([&](Device& d) {
    const CUgraph_st& graph = d.graphs.get(handle, cudaErrorInvalidValue);
    require(count != nullptr);
    if (nodes != nullptr) {
      const std::size_t room = std::exchange(*count, std::min(*count, graph.nodes.size()));
      for (std::size_t i = 0; i < room; ++i) {
        nodes[i] = i < graph.nodes.size() ? graph.nodes[i].get() : nullptr;
      }
    } else {
      *count = graph.nodes.size();
    }
  });
}

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, cudaGraphNodeType* type) {
  return call([&](Device& d) {
    require(type != nullptr);
    bool found = false;
    d.graphs.for_each([&](const CUgraph_st& graph) {
      for (const auto& candidate : graph.nodes) {
        if (candidate.get() != node) continue;
        *type = type_of(node->task->kind);
        found = true;
      }
    });
    require(found);
  });
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  return release_call([&](Device& d) { d.graphs.remove(graph, cudaErrorInvalidValue); });
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t handle,
                                 unsigned long long flags) {
  return call([&](Device& d) {
    const CUgraph_st& graph = d.graphs.get(handle, cudaErrorInvalidValue);
    require(executable != nullptr);
    require((flags & ~std::uint64_t{cudaGraphInstantiateFlagAutoFreeOnLaunch |
                                    cudaGraphInstantiateFlagUseNodePriority}) == 0);
    auto copy = std::make_unique<CUgraphExec_st>();
    for (const auto& node : graph.nodes) copy->tasks.push_back(node->task);
    *executable = d.executables.add(std::move(copy));
  });
}

cudaError_t cudaGraphUpload(cudaGraphExec_t handle, cudaStream_t stream) {
  return call([&](Device& d) {
    d.executables.get(handle, cudaErrorInvalidValue);
    d.require_no_capture(d.stream(stream));
  });
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t handle, cudaStream_t stream_handle) {
  return call([&](Device& d) {
    CUgraphExec_st& executable = d.executables.get(handle, cudaErrorInvalidValue);
    CUstream_st& stream = d.stream(stream_handle);
    d.require_no_capture(stream);  // graphs inside graphs are not emulated
    for (const auto& task : executable.tasks) d.check_operands(*task);
    ++d.counters.graph_launches;
    // Behind the stream's work and behind the graph's last launch, wherever that was.
    std::vector<std::shared_ptr<Pending>> after;
    if (executable.last != nullptr && !executable.last->done) after.push_back(executable.last);
    d.queue(stream, nullptr, std::move(after));
    for (const auto& task : executable.tasks) d.queue(stream, task);
    executable.last = d.queue(stream, nullptr);
  });
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  // Launches under way keep what they need.
  return release_call([&](Device& d) { d.executables.remove(executable, cudaErrorInvalidValue); });
}

}  // extern "C"
