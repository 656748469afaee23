#include "engine/expect.h"

#include <cmath>
#include <limits>

namespace protolith {

void expect_tensor(const Tensor& tensor, std::string_view name, Device device, DType dtype) {
  PROTOLITH_CHECK(tensor.defined(), "{} is undefined", name);
  PROTOLITH_CHECK(tensor.dtype() == dtype, "{} is {}, expected {}", name, to_string(tensor.dtype()),
                  to_string(dtype));
  PROTOLITH_CHECK(tensor.device() == device, "{} is on {}, expected {}", name,
                  to_string(tensor.device()), to_string(device));
}

void expect_rank(const Tensor& tensor, std::string_view name, Device device, int rank,
                 DType dtype) {
  expect_tensor(tensor, name, device, dtype);
  PROTOLITH_CHECK(tensor.shape().rank() == rank, "{} has shape {}, expected rank {}", name,
                  to_string(tensor.shape()), rank);
}

void expect_shape(const Tensor& tensor, std::string_view name, Device device, const Shape& shape,
                  DType dtype) {
  expect_tensor(tensor, name, device, dtype);
  PROTOLITH_CHECK(tensor.shape() == shape, "{} has shape {}, expected {}", name,
                  to_string(tensor.shape()), to_string(shape));
}

void expect_channels(std::initializer_list<std::pair<const Tensor*, std::string_view>> tensors,
                     std::int64_t channels, Device device) {
  for (const auto& [tensor, name] : tensors) expect_shape(*tensor, name, device, {channels});
}

RowsChannels rows_channels(const Tensor& x, std::string_view name, Device device) {
  expect_tensor(x, name, device);
  PROTOLITH_CHECK(x.shape().rank() >= 1, "{} is a scalar", name);
  const std::int64_t channels = x.shape()[x.shape().rank() - 1];
  return {x.elements() / channels, channels};
}

Shape product_shape(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                    Device device) {
  expect_rank(a, "matmul a", device, 2);
  expect_rank(b, "matmul b", device, 2);
  PROTOLITH_CHECK(a.shape()[transpose_a ? 0 : 1] == b.shape()[transpose_b ? 1 : 0],
                  "cannot multiply {}{} by {}{}", to_string(a.shape()), transpose_a ? "^T" : "",
                  to_string(b.shape()), transpose_b ? "^T" : "");
  return {a.shape()[transpose_a ? 1 : 0], b.shape()[transpose_b ? 0 : 1]};
}

void expect_sides(const Tensor& queries, const Tensor& prototypes, Device device) {
  expect_rank(queries, "queries", device, 2);
  expect_rank(prototypes, "prototypes", device, 2);
  PROTOLITH_CHECK(queries.shape()[1] == prototypes.shape()[1],
                  "queries {} and prototypes {} differ in features", to_string(queries.shape()),
                  to_string(prototypes.shape()));
}

Shape convolution_shape(const Shape& x, const Shape& weight, std::int64_t stride,
                        std::int64_t padding) {
  PROTOLITH_CHECK(x.rank() == 4 && weight.rank() == 4 && x[3] == weight[3],
                  "cannot convolve {} (NHWC) with filters {} (KRSC)", to_string(x),
                  to_string(weight));
  PROTOLITH_CHECK(stride >= 1 && padding >= 0 && x[1] + 2 * padding >= weight[1] &&
                      x[2] + 2 * padding >= weight[2],
                  "filters {} with stride {}, padding {} do not fit images {}", to_string(weight),
                  stride, padding, to_string(x));
  return {x[0], (x[1] + 2 * padding - weight[1]) / stride + 1,
          (x[2] + 2 * padding - weight[2]) / stride + 1, weight[0]};
}

Shape pooled_shape(const Shape& x) {
  PROTOLITH_CHECK(x.rank() == 4 && x[1] >= 2 && x[2] >= 2,
                  "a 2x2 pool needs images of at least 2x2 pixels (NHWC), got {}", to_string(x));
  return {x[0], x[1] / 2, x[2] / 2, x[3]};
}

ImageExtents image_extents(const Shape& x) {
  return {x[0], x[1], x[2], x[3]};
}

void expect_edges(std::span<const float> edges, std::int64_t values) {
  PROTOLITH_CHECK(edges.size() >= 2, "a histogram of {} edges has no bin", edges.size());
  PROTOLITH_CHECK(values <= std::numeric_limits<std::int32_t>::max(),
                  "a histogram of {} values: its counts are 32-bit", values);
  for (std::size_t i = 0; i < edges.size(); ++i) {
    PROTOLITH_CHECK(std::isfinite(edges[i]) && (i == 0 || edges[i - 1] < edges[i]),
                    "histogram edge {} is {}: edges must be finite and ascending", i, edges[i]);
  }
}

}  // namespace protolith
