#include "tests/cuda/cudnn_case_parts.h"

namespace protolith::test {
namespace {

Outcome convolution_case(const ConvolutionOptions& options) {
  Sequence s;
  convolution(s, options);
  return s.outcome();
}

Outcome operation_case(const OperationOptions& options) {
  Sequence s;
  convolution_operation(s, options);
  return s.outcome();
}

Outcome graph_case(const OperationOptions& options) {
  Sequence s;
  const Operation o = convolution_operation(s, options);
  graph(s, o.operation);
  return s.outcome();
}

}  // namespace

std::vector<Case> convolution_cases() {
  return {
      {"convolution", [] { return convolution_case({}); }},
      {"convolution: no mode",
       [] { return convolution_case({.skip = CUDNN_ATTR_CONVOLUTION_CONV_MODE}); }},
      {"convolution: no computation type",
       [] { return convolution_case({.skip = CUDNN_ATTR_CONVOLUTION_COMP_TYPE}); }},
      {"convolution: no spatial dimensions",
       [] { return convolution_case({.skip = CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"convolution: no padding",
       [] { return convolution_case({.skip = CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS}); }},
      {"convolution: no far padding",
       [] { return convolution_case({.skip = CUDNN_ATTR_CONVOLUTION_POST_PADDINGS}); }},
      {"convolution: no strides",
       [] { return convolution_case({.skip = CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"convolution: no dilations",
       [] { return convolution_case({.skip = CUDNN_ATTR_CONVOLUTION_DILATIONS}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"convolution: one padding for two dimensions",
       [] { return convolution_case({.padding = {1}}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"convolution: negative padding",
       [] {
         return convolution_case({.padding = {-1, 1}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"convolution: a stride of 0",
       [] {
         return convolution_case({.stride = {1, 0}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"convolution: a dilation of 0",
       [] {
         return convolution_case({.dilation = {0, 1}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"convolution: four spatial dimensions",
       [] { return convolution_case({.spatial = 4}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward", [] { return operation_case({}); }},
      {"forward: no x",
       [] { return operation_case({.skip = kForward.x}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: no weight",
       [] { return operation_case({.skip = kForward.w}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: no y",
       [] { return operation_case({.skip = kForward.y}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: no convolution",
       [] { return operation_case({.skip = kForward.convolution}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: no alpha", [] { return operation_case({.skip = kForward.alpha}); }},
      {"forward: no beta", [] { return operation_case({.skip = kForward.beta}); }},
      {"forward: unfinalized tensors",
       [] { return operation_case({.tensors_finalized = false}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: an unfinalized convolution",
       [] { return operation_case({.convolution = {.finalized = false}}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: a convolution as x",
       [] {
         Sequence s;
         const RawDescriptor c = convolution(s, {});
         RawDescriptor(s, kForward.type).refer(kForward.x, c);
         return s.outcome();
       },
       Outcome{Call::set, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE}, Asked::standin},
      {"forward: x finalized too late",
       [] {
         Sequence s;
         RawDescriptor x = unfinalized_tensor(s, nhwc(1, 2, 8, 6, 5));
         const RawDescriptor c = convolution(s, {}), w = tensor(s, nhwc(2, 4, 8, 3, 3)),
                             y = tensor(s, nhwc(3, 2, 4, 6, 5));
         RawDescriptor d(s, kForward.type);
         d.refer(kForward.x, x)
             .refer(kForward.w, w)
             .refer(kForward.y, y)
             .refer(kForward.convolution, c);
         x.finalize();
         d.finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: two tensors as x",
       [] {
         Sequence s;
         const RawDescriptor t = tensor(s, {});
         const std::vector<cudnnBackendDescriptor_t> both{t.raw, t.raw};
         RawDescriptor(s, kForward.type)
             .set(kForward.x, CUDNN_TYPE_BACKEND_DESCRIPTOR, 2, both.data());
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_NOT_SUPPORTED}},
      {"forward: set after finalize",
       [] {
         Sequence s;
         Operation o = convolution_operation(s, {});
         const RawDescriptor t = tensor(s, nhwc(1, 2, 8, 6, 5));
         o.operation.refer(kForward.x, t);
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"forward: parts destroyed before finalize",
       [] {
         Sequence s;
         Operation o = convolution_operation(s, {.finalized = false});
         o.parts.clear();
         o.operation.finalize();
         return s.outcome();
       }},
      {"forward: null as x",
       [] {
         Sequence s;
         RawDescriptor(s, kForward.type)
             .one(kForward.x, CUDNN_TYPE_BACKEND_DESCRIPTOR, static_cast<void*>(nullptr));
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"forward: alpha as an integer",
       [] {
         Sequence s;
         RawDescriptor(s, kForward.type).ints(kForward.alpha, {1});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"forward: alpha as f64",
       [] {
         Sequence s;
         RawDescriptor(s, kForward.type).one(kForward.alpha, CUDNN_TYPE_DOUBLE, 1.0);
         return s.outcome();
       }},
      {"forward: an attribute of the data gradient",
       [] {
         Sequence s;
         const RawDescriptor t = tensor(s, {});
         RawDescriptor(s, kForward.type).refer(kBackwardData.x, t);
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"forward: y too wide",
       [] { return operation_case({.y = nhwc(3, 2, 4, 6, 6)}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: y too low",
       [] { return operation_case({.y = nhwc(3, 2, 4, 5, 5)}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: y of other images",
       [] { return operation_case({.y = nhwc(3, 1, 4, 6, 5)}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: y of other filters",
       [] { return operation_case({.y = nhwc(3, 2, 8, 6, 5)}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: weight of other channels",
       [] { return operation_case({.w = nhwc(2, 4, 3, 3, 3)}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: grouped channels", [] { return operation_case({.w = nhwc(2, 4, 4, 3, 3)}); }},
      {"forward: filters larger than the padded image",
       [] {
         return operation_case(
             {.x = nhwc(1, 2, 8, 1, 1), .w = nhwc(2, 4, 8, 5, 5), .y = nhwc(3, 2, 4, 1, 1)});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: stride 2",
       [] {
         return operation_case({.y = nhwc(3, 2, 4, 3, 3), .convolution = {.stride = {2, 2}}});
       }},
      {"forward: stride 2, y of stride 1",
       [] {
         return operation_case({.convolution = {.stride = {2, 2}}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: integers for y",
       [] {
         OperationOptions o;
         o.y.type = CUDNN_DATA_INT32;
         return operation_case(o);
       }},
      {"forward: x by value",
       [] {
         OperationOptions o;
         o.x.by_value = true;
         return operation_case(o);
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"forward: a null stride in x",
       [] {
         OperationOptions o;
         o.x.strides[0] = 0;
         return graph_case(o);
       }},
      {"forward: three extents",
       [] {
         OperationOptions o;
         o.x = {.extents = {2, 8, 5}, .strides = {40, 1, 8}};
         return operation_case(o);
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"data gradient", [] { return operation_case({.pass = kBackwardData}); }},
      {"data gradient: dx too wide",
       [] { return operation_case({.pass = kBackwardData, .x = nhwc(1, 2, 8, 6, 6)}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"data gradient: no dx",
       [] { return operation_case({.pass = kBackwardData, .skip = kBackwardData.x}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"data gradient: no dy",
       [] { return operation_case({.pass = kBackwardData, .skip = kBackwardData.y}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"data gradient: no alpha",
       [] { return operation_case({.pass = kBackwardData, .skip = kBackwardData.alpha}); }},
      {"data gradient: no beta",
       [] { return operation_case({.pass = kBackwardData, .skip = kBackwardData.beta}); }},
      {"weight gradient", [] { return operation_case({.pass = kBackwardFilter}); }},
      {"weight gradient: dy of other filters",
       [] { return operation_case({.pass = kBackwardFilter, .y = nhwc(3, 2, 8, 6, 5)}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"weight gradient: dw too large",
       [] { return operation_case({.pass = kBackwardFilter, .w = nhwc(2, 4, 8, 5, 5)}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"weight gradient: no dw",
       [] { return operation_case({.pass = kBackwardFilter, .skip = kBackwardFilter.w}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"weight gradient: no x",
       [] { return operation_case({.pass = kBackwardFilter, .skip = kBackwardFilter.x}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"graph", [] { return graph_case({}); }},
      {"graph: an unfinalized operation",
       [] { return graph_case({.finalized = false}); },
       {Call::set, CUDNN_STATUS_BAD_PARAM_NOT_FINALIZED}},
      {"graph: x and weight with one id", [] { return graph_case({.w = nhwc(1, 4, 8, 3, 3)}); }},
      {"graph: no operation",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR).finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"graph: a tensor as operation",
       [] {
         Sequence s;
         const RawDescriptor t = tensor(s, {});
         RawDescriptor(s, CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)
             .refer(CUDNN_ATTR_OPERATIONGRAPH_OPS, t);
         return s.outcome();
       },
       Outcome{Call::set, CUDNN_STATUS_BAD_PARAM_DESCRIPTOR_TYPE}, Asked::standin},
      {"graph: how many engines",
       [] {
         Sequence s;
         const Operation o = convolution_operation(s, {});
         const auto count = graph(s, o.operation)
                                .get<std::int64_t>(CUDNN_ATTR_OPERATIONGRAPH_ENGINE_GLOBAL_COUNT,
                                                   CUDNN_TYPE_INT64, 1);
         if (count.size() != 1 || count[0] < 1) s.note(Call::get, CUDNN_STATUS_INTERNAL_ERROR);
         return s.outcome();
       }},
  };
}

}  // namespace protolith::test
