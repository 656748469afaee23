#include "kernels/cpu/elementwise.h"

#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/elementwise.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

void add_range(const float* a, const float* b, float* out, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](auto d, std::int64_t i) HWY_ATTR {
    hn::StoreU(hn::Add(hn::LoadU(d, a + i), hn::LoadU(d, b + i)), d, out + i);
  });
}

void scale_range(const float* a, float factor, float* out, std::int64_t begin, std::int64_t end) {
  for_vectors(begin, end, [&](auto d, std::int64_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, a + i), hn::Set(d, factor)), d, out + i);
  });
}

double sum_range(const float* a, std::int64_t count) {
  return sum_in_double(a, count);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(add_range);
HWY_EXPORT(scale_range);
HWY_EXPORT(sum_range);
}  // namespace

void add(const float* a, const float* b, float* out, std::int64_t count) {
  parallel_ranges(count, kElementsPerRange, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(add_range)(a, b, out, begin, end);
  });
}

void scale(const float* a, float factor, float* out, std::int64_t count) {
  parallel_ranges(count, kElementsPerRange, [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(scale_range)(a, factor, out, begin, end);
  });
}

void fill(float* out, float value, std::int64_t count) {
  parallel_ranges(count, kElementsPerRange, [&](std::int64_t begin, std::int64_t end, int) {
    std::fill(out + begin, out + end, value);
  });
}

double sum(const float* a, std::int64_t count) {
  std::vector<double> partial(static_cast<std::size_t>(range_count(count, kElementsPerRange)));
  parallel_ranges(count, kElementsPerRange, [&](std::int64_t begin, std::int64_t end, int range) {
    partial[static_cast<std::size_t>(range)] =
        HWY_DYNAMIC_DISPATCH(sum_range)(a + begin, end - begin);
  });
  double total = 0.0;
  for (const double part : partial) total += part;
  return total;
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
