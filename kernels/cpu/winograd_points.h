// The constant matrices of Winograd's minimal filtering F(m,3) (Winograd 1980, Lavin & Gray 2016):
//   y = A^T [(G g) * (B^T d)]   in one dimension: m + 2 inputs d, 3 filter taps g, m outputs y.
// It multiplies polynomials by their values at m + 2 points: rows of G evaluate the filter, columns
// of A^T the powers of the points, and rows of B^T are Lagrange's basis polynomials. Here all
// lengths m take the first m + 2 of one list of points and share G, so that filters are transformed
// once for tiles of every size. G divides by the denominators of the longest; those of a shorter
// one differ by factors that B^T takes up, all of them exact in binary.
// Beside 0 the points come in pairs of opposite sign, whose rows share sums. They are the ones that
// round least at m = 7, of multiples of 1/8 up to 4 and by the errors of all three passes; their
// order is the best for m = 4 and 5. The customary point at infinity does not better them.
#pragma once

#include <array>

namespace protolith::cpu {

inline constexpr int kMaxTileSide = 7;                  ///< outputs
inline constexpr int kMaxPatchSide = kMaxTileSide + 2;  ///< inputs, and points

inline constexpr std::array<double, kMaxPatchSide> kPoints{0.0, 1.0,  -1.0, 0.5, -0.5,
                                                           4.0, -4.0, 1.5,  -1.5};
/// Whether a point and the next one are a pair.
constexpr bool begins_pair(int point) {
  return point % 2 == 1;
}

template <int kRows_, int kColumns_>
struct ConstantMatrix {
  static constexpr int kRows = kRows_, kColumns = kColumns_;
  constexpr double& operator()(int row, int column) {
    return values[static_cast<std::size_t>(row * kColumns + column)];
  }
  constexpr double operator()(int row, int column) const {
    return values[static_cast<std::size_t>(row * kColumns + column)];
  }
  constexpr ConstantMatrix<kColumns, kRows> transposed() const {
    ConstantMatrix<kColumns, kRows> result{};
    for (int r = 0; r < kRows; ++r) {
      for (int c = 0; c < kColumns; ++c) result(c, r) = (*this)(r, c);
    }
    return result;
  }

  std::array<double, static_cast<std::size_t>(kRows* kColumns)> values{};
};

constexpr double winograd_point(int index) {
  return kPoints[static_cast<std::size_t>(index)];
}

/// Product of (p - q) over the points q of the list's places [begin, end), p left out.
constexpr double point_distances(int point, int begin, int end) {
  double product = 1.0;
  for (int q = begin; q < end; ++q) {
    if (q != point) product *= winograd_point(point) - winograd_point(q);
  }
  return product;
}

/// B^T [m + 2, m + 2]: row p holds the coefficients, lowest first, of the product of (x - q) over
/// the points q other than p.
template <int kOutputs>
constexpr auto winograd_input_matrix() {
  constexpr int kSide = kOutputs + 2;
  ConstantMatrix<kSide, kSide> matrix{};
  for (int p = 0; p < kSide; ++p) {
    matrix(p, 0) = point_distances(p, kSide, kMaxPatchSide);
    int degree = 0;
    for (int q = 0; q < kSide; ++q) {
      if (q == p) continue;
      ++degree;
      for (int c = degree; c >= 0; --c) {
        const double below = c == 0 ? 0.0 : matrix(p, c - 1);
        matrix(p, c) = below - winograd_point(q) * matrix(p, c);
      }
    }
  }
  return matrix;
}

/// A^T [m, m + 2]: the powers of the points.
template <int kOutputs>
constexpr auto winograd_output_matrix() {
  ConstantMatrix<kOutputs, kOutputs + 2> matrix{};
  for (int p = 0; p < kOutputs + 2; ++p) {
    double power = 1.0;
    for (int row = 0; row < kOutputs; ++row) {
      matrix(row, p) = power;
      power *= winograd_point(p);
    }
  }
  return matrix;
}

/// G [9, 3] of all points.
constexpr auto winograd_filter_matrix() {
  ConstantMatrix<kMaxPatchSide, 3> matrix{};
  for (int p = 0; p < kMaxPatchSide; ++p) {
    const double x = winograd_point(p);
    const double scale = point_distances(p, 0, kMaxPatchSide);
    matrix(p, 0) = 1.0 / scale;
    matrix(p, 1) = x / scale;
    matrix(p, 2) = x * x / scale;
  }
  return matrix;
}

}  // namespace protolith::cpu
