#include "tests/cuda/cudnn_case_parts.h"

namespace protolith::test {
namespace {

Outcome tensor_case(const TensorOptions& options) {
  Sequence s;
  tensor(s, options);
  return s.outcome();
}

}  // namespace

std::vector<Case> tensor_cases() {
  return {
      {"tensor", [] { return tensor_case({}); }},
      {"tensor: an unknown descriptor type",
       [] {
         Sequence s;
         const RawDescriptor d(s, 63);  // the last value that the enumeration can hold
         return s.outcome();
       },
       {Call::create, CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED}},
      {"tensor: no id", [] { return tensor_case({.skip = CUDNN_ATTR_TENSOR_UNIQUE_ID}); }},
      {"tensor: no data type", [] { return tensor_case({.skip = CUDNN_ATTR_TENSOR_DATA_TYPE}); }},
      {"tensor: no extents",
       [] { return tensor_case({.skip = CUDNN_ATTR_TENSOR_DIMENSIONS}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: no strides",
       [] { return tensor_case({.skip = CUDNN_ATTR_TENSOR_STRIDES}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: no alignment",
       [] { return tensor_case({.skip = CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: alignment 3",
       [] { return tensor_case({.alignment = 3}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: alignment 0",
       [] { return tensor_case({.alignment = 0}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: alignment -16",
       [] { return tensor_case({.alignment = -16}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: alignment 2, less than an element",
       [] { return tensor_case({.alignment = 2}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: alignment 256", [] { return tensor_case({.alignment = 256}); }},
      {"tensor: alignment 12, no power of two", [] { return tensor_case({.alignment = 12}); }},
      {"tensor: an extent of 0",
       [] {
         return tensor_case({.extents = {2, 0, 5, 5}});
       }},
      {"tensor: a negative extent",
       [] {
         return tensor_case({.extents = {2, -3, 5, 5}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: a stride of 0",
       [] {
         return tensor_case({.strides = {0, 1, 15, 3}});
       }},
      {"tensor: a negative stride",
       [] {
         return tensor_case({.strides = {75, -1, 15, 3}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: overlapping strides",
       [] {
         return tensor_case({.strides = {1, 1, 1, 1}});
       }},
      {"tensor: fewer strides than extents",
       [] {
         return tensor_case({.strides = {15, 1, 3}});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: nine extents",
       [] {
         return tensor_case({.extents = std::vector<std::int64_t>(9, 1),
                             .strides = std::vector<std::int64_t>(9, 1)});
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: two extents",
       [] {
         return tensor_case({.extents = {4, 3}, .strides = {3, 1}});
       }},
      {"tensor: id 0", [] { return tensor_case({.id = 0}); }},
      {"tensor: a negative id", [] { return tensor_case({.id = -7}); }},
      {"tensor: set after finalize",
       [] {
         Sequence s;
         tensor(s, {}).ints(CUDNN_ATTR_TENSOR_UNIQUE_ID, {5});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: finalized twice",
       [] {
         Sequence s;
         tensor(s, {}).finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: set twice",
       [] {
         Sequence s;
         RawDescriptor d = unfinalized_tensor(s, {});
         d.ints(CUDNN_ATTR_TENSOR_UNIQUE_ID, {5}).finalize();
         return s.outcome();
       }},
      {"tensor: extents as f32",
       [] {
         Sequence s;
         const std::vector<float> extents{2, 3, 5, 5};
         RawDescriptor(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR)
             .set(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_FLOAT, 4, extents.data());
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE}},
      {"tensor: id as 32-bit integer",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR)
             .one(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT32, std::int32_t{4});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE}},
      {"tensor: two ids",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR)
             .ints(CUDNN_ATTR_TENSOR_UNIQUE_ID, {1, 2});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: no extents at all, count 0",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR).ints(CUDNN_ATTR_TENSOR_DIMENSIONS, {});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: a null array",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR)
             .set(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, 1, nullptr);
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: an attribute of a convolution",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR)
             .ints(CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, {2});
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: set on a null descriptor",
       [] {
         Sequence s;
         const std::int64_t id = 1;
         s.note(Call::set, cudnnBackendSetAttribute(nullptr, CUDNN_ATTR_TENSOR_UNIQUE_ID,
                                                    CUDNN_TYPE_INT64, 1, &id));
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM_NULL_POINTER}},
      {"tensor: finalize a null descriptor",
       [] {
         Sequence s;
         s.note(Call::finalize, cudnnBackendFinalize(nullptr));
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM_NULL_POINTER}},
      {"tensor: create into null",
       [] {
         Sequence s;
         s.note(Call::create,
                cudnnBackendCreateDescriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR, nullptr));
         return s.outcome();
       },
       Outcome{Call::create, CUDNN_STATUS_BAD_PARAM_NULL_POINTER}, Asked::standin},
      {"tensor: destroyed twice",
       [] {
         Sequence s;
         cudnnBackendDescriptor_t raw = RawDescriptor(s, CUDNN_BACKEND_TENSOR_DESCRIPTOR).raw;
         s.note(Call::none, cudnnBackendDestroyDescriptor(raw));
         return s.outcome();
       },
       Outcome{Call::none, CUDNN_STATUS_BAD_PARAM}, Asked::standin},
      {"tensor: destroy null",
       [] {
         Sequence s;
         s.note(Call::none, cudnnBackendDestroyDescriptor(nullptr));
         return s.outcome();
       },
       {Call::none, CUDNN_STATUS_BAD_PARAM_NULL_POINTER}},
      {"tensor: a scalar by value", [] { return tensor_case(scalar(1)); }},
      {"tensor: many elements by value",
       [] { return tensor_case({.by_value = true}); },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"tensor: read before finalize",
       [] {
         Sequence s;
         unfinalized_tensor(s, {}).get<std::int64_t>(CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64,
                                                     1);
         return s.outcome();
       },
       {Call::get, CUDNN_STATUS_NOT_INITIALIZED}},
      {"tensor: read extents",
       [] {
         Sequence s;
         const auto values =
             tensor(s, {}).get<std::int64_t>(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, 8);
         if (values != std::vector<std::int64_t>{2, 3, 5, 5}) {
           s.note(Call::get, CUDNN_STATUS_INTERNAL_ERROR);
         }
         return s.outcome();
       }},
      {"tensor: read extents as f32",
       [] {
         Sequence s;
         tensor(s, {}).get<float>(CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_FLOAT, 8);
         return s.outcome();
       },
       {Call::get, CUDNN_STATUS_BAD_PARAM_ATTRIBUTE_TYPE}},
      {"device: a description",
       [] {
         Sequence s;
         device(s);
         return s.outcome();
       }},
      {"device: no JSON",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)
             .set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 2, "no")
             .finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"device: JSON without what is needed",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)
             .set(CUDNN_ATTR_DEVICEPROP_JSON_REPRESENTATION, CUDNN_TYPE_CHAR, 2, "{}")
             .finalize();
         return s.outcome();
       },
       {Call::finalize, CUDNN_STATUS_BAD_PARAM}},
      {"device: a null handle",
       [] {
         Sequence s;
         RawDescriptor(s, CUDNN_BACKEND_DEVICEPROP_DESCRIPTOR)
             .one(CUDNN_ATTR_DEVICEPROP_HANDLE, CUDNN_TYPE_HANDLE, cudnnHandle_t{})
             .finalize();
         return s.outcome();
       },
       {Call::set, CUDNN_STATUS_BAD_PARAM_NULL_POINTER}},
  };
}

}  // namespace protolith::test
