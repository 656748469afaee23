#include "kernels/cpu/squared_distance.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/squared_distance.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/parallel.h"
#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {
namespace {

void norms_of_rows(const float* x, float* norms, std::int64_t begin, std::int64_t end,
                   std::int64_t features) {
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  for (std::int64_t row = begin; row < end; ++row) {
    const float* values = x + row * features;
    auto even = hn::Zero(d);
    auto odd = hn::Zero(d);
    std::int64_t k = 0;
    for (; k + 2 * lanes <= features; k += 2 * lanes) {
      const auto a = hn::LoadU(d, values + k);
      const auto b = hn::LoadU(d, values + k + lanes);
      even = hn::MulAdd(a, a, even);
      odd = hn::MulAdd(b, b, odd);
    }
    float total = hn::GetLane(hn::SumOfLanes(d, hn::Add(even, odd)));
    for (; k < features; ++k) total += values[k] * values[k];
    norms[row] = total;
  }
}

void finish_rows(const float* query_norms, const float* prototype_norms, float* distances,
                 std::int64_t begin, std::int64_t end, std::int64_t prototypes) {
  for (std::int64_t query = begin; query < end; ++query) {
    float* row = distances + query * prototypes;
    for_vectors(0, prototypes, [&](auto d, std::int64_t j) HWY_ATTR {
      const auto norms = hn::Add(hn::Set(d, query_norms[query]), hn::LoadU(d, prototype_norms + j));
      const auto distance = hn::NegMulAdd(hn::Set(d, 2.0F), hn::LoadU(d, row + j), norms);
      hn::StoreU(relu(d, distance), d, row + j);  // relu clamps and passes NaN on
    });
  }
}

// d[i, j] for kQueries x kPrototypes pairs at once, so that each row loaded is used several times.
// The order of additions within a pair does not depend on the size of the tile.
template <int kQueries, int kPrototypes>
HWY_INLINE void distance_tile(const float* q, const float* c, float* distances,
                              std::int64_t prototypes, std::int64_t features) {
  const hn::ScalableTag<float> d;
  using V = hn::Vec<decltype(d)>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V total[kQueries][kPrototypes];
  for (auto& row : total) {
    for (V& element : row) element = hn::Zero(d);
  }
  const std::int64_t whole = features / lanes * lanes;
  for (std::int64_t k = 0; k < whole; k += lanes) {
    V prototype[kPrototypes];
    for (int j = 0; j < kPrototypes; ++j) prototype[j] = hn::LoadU(d, c + j * features + k);
    for (int i = 0; i < kQueries; ++i) {
      const V query = hn::LoadU(d, q + i * features + k);
      for (int j = 0; j < kPrototypes; ++j) {
        const V difference = hn::Sub(query, prototype[j]);
        total[i][j] = hn::MulAdd(difference, difference, total[i][j]);
      }
    }
  }
  for (int i = 0; i < kQueries; ++i) {
    for (int j = 0; j < kPrototypes; ++j) {
      float sum = hn::GetLane(hn::SumOfLanes(d, total[i][j]));
      for (std::int64_t k = whole; k < features; ++k) {
        const float difference = q[i * features + k] - c[j * features + k];
        sum += difference * difference;
      }
      distances[i * prototypes + j] = sum;
    }
  }
}

template <int kQueries>
HWY_INLINE void distance_block(const float* q, const float* c, float* distances,
                               std::int64_t prototypes, std::int64_t features) {
  std::int64_t j = 0;
  for (; j + 4 <= prototypes; j += 4) {
    distance_tile<kQueries, 4>(q, c + j * features, distances + j, prototypes, features);
  }
  for (; j < prototypes; ++j) {
    distance_tile<kQueries, 1>(q, c + j * features, distances + j, prototypes, features);
  }
}

void direct_rows(const float* q, const float* c, float* distances, std::int64_t begin,
                 std::int64_t end, std::int64_t prototypes, std::int64_t features) {
  std::int64_t i = begin;
  for (; i + 2 <= end; i += 2) {
    distance_block<2>(q + i * features, c, distances + i * prototypes, prototypes, features);
  }
  for (; i < end; ++i) {
    distance_block<1>(q + i * features, c, distances + i * prototypes, prototypes, features);
  }
}

void sum_rows(const float* a, float* sums, std::int64_t begin, std::int64_t end,
              std::int64_t columns) {
  for (std::int64_t row = begin; row < end; ++row) {
    sums[row] = static_cast<float>(sum_in_double(a + row * columns, columns));
  }
}

void sum_columns(const float* a, float* sums, std::int64_t begin, std::int64_t end,
                 std::int64_t rows, std::int64_t columns) {
  const hn::ScalableTag<double> d;
  const hn::Rebind<float, decltype(d)> half;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  std::int64_t j = begin;
  for (; j + lanes <= end; j += lanes) {
    auto total = hn::Zero(d);
    for (std::int64_t i = 0; i < rows; ++i) {
      total = hn::Add(total, hn::PromoteTo(d, hn::LoadU(half, a + i * columns + j)));
    }
    hn::StoreU(hn::DemoteTo(half, total), half, sums + j);
  }
  for (; j < end; ++j) {
    double total = 0.0;
    for (std::int64_t i = 0; i < rows; ++i) total += static_cast<double>(a[i * columns + j]);
    sums[j] = static_cast<float>(total);
  }
}

void finish_gradient_rows(const float* x, const float* weights, float* out, std::int64_t begin,
                          std::int64_t end, std::int64_t features) {
  for (std::int64_t row = begin; row < end; ++row) {
    const std::int64_t offset = row * features;
    for_vectors(0, features, [&](auto d, std::int64_t k) HWY_ATTR {
      const auto difference = hn::MulSub(hn::Set(d, weights[row]), hn::LoadU(d, x + offset + k),
                                         hn::LoadU(d, out + offset + k));
      hn::StoreU(hn::Add(difference, difference), d, out + offset + k);
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
HWY_EXPORT(norms_of_rows);
HWY_EXPORT(finish_rows);
HWY_EXPORT(direct_rows);
HWY_EXPORT(sum_rows);
HWY_EXPORT(sum_columns);
HWY_EXPORT(finish_gradient_rows);
}  // namespace

void row_squared_norms(const float* x, float* norms, std::int64_t rows, std::int64_t features) {
  const auto work = [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(norms_of_rows)(x, norms, begin, end, features);
  };
  parallel_ranges(rows, rows_per_range(features), work);
}

void distance_epilogue(const float* query_norms, const float* prototype_norms, float* d,
                       std::int64_t queries, std::int64_t prototypes) {
  const auto work = [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(finish_rows)(query_norms, prototype_norms, d, begin, end, prototypes);
  };
  parallel_ranges(queries, rows_per_range(prototypes), work);
}

void squared_distance_direct(const float* q, const float* c, float* d, std::int64_t queries,
                             std::int64_t prototypes, std::int64_t features) {
  const auto work = [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(direct_rows)(q, c, d, begin, end, prototypes, features);
  };
  parallel_ranges(queries, rows_per_range(prototypes * features), work);
}

void row_sums(const float* a, float* sums, std::int64_t rows, std::int64_t columns) {
  const auto work = [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(sum_rows)(a, sums, begin, end, columns);
  };
  parallel_ranges(rows, rows_per_range(columns), work);
}

void column_sums(const float* a, float* sums, std::int64_t rows, std::int64_t columns) {
  const auto work = [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(sum_columns)(a, sums, begin, end, rows, columns);
  };
  parallel_ranges(columns, rows_per_range(rows), work);
}

void distance_backward_epilogue(const float* x, const float* weights, float* out, std::int64_t rows,
                                std::int64_t features) {
  const auto work = [&](std::int64_t begin, std::int64_t end, int) {
    HWY_DYNAMIC_DISPATCH(finish_gradient_rows)(x, weights, out, begin, end, features);
  };
  parallel_ranges(rows, rows_per_range(features), work);
}

}  // namespace protolith::cpu
#endif  // HWY_ONCE
