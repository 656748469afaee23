// CpuBackend's GEMM, prototypes, squared distances and the fused loss.
#include <openblas-openmp/cblas.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/cpu/cpu_backend.h"
#include "engine/expect.h"
#include "kernels/cpu/histogram.h"
#include "kernels/cpu/lsed_softmax.h"
#include "kernels/cpu/segment_mean.h"
#include "kernels/cpu/squared_distance.h"

namespace protolith {
namespace {

/// c = op(a) op(b), row-major, strict f32.
void gemm(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Tensor& c) {
  const auto inner = static_cast<blasint>(a.shape()[transpose_a ? 0 : 1]);
  cblas_sgemm(CblasRowMajor, transpose_a ? CblasTrans : CblasNoTrans,
              transpose_b ? CblasTrans : CblasNoTrans, static_cast<blasint>(c.shape()[0]),
              static_cast<blasint>(c.shape()[1]), inner, 1.0F, a.data<float>(),
              static_cast<blasint>(a.shape()[1]), b.data<float>(),
              static_cast<blasint>(b.shape()[1]), 0.0F, c.data<float>(),
              static_cast<blasint>(c.shape()[1]));
}

}  // namespace

Tensor CpuBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b) {
  Tensor c = empty(product_shape(a, transpose_a, b, transpose_b, device()), DType::f32);
  const ProfileRange range(profiler(), "matmul", c.shape(), [&] {
    return product_cost(c.shape()[0], c.shape()[1], a.shape()[transpose_a ? 0 : 1]);
  });
  gemm(a, transpose_a, b, transpose_b, c);
  return c;
}

Tensor CpuBackend::segment_mean(const Tensor& x, std::int64_t length) {
  expect_rank(x, "segment mean x", device(), 2);
  PROTOLITH_CHECK(length >= 1 && x.shape()[0] % length == 0,
                  "{} rows do not divide into segments of {}", x.shape()[0], length);
  const std::int64_t segments = x.shape()[0] / length;
  const ProfileRange range(profiler(), "segment_mean", x.shape(), [&] {
    return segment_mean_cost(x.shape(), {segments, x.shape()[1]});
  });
  Tensor mean = empty({segments, x.shape()[1]}, DType::f32);
  cpu::segment_mean_forward(x.data<float>(), mean.data<float>(), segments, length, x.shape()[1]);
  return mean;
}

Tensor CpuBackend::segment_mean_backward(const Tensor& dmean, std::int64_t length) {
  expect_rank(dmean, "segment mean gradient", device(), 2);
  PROTOLITH_CHECK(length >= 1, "segments of {} rows", length);
  const Shape& s = dmean.shape();
  Tensor dx = empty({s[0] * length, s[1]}, DType::f32);
  const ProfileRange range(profiler(), "segment_mean_backward", dx.shape(),
                           [&] { return segment_mean_cost(dx.shape(), s); });
  cpu::segment_mean_backward(dmean.data<float>(), dx.data<float>(), s[0], length, s[1]);
  return dx;
}

Tensor CpuBackend::squared_distances(const Tensor& queries, const Tensor& prototypes,
                                     DistanceMethod method) {
  expect_sides(queries, prototypes, device());
  const std::int64_t rows = queries.shape()[0];
  const std::int64_t classes = prototypes.shape()[0];
  const std::int64_t features = queries.shape()[1];
  Tensor distances = empty({rows, classes}, DType::f32);
  const ProfileRange range(profiler(), "squared_distances", queries.shape(), [&] {
    return squared_distances_cost(queries.shape(), prototypes.shape(),
                                  method == DistanceMethod::direct);
  });
  if (method == DistanceMethod::direct) {
    cpu::squared_distance_direct(queries.data<float>(), prototypes.data<float>(),
                                 distances.data<float>(), rows, classes, features);
    return distances;
  }
  const Tensor query_norms = empty({rows}, DType::f32);
  const Tensor prototype_norms = empty({classes}, DType::f32);
  cpu::row_squared_norms(queries.data<float>(), query_norms.data<float>(), rows, features);
  cpu::row_squared_norms(prototypes.data<float>(), prototype_norms.data<float>(), classes,
                         features);
  gemm(queries, false, prototypes, true, distances);
  cpu::distance_epilogue(query_norms.data<float>(), prototype_norms.data<float>(),
                         distances.data<float>(), rows, classes);
  return distances;
}

