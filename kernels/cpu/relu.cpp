#include "kernels/cpu/relu.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/relu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

void relu_range(const float* x, float* y, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](auto d, std::int64_t i) HWY_ATTR {
    hn::StoreU(relu(d, hn::LoadU(d, x + i)), d, y + i);
  });
}

void relu_backward_range(const float* y, const float* dy, float* dx, std::int64_t begin,
                         std::int64_t end) {
  for_vectors(begin, end, [&](auto d, std::int64_t i) HWY_ATTR {
    hn::StoreU(relu_gradient(d, hn::LoadU(d, y + i), hn::LoadU(d, dy + i)), d, dx + i);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(relu_range);
HWY_EXPORT(relu_backward_range);
}  // namespace

void relu_forward(const float* x, float* y, std::int64_t count) {
  parallel_ranges(count, kElementsPerRange, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(relu_range)(x, y, begin, end);
  });
}

void relu_backward(const float* y, const float* dy, float* dx, std::int64_t count) {
  parallel_ranges(count, kElementsPerRange, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(relu_backward_range)(y, dy, dx, begin, end);
  });
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
