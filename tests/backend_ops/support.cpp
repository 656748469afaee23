#include "tests/backend_ops/support.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "engine/random.h"

namespace protolith::test {

Array random_array(std::int64_t count, std::uint64_t seed, double low, double high) {
  Random random(seed, Purpose::test);
  Array values = reference::zeros(count);
  for (double& value : values) {
    value = random.uniform(static_cast<float>(low), static_cast<float>(high));
  }
  return values;
}

std::vector<std::int32_t> random_labels(std::int64_t count, std::int64_t classes,
                                        std::uint64_t seed) {
  Random random(seed, Purpose::test);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (auto& label : labels) {
    label = static_cast<std::int32_t>(random.below(static_cast<std::uint32_t>(classes)));
  }
  return labels;
}

Tensor upload(Backend& backend, const Array& values, const Shape& shape) {
  std::vector<float> floats(values.size());
  std::transform(values.begin(), values.end(), floats.begin(),
                 [](double value) { return static_cast<float>(value); });
  return backend.to_device(Tensor::of<float>(floats, shape));
}

Tensor upload(Backend& backend, const std::vector<std::int32_t>& values, const Shape& shape) {
  return backend.to_device(Tensor::of<std::int32_t>(values, shape));
}

Tensor upload(Backend& backend, const Bytes& values, const Shape& shape) {
  return backend.to_device(Tensor::of<std::uint8_t>(values, shape));
}

Array download(Backend& backend, const Tensor& tensor) {
  const Tensor host = backend.to_host(tensor);
  const auto values = host.host_span<float>();
  return {values.begin(), values.end()};
}

Bytes download_bytes(Backend& backend, const Tensor& tensor) {
  const Tensor host = backend.to_host(tensor);
  const auto values = host.host_span<std::uint8_t>();
  return {values.begin(), values.end()};
}

Shape shape_of(const reference::Extents& extents) {
  return {extents.images, extents.height, extents.width, extents.channels};
}

void check_close(const Array& got, const Array& want, double tolerance, const std::string& what) {
  CAPTURE(what);
  REQUIRE(got.size() == want.size());
  CHECK(relative_error(got, want) <= tolerance);
}

void check_within(const Array& got, const Array& want, const Array& bound,
                  const std::string& what) {
  CAPTURE(what);
  REQUIRE(got.size() == want.size());
  REQUIRE(got.size() == bound.size());
  double worst = 0.0;  // of the error's share of its bound; at most 1
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double error = std::abs(got[i] - want[i]);
    if (!(error <= bound[i])) worst = std::max(worst, std::isnan(error) ? 1e300 : error / bound[i]);
  }
  CHECK(worst == 0.0);
}

void check_same_bits(Backend& backend, const Tensor& a, const Tensor& b, const std::string& what) {
  CAPTURE(what);
  REQUIRE(a.shape() == b.shape());
  REQUIRE(a.dtype() == b.dtype());
  const Tensor host_a = backend.to_host(a);
  const Tensor host_b = backend.to_host(b);
  CHECK(std::memcmp(host_a.raw(), host_b.raw(), host_a.bytes()) == 0);
}

Array numerical_gradient(const std::function<double(const Array&)>& f, const Array& x, double h) {
  Array gradient = x;
  Array probe = x;
  for (std::size_t i = 0; i < x.size(); ++i) {
    probe[i] = x[i] + h;
    const double above = f(probe);
    probe[i] = x[i] - h;
    gradient[i] = (above - f(probe)) / (2.0 * h);
    probe[i] = x[i];
  }
  return gradient;
}

double dot(const Array& a, const Array& b) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

}  // namespace protolith::test