DistanceGradients CpuBackend::squared_distances_backward(const Tensor& queries,
                                                         const Tensor& prototypes,
                                                         const Tensor& ddistances) {
  expect_sides(queries, prototypes, device());
  const std::int64_t rows = queries.shape()[0];
  const std::int64_t classes = prototypes.shape()[0];
  const std::int64_t features = queries.shape()[1];
  expect_shape(ddistances, "distance gradient", device(), {rows, classes});
  const ProfileRange range(profiler(), "squared_distances_backward", queries.shape());
  // dd_ij/dq_i = 2 (q_i - c_j): a GEMM for the sums over the other side, then one pass.
  const Tensor row_sums = empty({rows}, DType::f32);
  const Tensor column_sums = empty({classes}, DType::f32);
  cpu::row_sums(ddistances.data<float>(), row_sums.data<float>(), rows, classes);
  cpu::column_sums(ddistances.data<float>(), column_sums.data<float>(), rows, classes);
  DistanceGradients g{matmul(ddistances, false, prototypes, false),
                      matmul(ddistances, true, queries, false)};
  cpu::distance_backward_epilogue(queries.data<float>(), row_sums.data<float>(),
                                  g.dqueries.data<float>(), rows, features);
  cpu::distance_backward_epilogue(prototypes.data<float>(), column_sums.data<float>(),
                                  g.dprototypes.data<float>(), classes, features);
  return g;
}

LossResult CpuBackend::leaky_softmax_loss(const Tensor& distances, const Tensor& labels,
                                          LeakyDistance metric, bool needs_gradient,
                                          LossDiagnostics* diagnostics) {
  expect_rank(distances, "distances", device(), 2);
  const std::int64_t rows = distances.shape()[0];
  const std::int64_t classes = distances.shape()[1];
  expect_shape(labels, "labels", device(), {rows}, DType::i32);
  for (const std::int32_t label : labels.host_span<std::int32_t>()) {
    PROTOLITH_CHECK(label >= 0 && label < classes, "label {} of {} classes", label, classes);
  }
  PROTOLITH_CHECK(metric.threshold >= 0.0F && metric.slope >= 0.0F,
                  "leaky distance with threshold {} and slope {}: both must be >= 0",
                  metric.threshold, metric.slope);
  const ProfileRange range(profiler(), "leaky_softmax_loss", distances.shape(), [&] {
    return leaky_softmax_loss_cost(distances.shape(), needs_gradient);
  });
  LossResult result{empty({rows}, DType::f32), empty({rows}, DType::f32), {}};
  if (needs_gradient) result.gradient = empty({rows, classes}, DType::f32);
  if (diagnostics != nullptr) {
    *diagnostics = {distances, empty({rows, classes}, DType::f32),
                    empty({rows, classes}, DType::f32)};
  }
  cpu::lsed_softmax(
      {.distances = distances.data<float>(),
       .labels = labels.data<std::int32_t>(),
       .rows = rows,
       .classes = classes,
       .threshold = metric.threshold,
       .slope = metric.slope,
       .gradient_scale = 1.0F / static_cast<float>(rows),
       .loss = result.loss.data<float>(),
       .hit = result.hit.data<float>(),
       .gradient = needs_gradient ? result.gradient.data<float>() : nullptr,
       .leaky = diagnostics ? diagnostics->leaky.data<float>() : nullptr,
       .leaky_gradient = diagnostics ? diagnostics->leaky_gradient.data<float>() : nullptr});
  return result;
}

Tensor CpuBackend::histogram(const Tensor& values, const Tensor& edges, bool magnitudes) {
  expect_tensor(values, "histogram values", device());
  expect_rank(edges, "histogram edges", device(), 1);
  expect_edges(edges.host_span<const float>(), values.elements());
  const ProfileRange range(profiler(), "histogram", values.shape(),
                           [&] { return pass_cost(0, {values.shape()}); });
  const std::int64_t bins = edges.elements() - 1;
  Tensor counts = empty({bins + 3}, DType::i32);
  cpu::histogram(values.data<float>(), values.elements(), edges.data<float>(), bins, magnitudes,
                 counts.data<std::int32_t>());
  return counts;
}

}  // namespace protolith
