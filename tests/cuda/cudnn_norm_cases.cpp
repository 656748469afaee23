#include "tests/cuda/cudnn_case_parts.h"

#include <initializer_list>

namespace protolith::test {
namespace {

constexpr std::int64_t kChannels = 8;

/// A tensor of an operation: the attribute that takes it and what it is.
struct Role {
  cudnnBackendAttributeName_t name;
  TensorOptions tensor;
};

TensorOptions image(std::int64_t id) {
  return nhwc(id, 2, kChannels, 6, 5);
}
TensorOptions channels(std::int64_t id) {
  return nhwc(id, 1, kChannels, 1, 1);
}

const std::vector<Role>& common() {
  static const std::vector<Role> roles{
      {CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, image(1)},
      {CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, channels(2)},
      {CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC, channels(3)},
      {CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, channels(4)},
      {CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC, channels(5)},
      {CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, image(6)}};
  return roles;
}

const std::vector<Role>& running() {
  static const std::vector<Role> roles{
      {CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC, scalar(8)},
      {CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC, channels(9)},
      {CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC, channels(10)},
      {CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC, channels(11)},
      {CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC, channels(12)}};
  return roles;
}

std::vector<Role> backward_roles() {
  return {{CUDNN_ATTR_OPERATION_NORM_BWD_XDESC, image(1)},
          {CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, image(2)},
          {CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC, channels(3)},
          {CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC, channels(4)},
          {CUDNN_ATTR_OPERATION_NORM_BWD_INV_VARIANCE_DESC, channels(5)},
          {CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, image(6)},
          {CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC, channels(7)},
          {CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC, channels(8)}};
}

std::vector<Role> forward_roles(bool training, bool with_running) {
  std::vector<Role> roles = common();
  if (training) roles.push_back({CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, scalar(7)});
  if (with_running) roles.insert(roles.end(), running().begin(), running().end());
  return roles;
}

Operation norm(Sequence& s, std::vector<Role> roles, bool forward, bool training,
               const std::vector<cudnnBackendAttributeName_t>& skip,
               const std::vector<Role>& instead) {
  Operation r{{},
              RawDescriptor(s, forward ? CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR
                                       : CUDNN_BACKEND_OPERATION_NORM_BACKWARD_DESCRIPTOR)};
  const auto skipped = [&](cudnnBackendAttributeName_t name) {
    for (const auto s_ : skip) {
      if (s_ == name) return true;
    }
    return false;
  };
  const auto mode =
      forward ? CUDNN_ATTR_OPERATION_NORM_FWD_MODE : CUDNN_ATTR_OPERATION_NORM_BWD_MODE;
  if (!skipped(mode)) r.operation.one(mode, CUDNN_TYPE_NORM_MODE, CUDNN_BATCH_NORM);
  if (forward && !skipped(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE)) {
    r.operation.one(CUDNN_ATTR_OPERATION_NORM_FWD_PHASE, CUDNN_TYPE_NORM_FWD_PHASE,
                    training ? CUDNN_NORM_FWD_TRAINING : CUDNN_NORM_FWD_INFERENCE);
  }
  for (Role& role : roles) {
    for (const Role& other : instead) {
      if (other.name == role.name) role = other;
    }
    if (skipped(role.name)) continue;
    r.parts.push_back(tensor(s, role.tensor));
    r.operation.refer(role.name, r.parts.back());
  }
  r.operation.finalize();
  return r;
}

using Names = std::vector<cudnnBackendAttributeName_t>;

Outcome training(bool with_running, const Names& skip = {}, const std::vector<Role>& instead = {}) {
  Sequence s;
  norm(s, forward_roles(true, with_running), true, true, skip, instead);
  return s.outcome();
}

Outcome inference(const Names& skip = {}, const std::vector<Role>& instead = {}) {
  Sequence s;
  norm(s, forward_roles(false, false), true, false, skip, instead);
  return s.outcome();
}

Outcome backward(const Names& skip = {}, const std::vector<Role>& instead = {}) {
  Sequence s;
  norm(s, backward_roles(), false, false, skip, instead);
  return s.outcome();
}

Outcome proposals(Sequence& s, const Operation& o) {
  const RawDescriptor g = graph(s, o.operation), d = device(s), h = heuristics(s, g, d);
  if (configurations(s, h, 8).empty()) s.note(Call::get, CUDNN_STATUS_INTERNAL_ERROR);
  return s.outcome();
}

}  // namespace

std::vector<Case> norm_cases() {
  return {
      {"norm training", [] { return training(false); }},
      {"norm training, running statistics", [] { return training(true); }},
      {"norm training: no mode",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_MODE}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"norm training: no phase",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_PHASE}); }},
      {"norm training: no x",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_XDESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm training: no y",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_YDESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm training: no scale",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"norm training: no bias",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_BIAS_DESC}); }},
      {"norm training: no mean",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"norm training: no inverse deviation",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm training: no epsilon",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"norm training: no momentum",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_EXP_AVG_FACTOR_DESC}); }},
      {"norm training: no old running mean",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_MEAN_DESC}); }},
      {"norm training: no old running variance",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_INPUT_RUNNING_VAR_DESC}); }},
      {"norm training: no new running mean",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_MEAN_DESC}); }},
      {"norm training: no new running variance",
       [] { return training(true, {CUDNN_ATTR_OPERATION_NORM_FWD_OUTPUT_RUNNING_VAR_DESC}); }},
      {"norm training: epsilon on the device",
       [] {
         TensorOptions t = scalar(7);
         t.by_value = false;
         return training(true, {}, {{CUDNN_ATTR_OPERATION_NORM_FWD_EPSILON_DESC, t}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"norm training: y of other extents",
       [] {
         return training(true, {},
                         {{CUDNN_ATTR_OPERATION_NORM_FWD_YDESC, nhwc(6, 2, kChannels, 5, 5)}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm training: scale of other channels",
       [] {
         return training(
             true, {},
             {{CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC, nhwc(2, 1, kChannels + 1, 1, 1)}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm training: mean of other channels",
       [] {
         return training(
             true, {},
             {{CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC, nhwc(4, 1, kChannels + 1, 1, 1)}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm training: an unfinalized x",
       [] {
         Sequence s;
         const RawDescriptor t = unfinalized_tensor(s, image(1));
         RawDescriptor(s, CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR)
             .refer(CUDNN_ATTR_OPERATION_NORM_FWD_XDESC, t);
         return s.outcome();
       }},
      {"norm training: mode of another type",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_OPERATION_NORM_FORWARD_DESCRIPTOR)
             .ints(CUDNN_ATTR_OPERATION_NORM_FWD_MODE, {2});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"norm training: proposals",
       [] {
         Sequence s;
         return proposals(s, norm(s, forward_roles(true, true), true, true, {}, {}));
       }},
      {"norm training without running statistics: proposals",
       [] {
         Sequence s;
         return proposals(s, norm(s, forward_roles(true, false), true, true, {}, {}));
       }},
      {"norm inference", [] { return inference(); }},
      {"norm inference: no mean",
       [] { return inference({CUDNN_ATTR_OPERATION_NORM_FWD_MEAN_DESC}); }},
      {"norm inference: no inverse deviation",
       [] { return inference({CUDNN_ATTR_OPERATION_NORM_FWD_INV_VARIANCE_DESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm inference: no scale",
       [] { return inference({CUDNN_ATTR_OPERATION_NORM_FWD_SCALE_DESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"norm inference: proposals",
       [] {
         Sequence s;
         return proposals(s, norm(s, forward_roles(false, false), true, false, {}, {}));
       },
       {Call::finalize, CUDNN_STATUS_NOT_SUPPORTED}},
      {"norm backward", [] { return backward(); }},
      {"norm backward: no mode", [] { return backward({CUDNN_ATTR_OPERATION_NORM_BWD_MODE}); }},
      {"norm backward: no x",
       [] { return backward({CUDNN_ATTR_OPERATION_NORM_BWD_XDESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm backward: no dy",
       [] { return backward({CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm backward: no scale",
       [] { return backward({CUDNN_ATTR_OPERATION_NORM_BWD_SCALE_DESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"norm backward: no mean",
       [] { return backward({CUDNN_ATTR_OPERATION_NORM_BWD_MEAN_DESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"norm backward: no dx",
       [] { return backward({CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm backward: no dscale",
       [] { return backward({CUDNN_ATTR_OPERATION_NORM_BWD_DSCALE_DESC}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"norm backward: no dbias",
       [] { return backward({CUDNN_ATTR_OPERATION_NORM_BWD_DBIAS_DESC}); }},
      {"norm backward: dx of other extents",
       [] {
         return backward({}, {{CUDNN_ATTR_OPERATION_NORM_BWD_DXDESC, nhwc(6, 2, kChannels, 5, 5)}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm backward: dy of other extents",
       [] {
         return backward({}, {{CUDNN_ATTR_OPERATION_NORM_BWD_DYDESC, nhwc(2, 1, kChannels, 6, 5)}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_SHAPE_MISMATCH}},
      {"norm backward: proposals",
       [] {
         Sequence s;
         return proposals(s, norm(s, backward_roles(), false, false, {}, {}));
       }},
  };
}

}  // namespace protolith::test
