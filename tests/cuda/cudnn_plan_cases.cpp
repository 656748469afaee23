#include "tests/cuda/cudnn_case_parts.h"

#include <algorithm>

namespace protolith::test {
namespace {

/// A plan's way from the graph on, as far as a case needs it.
struct Planned {
  Operation operation;
  RawDescriptor graph, device, heuristics;
  std::vector<RawDescriptor> configs;
};

Planned planned(Sequence& s, std::size_t capacity = 64) {
  Operation o = convolution_operation(s, {});
  RawDescriptor g = graph(s, o.operation);
  RawDescriptor d = device(s);
  RawDescriptor h = heuristics(s, g, d);
  std::vector<RawDescriptor> configs = configurations(s, h, capacity);
  if (configs.empty()) s.note(Call::get, CUDNN_STATUS_INTERNAL_ERROR);
  return {std::move(o), std::move(g), std::move(d), std::move(h), std::move(configs)};
}

RawDescriptor engine_of(Sequence& s, const RawDescriptor& config) {
  RawDescriptor engine(s, CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  std::int64_t count = 0;
  s.note(Call::get,
         cudnnBackendGetAttribute(config.raw, CUDNN_ATTR_ENGINECFG_ENGINE,
                                  CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &engine.raw));
  if (count != 1) s.note(Call::get, CUDNN_STATUS_INTERNAL_ERROR);
  return engine;
}

/// A plan of the first proposal.
RawDescriptor plan(Sequence& s, const Planned& p) {
  RawDescriptor d(s, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  d.refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, p.configs.front())
      .refer(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, p.device)
      .finalize();
  return d;
}

struct PackOptions {
  Ints ids{1, 2, 3};
  std::vector<std::uintptr_t> pointers{0x1000, 0x2000, 0x3000};
  cudnnBackendAttributeName_t skip = kNothing;
};

RawDescriptor pack(Sequence& s, const PackOptions& o) {
  RawDescriptor d(s, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  if (o.skip != CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS)
    d.ints(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, o.ids);
  if (o.skip != CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS) {
    d.set(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR,
          static_cast<std::int64_t>(o.pointers.size()), o.pointers.data());
  }
  if (o.skip != CUDNN_ATTR_VARIANT_PACK_WORKSPACE) {
    d.one(CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, static_cast<void*>(nullptr));
  }
  d.finalize();
  return d;
}

Outcome pack_case(const PackOptions& options) {
  Sequence s;
  pack(s, options);
  return s.outcome();
}

}  // namespace

std::vector<Case> plan_cases() {
  return {
      {"heuristics",
       [] {
         Sequence s;
         planned(s);
         return s.outcome();
       }},
      {"heuristics: room for two",
       [] {
         Sequence s;
         if (planned(s, 2).configs.size() != 2) s.note(Call::get, CUDNN_STATUS_INTERNAL_ERROR);
         return s.outcome();
       }},
      {"heuristics: how many proposals",
       [] {
         Sequence s;
         const Planned p = planned(s);
         std::int64_t count = 0;
         s.note(Call::get,
                cudnnBackendGetAttribute(p.heuristics.raw, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, 0, &count, nullptr));
         if (count < static_cast<std::int64_t>(p.configs.size()))
           s.note(Call::get, CUDNN_STATUS_INTERNAL_ERROR);
         return s.outcome();
       }},
      {"heuristics: no graph",
       [] {
         Sequence s;
         const RawDescriptor d = device(s);
         RawDescriptor(s, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
             .one(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A)
             .refer(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, d)
             .finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"heuristics: no mode",
       [] {
         Sequence s;
         const Planned p = planned(s);
         RawDescriptor(s, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
             .refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, p.graph)
             .refer(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, p.device)
             .finalize();
         return s.outcome();
       }},
      {"heuristics: no device",
       [] {
         Sequence s;
         const Planned p = planned(s);
         RawDescriptor(s, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
             .refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, p.graph)
             .one(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A)
             .finalize();
         return s.outcome();
       },
       Outcome{Call::finalize, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED}, Asked::standin},
      {"heuristics: an unfinalized graph",
       [] {
         Sequence s;
         const RawDescriptor g(s, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR);
         const RawDescriptor d = device(s);
         heuristics(s, g, d);
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED}},
      {"heuristics: an unfinalized device",
       [] {
         Sequence s;
         const RawDescriptor d(s, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
         const Operation o = convolution_operation(s, {});
         const RawDescriptor g = graph(s, o.operation);
         heuristics(s, g, d);
         return s.outcome();
       },
       Outcome{Call::finalize, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED}, Asked::standin},
      {"heuristics: read before finalize",
       [] {
         Sequence s;
         const Planned p = planned(s);
         RawDescriptor h(s, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
         h.refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, p.graph)
             .one(CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, CUDNN_HEUR_MODE_A)
             .refer(CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, p.device);
         configurations(s, h, 4);
         return s.outcome();
       },
       {Call::get, CUDNN_STATUS_NOT_INITIALIZED}},
      {"heuristics: an operation as graph",
       [] {
         Sequence s;
         const Operation o = convolution_operation(s, {});
         RawDescriptor(s, CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR)
             .refer(CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, o.operation);
         return s.outcome();
       },
       Outcome{Call::set, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE}, Asked::standin},
      {"heuristics: results into tensors",
       [] {
         Sequence s;
         const Planned p = planned(s);
         RawDescriptor t(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR);
         std::int64_t count = 0;
         s.note(Call::get,
                cudnnBackendGetAttribute(p.heuristics.raw, CUDNN_ATTR_ENGINEHEUR_RESULTS,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &t.raw));
         return s.outcome();
       },
       Outcome{Call::get, CUDNN_STATUS_BAD_PARAM}, Asked::standin},
      {"heuristics: results as integers",
       [] {
         Sequence s;
         planned(s).heuristics.get<std::int64_t>(CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_INT64,
                                                 4);
         return s.outcome();
       },
       {Call::get, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE}},
      {"configuration: finalized already",
       [] {
         Sequence s;
         planned(s).configs.front().finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"configuration: engine, its number and its notes",
       [] {
         Sequence s;
         const Planned p = planned(s);
         const RawDescriptor e = engine_of(s, p.configs.front());
         const auto index =
             e.get<std::int64_t>(CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1);
         if (index.size() != 1) s.note(Call::get, CUDNN_STATUS_INTERNAL_ERROR);
         e.get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                            CUDNN_TYPE_NUMERICAL_NOTE,
                                            CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
         e.get<cudnnBackendBehaviorNote_t>(CUDNN_ATTR_ENGINE_BEHAVIOR_NOTE,
                                           CUDNN_TYPE_BEHAVIOR_NOTE,
                                           CUDNN_BEHAVIOR_NOTE_TYPE_COUNT);
         return s.outcome();
       }},
      {"configuration: numerical notes as behavior notes",
       [] {
         Sequence s;
         const Planned p = planned(s);
         engine_of(s, p.configs.front())
             .get<cudnnBackendNumericalNote_t>(CUDNN_ATTR_ENGINE_NUMERICAL_NOTE,
                                               CUDNN_TYPE_BEHAVIOR_NOTE,
                                               CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
         return s.outcome();
       },
       {Call::get, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE}},
      {"configuration: engine into a configuration",
       [] {
         Sequence s;
         const Planned p = planned(s);
         RawDescriptor c(s, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
         std::int64_t count = 0;
         s.note(Call::get,
                cudnnBackendGetAttribute(p.configs.front().raw, CUDNN_ATTR_ENGINECFG_ENGINE,
                                         CUDNN_TYPE_BACKEND_DESCRIPTOR, 1, &count, &c.raw));
         return s.outcome();
       },
       {Call::get, CUDNN_STATUS_BAD_PARAM}},
      {"plan",
       [] {
         Sequence s;
         const auto bytes =
             plan(s, planned(s))
                 .get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1);
         if (bytes.size() != 1 || bytes[0] < 0) s.note(Call::get, CUDNN_STATUS_INTERNAL_ERROR);
         return s.outcome();
       }},
      {"plan: no configuration",
       [] {
         Sequence s;
         const RawDescriptor d = device(s);
         RawDescriptor(s, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
             .refer(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, d)
             .finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED}},
      {"plan: an unfinalized configuration",
       [] {
         Sequence s;
         const RawDescriptor c(s, CUDNN_BACKEND_ENGINECFG_DESCRIPTOR);
         const RawDescriptor d = device(s);
         RawDescriptor(s, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
             .refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, c)
             .refer(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, d)
             .finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED}},
      {"plan: no device",
       [] {
         Sequence s;
         const Planned p = planned(s);
         RawDescriptor(s, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
             .refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, p.configs.front())
             .finalize();
         return s.outcome();
       },
       Outcome{Call::finalize, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED}, Asked::standin},
      {"plan: an unfinalized device",
       [] {
         Sequence s;
         const RawDescriptor d(s, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR);
         const Planned p = planned(s);
         RawDescriptor(s, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
             .refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, p.configs.front())
             .refer(CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, d)
             .finalize();
         return s.outcome();
       },
       Outcome{Call::finalize, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED}, Asked::standin},
      {"plan: a device as configuration",
       [] {
         Sequence s;
         const RawDescriptor d = device(s);
         RawDescriptor(s, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
             .refer(CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, d);
         return s.outcome();
       },
       Outcome{Call::set, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE}, Asked::standin},
      {"plan: workspace before finalize",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
             .get<std::int64_t>(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1);
         return s.outcome();
       },
       {Call::get, CUDNN_STATUS_NOT_INITIALIZED}},
      {"plan: set the workspace size",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR)
             .ints(CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, {0});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_NOT_SUPPORTED}},
      {"plan: finalized twice",
       [] {
         Sequence s;
         plan(s, planned(s)).finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"pack", [] { return pack_case({}); }},
      {"pack: no ids",
       [] { return pack_case({.skip = CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"pack: no pointers",
       [] { return pack_case({.skip = CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"pack: no workspace", [] { return pack_case({.skip = CUDNN_ATTR_VARIANT_PACK_WORKSPACE}); }},
      {"pack: fewer pointers than ids",
       [] {
         return pack_case({.pointers = {0x1000, 0x2000}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"pack: a null pointer",
       [] {
         return pack_case({.pointers = {0x1000, 0, 0x3000}});
       }},
      {"pack: one id twice",
       [] {
         return pack_case({.ids = {1, 2, 2}});
       }},
      {"pack: pointers as integers",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR)
             .ints(CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, {1, 2});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_NOT_SUPPORTED}},
      {"pack: set after finalize",
       [] {
         Sequence s;
         pack(s, {}).ints(CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, {1, 2, 3});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"execute: no handle",
       [] {
         Sequence s;
         const Planned p = planned(s);
         const RawDescriptor d = plan(s, p), v = pack(s, {});
         s.note(Call::execute, cudnnBackendExecute(nullptr, d.raw, v.raw));
         return s.outcome();
       },
       {Call::execute, CUDNN_STATUS_BAD_PARAM}},
      {"execute: no plan",
       [] {
         Sequence s;
         const RawDescriptor v = pack(s, {});
         s.note(Call::execute, cudnnBackendExecute(nullptr, nullptr, v.raw));
         return s.outcome();
       },
       {Call::execute, CUDNN_STATUS_BAD_PARAM}},
  };
}

}  // namespace protolith::test
