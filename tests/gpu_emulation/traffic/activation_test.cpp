#include "kernels/cuda/max_pool.h"
#include "kernels/cuda/relu.h"
#include "kernels/cuda/relu_pool.h"
#include "tests/gpu_emulation/traffic/support.h"

namespace protolith::test {
namespace {

TEST_CASE("traffic of ReLU") {
  for (const std::int64_t count : {1, 255, 256, 1025, 5003}) {
    for (const int skew : {0, 1}) {
      CAPTURE(count);
      CAPTURE(skew);
      const DeviceArray<float> x(normal(count, 1), skew), dy(normal(count, 2));
      DeviceArray<float> out(count, skew), in_place(normal(count, 3));
      check_traffic(
          cuda::relu_forward_traffic(count),
          [&] { cuda::relu_forward(x.data(), out.data(), count, nullptr); }, x, out);
      check_traffic(
          cuda::relu_forward_traffic(count),
          [&] { cuda::relu_forward(in_place.data(), in_place.data(), count, nullptr); }, in_place);
      check_traffic(
          cuda::relu_backward_traffic(count),
          [&] { cuda::relu_backward(x.data(), dy.data(), out.data(), count, nullptr); }, x, dy,
          out);
    }
  }
}

// Even and odd extents, channels in packs and not.
constexpr ImageExtents kImages[] = {{1, 2, 2, 1},  {2, 3, 5, 4},   {3, 7, 7, 64},
                                    {2, 12, 9, 3}, {5, 14, 14, 8}, {1, 3, 2, 260}};

struct Pool {
  explicit Pool(const ImageExtents& e)
      : elements(e.images * e.height * e.width * e.channels),
        outputs(e.images * (e.height / 2) * (e.width / 2) * e.channels),
        x(normal(elements, 4)),
        dx(elements),
        y(normal(outputs, 5)),
        dy(normal(outputs, 6)),
        winner(std::vector<std::uint8_t>(static_cast<std::size_t>(outputs), 2)) {}

  std::int64_t elements, outputs;
  DeviceArray<float> x, dx, y, dy;
  DeviceArray<std::uint8_t> winner;
};

TEST_CASE("traffic of max-pool") {
  for (const ImageExtents& e : kImages) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    Pool p(e);
    check_traffic(
        cuda::max_pool_forward_traffic(e),
        [&] { cuda::max_pool_forward(p.x.data(), p.y.data(), p.winner.data(), e, nullptr); }, p.x,
        p.y, p.winner);
    check_traffic(
        cuda::max_pool_backward_traffic(e),
        [&] { cuda::max_pool_backward(p.dy.data(), p.winner.data(), p.dx.data(), e, nullptr); },
        p.dy, p.winner, p.dx);
  }
}

TEST_CASE("traffic of ReLU and max-pool in one") {
  for (const ImageExtents& e : kImages) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    Pool p(e);
    for (const bool keep : {false, true}) {
      CAPTURE(keep);
      check_traffic(
          cuda::relu_max_pool_forward_traffic(e, keep),
          [&] {
            cuda::relu_max_pool_forward(p.x.data(), p.y.data(), keep ? p.winner.data() : nullptr, e,
                                        nullptr);
          },
          p.x, p.y, p.winner);
    }
    check_traffic(
        cuda::relu_max_pool_backward_traffic(e),
        [&] {
          cuda::relu_max_pool_backward(p.dy.data(), p.y.data(), p.winner.data(), p.dx.data(), e,
                                       nullptr);
        },
        p.dy, p.y, p.winner, p.dx);
  }
}

}  // namespace
}  // namespace protolith::test
