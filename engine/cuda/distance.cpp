// CudaBackend's matrix products, prototypes, squared distances and the fused loss.
#include <limits>

#include "engine/cuda/cuda_backend.h"
#include "engine/expect.h"
#include "kernels/cuda/histogram.h"
#include "kernels/cuda/lsed_softmax.h"
#include "kernels/cuda/segment_mean.h"
#include "kernels/cuda/squared_distance.h"

namespace protolith {
namespace {

/// c = op(a) op(b). cuBLAS is column-major: to it, a row-major matrix is its transpose, so this
/// asks for op(b)^T op(a)^T = c^T.
void gemm(cublasHandle_t blas, const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
          const Tensor& c) {
  const std::int64_t inner = a.shape()[transpose_a ? 0 : 1];
  for (const std::int64_t extent :
       {inner, a.shape()[1], b.shape()[1], c.shape()[0], c.shape()[1]}) {
    PROTOLITH_CHECK(extent <= std::numeric_limits<int>::max(), "a matrix extent of {}", extent);
  }
  const float one = 1.0F, zero = 0.0F;
  PROTOLITH_CUDA(cublasSgemm(
      blas, transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N, transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N,
      static_cast<int>(c.shape()[1]), static_cast<int>(c.shape()[0]), static_cast<int>(inner), &one,
      b.data<float>(), static_cast<int>(b.shape()[1]), a.data<float>(),
      static_cast<int>(a.shape()[1]), &zero, c.data<float>(), static_cast<int>(c.shape()[1])));
}

}  // namespace

Tensor CudaBackend::matmul(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b) {
  const ProfileRange range(profiler(), "matmul", a.shape());
  Tensor c = empty(product_shape(a, transpose_a, b, transpose_b, device()), DType::f32);
  gemm(blas_.get(), a, transpose_a, b, transpose_b, c);
  return c;
}

Tensor CudaBackend::segment_mean(const Tensor& x, std::int64_t length) {
  const ProfileRange range(profiler(), "segment_mean", x.shape());
  expect_rank(x, "segment mean x", device(), 2);
  PROTOLITH_CHECK(length >= 1 && x.shape()[0] % length == 0,
                  "{} rows do not divide into segments of {}", x.shape()[0], length);
  const std::int64_t segments = x.shape()[0] / length;
  Tensor mean = empty({segments, x.shape()[1]}, DType::f32);
  cuda::segment_mean_forward(x.data<float>(), mean.data<float>(), segments, length, x.shape()[1],
                             stream_.get());
  return mean;
}

Tensor CudaBackend::segment_mean_backward(const Tensor& dmean, std::int64_t length) {
  const ProfileRange range(profiler(), "segment_mean_backward", dmean.shape());
  expect_rank(dmean, "segment mean gradient", device(), 2);
  PROTOLITH_CHECK(length >= 1, "segments of {} rows", length);
  const Shape& s = dmean.shape();
  Tensor dx = empty({s[0] * length, s[1]}, DType::f32);
  cuda::segment_mean_backward(dmean.data<float>(), dx.data<float>(), s[0], length, s[1],
                              stream_.get());
  return dx;
}

Tensor CudaBackend::squared_distances(const Tensor& queries, const Tensor& prototypes,
                                      DistanceMethod method) {
  const ProfileRange range(profiler(), "squared_distances", queries.shape());
  expect_sides(queries, prototypes, device());
  const std::int64_t rows = queries.shape()[0];
  const std::int64_t classes = prototypes.shape()[0];
  const std::int64_t features = queries.shape()[1];
  Tensor distances = empty({rows, classes}, DType::f32);
  if (method == DistanceMethod::direct) {
    cuda::squared_distance_direct(queries.data<float>(), prototypes.data<float>(),
                                  distances.data<float>(), rows, classes, features, stream_.get());
    return distances;
  }
  const Tensor norms = empty({rows + classes}, DType::f32);
  cuda::both_squared_norms(queries.data<float>(), rows, prototypes.data<float>(), classes, features,
                           norms.data<float>(), stream_.get());
  gemm(blas_.get(), queries, false, prototypes, true, distances);
  cuda::distance_epilogue(norms.data<float>(), norms.data<float>() + rows, distances.data<float>(),
                          rows, classes, stream_.get());
  return distances;
}

DistanceGradients CudaBackend::squared_distances_backward(const Tensor& queries,
                                                          const Tensor& prototypes,
                                                          const Tensor& ddistances) {
  const ProfileRange range(profiler(), "squared_distances_backward", queries.shape());
  expect_sides(queries, prototypes, device());
  const std::int64_t rows = queries.shape()[0];
  const std::int64_t classes = prototypes.shape()[0];
  const std::int64_t features = queries.shape()[1];
  expect_shape(ddistances, "distance gradient", device(), {rows, classes});
  // dd_ij/dq_i = 2 (q_i - c_j): a product for the sums over the other side, then one pass.
  const Tensor row_sums = empty({rows}, DType::f32);
  const Tensor column_sums = empty({classes}, DType::f32);
  cuda::row_and_column_sums(ddistances.data<float>(), rows, classes, row_sums.data<float>(),
                            column_sums.data<float>(), stream_.get());
  DistanceGradients g{matmul(ddistances, false, prototypes, false),
                      matmul(ddistances, true, queries, false)};
  cuda::distance_backward_epilogues(queries.data<float>(), row_sums.data<float>(),
                                    g.dqueries.data<float>(), rows, prototypes.data<float>(),
                                    column_sums.data<float>(), g.dprototypes.data<float>(), classes,
                                    features, stream_.get());
  return g;
}

LossResult CudaBackend::leaky_softmax_loss(const Tensor& distances, const Tensor& labels,
                                           LeakyDistance metric, bool needs_gradient,
                                           LossDiagnostics* diagnostics) {
  const ProfileRange range(profiler(), "leaky_softmax_loss", distances.shape());
  expect_rank(distances, "distances", device(), 2);
  const Shape& shape = distances.shape();
  expect_shape(labels, "labels", device(), {shape[0]}, DType::i32);
  PROTOLITH_CHECK(metric.threshold >= 0.0F && metric.slope >= 0.0F,
                  "leaky distance with threshold {} and slope {}: both must be >= 0",
                  metric.threshold, metric.slope);
  LossResult result{empty({shape[0]}, DType::f32), empty({shape[0]}, DType::f32),
                    needs_gradient ? empty(shape, DType::f32) : Tensor()};
  if (diagnostics != nullptr) {
    *diagnostics = {distances, empty(shape, DType::f32), empty(shape, DType::f32)};
  }
  const auto pointer = [](const Tensor& t) { return t.defined() ? t.data<float>() : nullptr; };
  cuda::lsed_softmax(
      {.distances = distances.data<float>(),
       .labels = labels.data<std::int32_t>(),
       .rows = shape[0],
       .classes = shape[1],
       .threshold = metric.threshold,
       .slope = metric.slope,
       .gradient_scale = 1.0F / static_cast<float>(shape[0]),
       .loss = result.loss.data<float>(),
       .hit = result.hit.data<float>(),
       .gradient = pointer(result.gradient),
       .leaky = diagnostics != nullptr ? pointer(diagnostics->leaky) : nullptr,
       .leaky_gradient = diagnostics != nullptr ? pointer(diagnostics->leaky_gradient) : nullptr},
      stream_.get());
  return result;
}

Tensor CudaBackend::histogram(const Tensor& values, const Tensor& edges, bool magnitudes) {
  const ProfileRange range(profiler(), "histogram", values.shape());
  expect_tensor(values, "histogram values", device());
  expect_rank(edges, "histogram edges", device(), 1);
  expect_edges(to_host(edges).host_span<float>(), values.elements());
  const std::int64_t bins = edges.elements() - 1;
  Tensor counts = empty({bins + 3}, DType::i32);
  cuda::histogram(values.data<float>(), values.elements(), edges.data<float>(), bins, magnitudes,
                  counts.data<std::int32_t>(), stream_.get());
  return counts;
}

}  // namespace protolith
