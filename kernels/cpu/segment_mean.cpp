#include "kernels/cpu/segment_mean.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/segment_mean.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

void mean_segments(const float* HWY_RESTRICT x, float* HWY_RESTRICT mean, std::int64_t begin,
                   std::int64_t end, std::int64_t length, std::int64_t features) {
  for (std::int64_t segment = begin; segment < end; ++segment) {
    const float* rows = x + segment * length * features;
    for_vectors(0, features, [&](auto d, std::int64_t k) HWY_ATTR {
      auto total = hn::LoadU(d, rows + k);
      for (std::int64_t row = 1; row < length; ++row) {
        total = hn::Add(total, hn::LoadU(d, rows + row * features + k));
      }
      hn::StoreU(hn::Div(total, hn::Set(d, static_cast<float>(length))), d,
                 mean + segment * features + k);
    });
  }
}

void spread_segments(const float* HWY_RESTRICT dmean, float* HWY_RESTRICT dx, std::int64_t begin,
                     std::int64_t end, std::int64_t length, std::int64_t features) {
  for (std::int64_t segment = begin; segment < end; ++segment) {
    float* rows = dx + segment * length * features;
    for_vectors(0, features, [&](auto d, std::int64_t k) HWY_ATTR {
      const auto share = hn::Div(hn::LoadU(d, dmean + segment * features + k),
                                 hn::Set(d, static_cast<float>(length)));
      for (std::int64_t row = 0; row < length; ++row)
        hn::StoreU(share, d, rows + row * features + k);
    });
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace protolith::cpu {
namespace {
HWY_EXPORT(mean_segments);
HWY_EXPORT(spread_segments);
}  // namespace

void segment_mean_forward(const float* x, float* mean, std::int64_t segments, std::int64_t length,
                          std::int64_t features) {
  const auto work = [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(mean_segments)(x, mean, begin, end, length, features);
  };
  parallel_ranges(segments, rows_per_range(length * features), work);
}

void segment_mean_backward(const float* dmean, float* dx, std::int64_t segments,
                           std::int64_t length, std::int64_t features) {
  const auto work = [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(spread_segments)(dmean, dx, begin, end, length, features);
  };
  parallel_ranges(segments, rows_per_range(length * features), work);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
