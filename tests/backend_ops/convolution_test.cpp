// Convolutions of every backend against the double reference: all three passes, over channel
// counts, strides, paddings and kernel sizes, none a multiple of a vector's width unless by intent.
#include "tests/reference/convolution.h"

#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"

namespace protolith::test {
namespace {

Shape weight_shape(const reference::Convolution& s) {
  return {s.filters, s.kernel_height, s.kernel_width, s.x.channels};
}

/// A sum over a kernel has kernel area * input channels terms, one over outputs as many as
/// there are outputs; the data gradient's has kernel area * filters at most.
void check_convolution(Backend& backend, const reference::Convolution& s) {
  const std::string name = fmt::format("{}x{}x{}x{} -> {}, kernel {}x{}, stride {}, padding {}",
                                       s.x.images, s.x.height, s.x.width, s.x.channels, s.filters,
                                       s.kernel_height, s.kernel_width, s.stride, s.padding);
  CAPTURE(name);
  const Array x = random_array(s.x.elements(), 1);
  const Array weight = random_array(s.weight_elements(), 2);
  const Array dy = random_array(s.y().elements(), 3);
  const Tensor tx = upload(backend, x, shape_of(s.x));
  const Tensor tw = upload(backend, weight, weight_shape(s));
  const Tensor tdy = upload(backend, dy, shape_of(s.y()));
  const ConvolutionGeometry geometry{s.stride, s.padding};
  const std::int64_t area = s.kernel_height * s.kernel_width;

  const Tensor y = backend.convolution(tx, tw, geometry);
  CHECK(y.shape() == shape_of(s.y()));
  check_close(download(backend, y), reference::convolution(x, weight, s),
              sum_tolerance(area * s.x.channels), "y");
  const Tensor dx = backend.convolution_backward_data(tdy, tw, shape_of(s.x), geometry);
  CHECK(dx.shape() == shape_of(s.x));
  check_close(download(backend, dx), reference::convolution_backward_data(dy, weight, s),
              sum_tolerance(area * s.filters), "dx");
  const Tensor dw = backend.convolution_backward_weight(tx, tdy, weight_shape(s), geometry);
  CHECK(dw.shape() == weight_shape(s));
  check_close(download(backend, dw), reference::convolution_backward_weight(x, dy, s),
              sum_tolerance(s.y().rows()), "dweight");
}

TEST_CASE("convolution: 3x3, padding 1, channels") {
  for_each_backend([](Backend& backend) {
    for (const std::int64_t channels : {1, 3, 5, 64}) {
      for (const std::int64_t filters : {1, 5, 64}) {
        check_convolution(backend, {{2, 7, 5, channels}, filters});
      }
    }
  });
}

TEST_CASE("convolution: kernels, strides and paddings") {
  for_each_backend([](Backend& backend) {
    for (const std::int64_t kernel : {1, 3, 5}) {
      for (const std::int64_t stride : {1, 2}) {
        for (const std::int64_t padding : {0, 1, 2}) {
          check_convolution(backend, {{2, 9, 6, 3}, 5, kernel, kernel, stride, padding});
        }
      }
    }
  });
}

TEST_CASE("convolution: extremes of shape") {
  for_each_backend([](Backend& backend) {
    check_convolution(backend, {{1, 1, 1, 1}, 1});
    check_convolution(backend, {{1, 3, 3, 64}, 64});
    check_convolution(backend, {{3, 28, 28, 1}, 64});
    check_convolution(backend, {{1, 21, 21, 16}, 16});
    check_convolution(backend, {{17, 2, 3, 2}, 3});
    check_convolution(backend, {{1, 5, 5, 3}, 2, 5, 5, 1, 0});
    check_convolution(backend, {{2, 6, 5, 3}, 4, 3, 1, 1, 1});
  });
}

TEST_CASE("convolution: NaN reaches exactly the outputs whose kernel covers it") {
  for_each_backend([](Backend& backend) {
    const reference::Convolution s{{1, 6, 6, 2}, 3};
    Array x = random_array(s.x.elements(), 1);
    x[s.x.at(0, 2, 4, 1)] = std::nan("");
    const Array weight = random_array(s.weight_elements(), 2);
    const Tensor y = backend.convolution(upload(backend, x, shape_of(s.x)),
                                         upload(backend, weight, weight_shape(s)), {});
    check_close(download(backend, y), reference::convolution(x, weight, s), sum_tolerance(18), "y");
  });
}

}  // namespace
}  // namespace protolith::test
