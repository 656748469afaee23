// The matrix products between Winograd's transforms, once per instruction set: one for each plane,
// of a block of tiles with a plane of transformed filters. The tiles' planes are held in an L2
// cache; all planes of filters and of their gradients, 1.3 MB each with 64 of 64 channels, are not,
// so that each product sends for the next one's while it computes. Register
// blocking: up to 6 rows by 4 vectors of columns with AVX-512's 32 registers (24 sums, 4 columns, 1
// broadcast), 6 by 2 with 16 registers; rows are shared out evenly, so that none is left to go
// alone. A row of 64 columns costs 2 * depth * 64 FLOPs.
#if defined(PROTOLITH_KERNELS_CPU_WINOGRAD_GEMM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PROTOLITH_KERNELS_CPU_WINOGRAD_GEMM_INL_H_
#undef PROTOLITH_KERNELS_CPU_WINOGRAD_GEMM_INL_H_
#else
#define PROTOLITH_KERNELS_CPU_WINOGRAD_GEMM_INL_H_
#endif

#include <cstdint>

#include "hwy/cache_control.h"
#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/winograd_transform-inl.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {

inline constexpr std::int64_t kLineFloats = 16;  ///< of a cache line
inline constexpr int kBlockRows = 6;
inline constexpr int kBlockVectors = kManyRegisters ? 4 : 2;

/// sums[row][column] (+)= sum over k of a[row * row_stride + k * depth_stride] * b[k][column], for
/// kRows rows and kVectors vectors of columns. b and sums have `columns` columns. Sends for a cache
/// line of `ahead` with each k.
template <int kRows, int kVectors, bool kAdd>
PROTOLITH_TILE_FUNCTION void product_block(const float* HWY_RESTRICT a, std::int64_t row_stride,
                                           std::int64_t depth_stride, std::int64_t depth,
                                           const float* HWY_RESTRICT b, std::int64_t columns,
                                           float* HWY_RESTRICT sums, const float* ahead) {
  const ChannelTag d;
  using V = hn::Vec<ChannelTag>;
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(d));
  V acc[kRows * kVectors];
  unrolled<kRows * kVectors>([&](auto i) PROTOLITH_LAMBDA {
    acc[i] =
        kAdd ? hn::LoadU(d, sums + i / kVectors * columns + i % kVectors * lanes) : hn::Zero(d);
  });
  for (std::int64_t k = 0; k < depth; ++k) {
    V row[kVectors];
    unrolled<kVectors>(
        [&](auto v) PROTOLITH_LAMBDA { row[v] = hn::LoadU(d, b + k * columns + v * lanes); });
    hwy::Prefetch(ahead + k * kLineFloats);
    const float* HWY_RESTRICT column = a + k * depth_stride;
    unrolled<kRows>([&](auto r) PROTOLITH_LAMBDA {
      const V factor = hn::Set(d, column[r * row_stride]);
      unrolled<kVectors>([&](auto v) PROTOLITH_LAMBDA {
        acc[r * kVectors + v] = hn::MulAdd(factor, row[v], acc[r * kVectors + v]);
      });
    });
  }
  unrolled<kRows * kVectors>([&](auto i) PROTOLITH_LAMBDA {
    hn::StoreU(acc[i], d, sums + i / kVectors * columns + i % kVectors * lanes);
  });
}

/// Calls f(column, vectors) over [0, columns): blocks of kBlockVectors vectors, then single ones;
/// `vectors` is an integral constant.
template <class F>
HWY_INLINE void for_column_blocks(std::int64_t columns, const F& f) {
  const auto lanes = static_cast<std::int64_t>(hn::Lanes(ChannelTag()));
  std::int64_t column = 0;
  for (; column + kBlockVectors * lanes <= columns; column += kBlockVectors * lanes) {
    f(column, std::integral_constant<int, kBlockVectors>());
  }
  for (; column < columns; column += lanes) f(column, std::integral_constant<int, 1>());
}

/// Calls f(row, count) over [0, rows): the fewest blocks of at most kBlockRows rows, as even as
/// they can be; `count` is an integral constant.
template <class F>
HWY_INLINE void for_row_blocks(std::int64_t rows, const F& f) {
  const std::int64_t blocks = (rows + kBlockRows - 1) / kBlockRows;
  for (std::int64_t block = 0; block < blocks; ++block) {
    const std::int64_t row = rows * block / blocks;
    const std::int64_t count = rows * (block + 1) / blocks - row;
    unrolled<kBlockRows>([&](auto i) PROTOLITH_LAMBDA {
      if (count == i + 1) f(row, std::integral_constant<int, i + 1>());
    });
  }
}

/// products [rows, columns] = tiles [rows, depth] * filters [depth, columns]. next_filters: those
/// of the product that comes next.
HWY_INLINE void multiply_tiles(const float* tiles, std::int64_t rows, std::int64_t depth,
                               const float* filters, const float* next_filters,
                               std::int64_t columns, float* products) {
  for_column_blocks(columns, [&](std::int64_t column, auto vectors) PROTOLITH_LAMBDA {
    for_row_blocks(rows, [&](std::int64_t row, auto count) PROTOLITH_LAMBDA {
      product_block<decltype(count)::value, decltype(vectors)::value, false>(
          tiles + row * depth, depth, 1, depth, filters + column, columns,
          products + row * columns + column, next_filters);
      next_filters += depth * kLineFloats;
    });
  });
}

/// sums [rows, columns] = (`add`: +=) left [depth, rows]^T * right [depth, columns]. next_sums:
/// those of the product that comes next.
HWY_INLINE void outer_products(const float* left, std::int64_t rows, const float* right,
                               std::int64_t columns, std::int64_t depth, bool add, float* sums,
                               const float* next_sums) {
  for_column_blocks(columns, [&](std::int64_t column, auto vectors) PROTOLITH_LAMBDA {
    for_row_blocks(rows, [&](std::int64_t row, auto count) PROTOLITH_LAMBDA {
      constexpr int kRows = decltype(count)::value;
      constexpr int kVectors = decltype(vectors)::value;
      const auto product =
          add ? product_block<kRows, kVectors, true> : product_block<kRows, kVectors, false>;
      product(left + row, 1, rows, depth, right + column, columns, sums + row * columns + column,
              next_sums);
      next_sums += depth * kLineFloats;
    });
  });
}

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
