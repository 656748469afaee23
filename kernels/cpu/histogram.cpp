#include "kernels/cpu/histogram.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/histogram.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

// Adds values [begin, end) to counts. `edges` is filled up to whole vectors with NaN, which no
// value reaches.
void count_values(const float* HWY_RESTRICT values, std::int64_t begin, std::int64_t end,
                  const std::vector<float>& edges, std::int64_t bins, bool magnitudes,
                  std::int32_t* HWY_RESTRICT counts) {
  const hn::ScalableTag<float> d;
  const std::size_t lanes = hn::Lanes(d);
  const float last = edges[static_cast<std::size_t>(bins)];
  for (std::int64_t i = begin; i < end; ++i) {
    const float value = magnitudes ? std::abs(values[i]) : values[i];
    const auto all = hn::Set(d, value);
    std::size_t reached = 0;
    for (std::size_t j = 0; j < edges.size(); j += lanes) {
      reached += hn::CountTrue(d, hn::Ge(all, hn::LoadU(d, edges.data() + j)));
    }
    auto place = static_cast<std::int64_t>(reached);
    if (value == last) place = bins;  // the last bin is closed
    if (std::isnan(value)) place = bins + 2;
    ++counts[place];
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(count_values);

// As many floats as the widest vector has.
constexpr std::int64_t kMostLanes = 64;
}  // namespace

void histogram(const float* values, std::int64_t count, const float* edges, std::int64_t bins,
               bool magnitudes, std::int32_t* counts) {
  const std::int64_t padded = (bins + kMostLanes) / kMostLanes * kMostLanes;
  std::vector<float> filled(static_cast<std::size_t>(padded),
                            std::numeric_limits<float>::quiet_NaN());
  std::copy(edges, edges + bins + 1, filled.begin());
  const std::int64_t places = bins + 3;
  const std::int64_t minimum = rows_per_range(padded / 8);
  const int ranges = range_count(count, minimum);
  std::vector<std::int32_t> partial(static_cast<std::size_t>(ranges * places), 0);
  parallel_ranges(count, minimum, [&](std::int64_t begin, std::int64_t end, int range) {
    HWY_DYNAMIC_DISPATCH(count_values)
    (values, begin, end, filled, bins, magnitudes, partial.data() + range * places);
  });
  std::fill(counts, counts + places, 0);
  for (std::size_t i = 0; i < partial.size(); ++i) {
    counts[static_cast<std::int64_t>(i) % places] += partial[i];
  }
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
