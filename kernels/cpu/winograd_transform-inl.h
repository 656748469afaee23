// Products of the constant matrices of winograd_points.h with vectors of channels, once per
// instruction set. Zeros are left out, and what the rows or columns of two points of opposite sign
// share is computed once: even and odd powers of a point apart.
// In two dimensions a transform goes along one axis and then along the other.
#if defined(PROTOLITH_KERNELS_CPU_WINOGRAD_TRANSFORM_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef PROTOLITH_KERNELS_CPU_WINOGRAD_TRANSFORM_INL_H_
#undef PROTOLITH_KERNELS_CPU_WINOGRAD_TRANSFORM_INL_H_
#else
#define PROTOLITH_KERNELS_CPU_WINOGRAD_TRANSFORM_INL_H_
#endif

#include <type_traits>

#include "hwy/highway.h"
#include "kernels/cpu/simd-inl.h"
#include "kernels/cpu/winograd_points.h"

HWY_BEFORE_NAMESPACE();
namespace protolith::cpu {
namespace HWY_NAMESPACE {

/// Vectors of channels: at most 16 lanes, so that they divide multiples of 16.
using ChannelTag = hn::CappedTag<float, 16>;
using ChannelVector = hn::Vec<ChannelTag>;

/// B^T, A^T and G for tiles of kOutputs outputs, and the adjoint of each for the passes backward.
template <int kOutputs>
struct InputTransform {
  static constexpr auto kMatrix = winograd_input_matrix<kOutputs>();
};
template <int kOutputs>
struct InputAdjoint {
  static constexpr auto kMatrix = winograd_input_matrix<kOutputs>().transposed();
};
template <int kOutputs>
struct OutputTransform {
  static constexpr auto kMatrix = winograd_output_matrix<kOutputs>();
};
template <int kOutputs>
struct OutputAdjoint {
  static constexpr auto kMatrix = winograd_output_matrix<kOutputs>().transposed();
};
struct FilterTransform {
  static constexpr auto kMatrix = winograd_filter_matrix();
};
struct FilterAdjoint {
  static constexpr auto kMatrix = winograd_filter_matrix().transposed();
};

/// Whether row `pair` + 1 is row `pair` with the signs of its odd columns turned.
template <class Matrix>
constexpr bool rows_mirrored(const Matrix& m, int pair) {
  if (pair + 1 >= Matrix::kRows) return false;
  for (int c = 0; c < Matrix::kColumns; ++c) {
    if (m(pair + 1, c) != (c % 2 == 0 ? m(pair, c) : -m(pair, c))) return false;
  }
  return true;
}

/// A matrix taken apart into sums and differences of pairs of inputs (mirrored columns), a core,
/// and sums and differences of pairs of results (mirrored rows).
template <class Transform>
struct Folded {
  static constexpr int kRows = std::remove_cvref_t<decltype(Transform::kMatrix)>::kRows;
  static constexpr int kColumns = std::remove_cvref_t<decltype(Transform::kMatrix)>::kColumns;

  static constexpr bool rows(int pair) {
    return begins_pair(pair) && rows_mirrored(Transform::kMatrix, pair);
  }
  static constexpr bool columns(int pair) {
    return begins_pair(pair) && rows_mirrored(Transform::kMatrix.transposed(), pair);
  }
  static constexpr float core(int row, int column) {
    if (row > 0 && rows(row - 1)) return column % 2 == 1 ? at(row - 1, column) : 0.0F;
    if (rows(row)) return column % 2 == 0 ? at(row, column) : 0.0F;
    if (column > 0 && columns(column - 1)) return row % 2 == 1 ? at(row, column - 1) : 0.0F;
    if (columns(column)) return row % 2 == 0 ? at(row, column) : 0.0F;
    return at(row, column);
  }
  /// The column to begin a row's sum with: one that needs no multiplication if there is any; -1:
  /// the row is zero.
  static constexpr int begin(int row) {
    int found = -1;
    for (int c = kColumns - 1; c >= 0; --c) {
      if (core(row, c) == 0.0F) continue;
      if (found < 0 || core(row, found) != 1.0F || core(row, c) == 1.0F) found = c;
    }
    return found;
  }

 private:
  static constexpr float at(int row, int column) {
    return static_cast<float>(Transform::kMatrix(row, column));
  }
};

/// sum + kFactor * x.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V add_times(D d, V sum, float factor, V x) {
  if (factor == 1.0F) return hn::Add(sum, x);
  if (factor == -1.0F) return hn::Sub(sum, x);
  return hn::MulAdd(hn::Set(d, factor), x, sum);
}

/// out = M in, for the transform's constant matrix M.
template <class Transform, class D, class V = hn::Vec<D>>
HWY_INLINE void transform(D d, const V* in, V* out) {
  using M = Folded<Transform>;
  V folded[M::kColumns];
  unrolled<M::kColumns>([&](auto c) PROTOLITH_LAMBDA { folded[c] = in[c]; });
  unrolled<M::kColumns>([&](auto c) PROTOLITH_LAMBDA {
    if constexpr (M::columns(c)) {
      folded[c] = hn::Add(in[c], in[c + 1]);
      folded[c + 1] = hn::Sub(in[c], in[c + 1]);
    }
  });
  unrolled<M::kRows>([&](auto r) PROTOLITH_LAMBDA {
    constexpr int kRow = decltype(r)::value;
    constexpr int kBegin = M::begin(kRow);
    if constexpr (kBegin < 0) {
      out[r] = hn::Zero(d);
    } else {
      constexpr float kFirst = M::core(kRow, kBegin);
      V sum = kFirst == 1.0F ? folded[kBegin] : hn::Mul(hn::Set(d, kFirst), folded[kBegin]);
      unrolled<M::kColumns>([&](auto c) PROTOLITH_LAMBDA {
        constexpr float kFactor = M::core(kRow, decltype(c)::value);
        if constexpr (c != kBegin && kFactor != 0.0F) sum = add_times(d, sum, kFactor, folded[c]);
      });
      out[r] = sum;
    }
  });
  unrolled<M::kRows>([&](auto r) PROTOLITH_LAMBDA {
    if constexpr (M::rows(r)) {
      const V even = out[r];
      const V odd = out[r + 1];
      out[r] = hn::Add(even, odd);
      out[r + 1] = hn::Sub(even, odd);
    }
  });
}

/// Calls f with a tile's outputs as an integral constant.
template <class F>
HWY_INLINE void with_outputs(int outputs, const F& f) {
  switch (outputs) {
    case 7:
      return f(std::integral_constant<int, 7>());
    case 6:
      return f(std::integral_constant<int, 6>());
    case 5:
      return f(std::integral_constant<int, 5>());
    case 4:
      return f(std::integral_constant<int, 4>());
    case 3:
      return f(std::integral_constant<int, 3>());
    case 2:
      return f(std::integral_constant<int, 2>());
    default:
      return f(std::integral_constant<int, 1>());
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace protolith::cpu
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
