#include "kernels/cuda/batch_norm_relu_pool.h"

#include "tests/gpu_emulation/kernels/batch_norm_checks.h"
#include "tests/gpu_emulation/kernels/pool_checks.h"

namespace protolith::test {
namespace {

// relu(x * scale + shift) in double.
reference::Array affine_relu(const std::vector<float>& x, const DeviceArray<float>& scale,
                             const DeviceArray<float>& shift) {
  reference::Array t = doubles(x);
  for (std::size_t i = 0; i < t.size(); ++i) {
    const std::size_t c = i % scale.size();
    t[i] = t[i] * scale.data()[c] + shift.data()[c];
  }
  return reference::relu(t);
}

// `which` of x, y, selected and winner is unaligned (kSkews).
struct Pooled {
  Pooled(const ImageExtents& e, int which)
      : y(pooled_elements(e), skew(which, 1)),
        selected(pooled_elements(e), skew(which, 2)),
        winner(pooled_elements(e), skew(which, 3)) {}
  DeviceArray<float> y, selected;
  DeviceArray<std::uint8_t> winner;
};

Pooled pool(const DeviceArray<float>& x, const DeviceArray<float>& scale,
            const DeviceArray<float>& shift, const ImageExtents& e, int which = 0) {
  Pooled r(e, which);
  cuda::affine_relu_pool_forward(x.data(), scale.data(), shift.data(), r.y.data(), r.winner.data(),
                                 r.selected.data(), e, nullptr);
  return r;
}

TEST_CASE("fused forward on exact values: ties, zeros, negatives and NaN as defined") {
  for (const ImageExtents& e : kPoolShapes) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    const std::vector<float> values = ties_and_nans(elements(e), 71);
    const DeviceArray<float> scale(quarters(e.channels, 72), 1), shift(quarters(e.channels, 73));
    const auto active = affine_relu(values, scale, shift);
    const auto expected = reference::max_pool(active, reference_extents(e));
    const auto selected =
        reference::pool_select(doubles(values), expected.winner, reference_extents(e));
    for_each_order([&] {
      for (const int which : kSkews) {
        const DeviceArray<float> x(values, skew(which, 0));
        const Pooled actual = pool(x, scale, shift, e, which);
        CHECK(equal(actual.y.values(), expected.y));
        CHECK(equal(actual.selected.values(), selected));
        CHECK(actual.winner.values() == expected.winner);
        DeviceArray<float> inference(pooled_elements(e)), unpooled(elements(e), skew(which, 1));
        cuda::affine_relu_pool_forward(x.data(), scale.data(), shift.data(), inference.data(),
                                       nullptr, nullptr, e, nullptr);
        CHECK(equal(inference.values(), expected.y));
        cuda::affine_relu_forward(x.data(), scale.data(), shift.data(), unpooled.data(), e,
                                  nullptr);
        CHECK(equal(unpooled.values(), active));
      }
    });
  }
}

TEST_CASE("fused forward on any values: one rounding from the definition") {
  for (const ImageExtents& e : kPoolShapes) {
    const DeviceArray<float> x(normal(elements(e), 74)), scale(normal(e.channels, 75)),
        shift(normal(e.channels, 76));
    const auto active = affine_relu(x.values(), scale, shift);
    const auto expected = reference::max_pool(active, reference_extents(e));
    const Pooled actual = pool(x, scale, shift, e);
    const auto bound = [](const reference::Array& result) {
      return [&result](std::size_t i) { return kRounding * result[i]; };
    };
    check_within(actual.y.values(), expected.y, bound(expected.y));
    const auto selected =
        reference::pool_select(doubles(x.values()), actual.winner.values(), reference_extents(e));
    CHECK(equal(actual.selected.values(), selected));
    DeviceArray<float> unpooled(elements(e));
    cuda::affine_relu_forward(x.data(), scale.data(), shift.data(), unpooled.data(), e, nullptr);
    check_within(unpooled.values(), active, bound(active));
  }
}

// What both backward tests need. The scratch memory has exactly the size asked for.
struct Backward {
  Backward(const ImageExtents& e, int which)
      : x(normal(elements(e), 81, 0.5F), skew(which, 0)),
        mean(normal(e.channels, 82, 0.5F, 0.1F), 1),
        inv_std(normal(e.channels, 83, 1.0F, 0.1F)),
        gamma(normal(e.channels, 84), 1),
        shift(normal(e.channels, 85)),
        dgamma(e.channels),
        dbeta(e.channels),
        dx(elements(e), skew(which, 4)),
        in_place(x.values()) {}
  DeviceArray<float> x, mean, inv_std, gamma, shift, dgamma, dbeta, dx, in_place;

  void check_sums(const Doubles& g) const {
    check_parameter_gradients(dgamma, dbeta,
                              parameter_gradients(x.values(), g, mean.values(), inv_std.values()));
  }
  void check_data(const Doubles& g) const {
    check_data_gradients(
        dx.values(), data_gradients(x.values(), g, gamma.values(), mean.values(), inv_std.values(),
                                    dgamma.values(), dbeta.values()));
    CHECK(same(in_place.values(), dx.values()));
  }
};

DeviceArray<float> scratch(std::int64_t rows, std::int64_t channels) {
  return DeviceArray<float>(
      static_cast<std::int64_t>(cuda::batch_norm_scratch_bytes(rows, channels) / 4));
}

void check_backward_without_pool(const ImageExtents& e, int which) {
  Backward b(e, which);
  const std::int64_t rows = reference_extents(e).rows();
  const DeviceArray<float> dy(normal(elements(e), 86), skew(which, 5));
  DeviceArray<float> y(elements(e), skew(which, 1)), memory = scratch(rows, e.channels);
  cuda::affine_relu_forward(b.x.data(), b.gamma.data(), b.shift.data(), y.data(), e, nullptr);
  const auto g = reference::relu_backward(doubles(y.values()), doubles(dy.values()));
  cuda::relu_batch_norm_backward_reduce(b.x.data(), y.data(), dy.data(), b.mean.data(),
                                        b.inv_std.data(), b.dgamma.data(), b.dbeta.data(), e,
                                        memory.data(), nullptr);
  b.check_sums(g);
  const auto backward = [&](const DeviceArray<float>& x, DeviceArray<float>& dx,
                            std::int64_t over) {
    cuda::relu_batch_norm_backward_data(x.data(), y.data(), dy.data(), b.gamma.data(),
                                        b.mean.data(), b.inv_std.data(), b.dgamma.data(),
                                        b.dbeta.data(), dx.data(), e, over, nullptr);
  };
  backward(b.x, b.dx, 0);
  backward(b.in_place, b.in_place, rows);
  b.check_data(g);
}

void check_backward_with_pool(const ImageExtents& e, int which) {
  Backward b(e, which);
  const reference::Extents extents = reference_extents(e);
  const Pooled p = pool(b.x, b.gamma, b.shift, e, which);
  const DeviceArray<float> dy(normal(pooled_elements(e), 87), skew(which, 5));
  const auto entering = reference::relu_backward(doubles(p.y.values()), doubles(dy.values()));
  const auto g = reference::max_pool_backward(entering, p.winner.values(), extents);
  DeviceArray<float> memory = scratch(reference::pooled(extents).rows(), e.channels);
  cuda::pool_relu_batch_norm_backward_reduce(p.selected.data(), p.y.data(), dy.data(),
                                             b.mean.data(), b.inv_std.data(), b.dgamma.data(),
                                             b.dbeta.data(), e, memory.data(), nullptr);
  b.check_sums(g);
  const auto backward = [&](const DeviceArray<float>& x, DeviceArray<float>& dx,
                            std::int64_t over) {
    cuda::pool_relu_batch_norm_backward_data(
        x.data(), p.y.data(), p.winner.data(), dy.data(), b.gamma.data(), b.mean.data(),
        b.inv_std.data(), b.dgamma.data(), b.dbeta.data(), dx.data(), e, over, nullptr);
  };
  backward(b.x, b.dx, 0);
  backward(b.in_place, b.in_place, extents.rows());
  b.check_data(g);
}

TEST_CASE("fused backward without a pool and through it, odd rows and columns included") {
  for (const ImageExtents& e : kPoolShapes) {
    CAPTURE(e.height);
    CAPTURE(e.channels);
    for_each_order([&] {
      for (const int which : {0, 1, 2, 4, 8, 16, 32}) {
        if (simt::tiny_grids_only() && which > 1) break;  // races have nothing to do with it
        check_backward_without_pool(e, which);
        check_backward_with_pool(e, which);
      }
    });
  }
}

TEST_CASE("a batch in parts gives the data gradient of the whole") {
  const ImageExtents e{4, 3, 5, 8};
  ImageExtents part = e;
  part.images = 2;
  const std::int64_t rows = reference_extents(e).rows();
  Backward b(e, 0);
  const Pooled p = pool(b.x, b.gamma, b.shift, e);
  const DeviceArray<float> dy(normal(pooled_elements(e), 88)), sums(normal(e.channels, 89));
  const auto run = [&](std::int64_t image, const ImageExtents& extents, std::int64_t over,
                       DeviceArray<float>& dx) {
    const std::int64_t in = image * elements(e) / e.images;
    const std::int64_t out = image * pooled_elements(e) / e.images;
    cuda::pool_relu_batch_norm_backward_data(b.x.data() + in, p.y.data() + out,
                                             p.winner.data() + out, dy.data() + out, b.gamma.data(),
                                             b.mean.data(), b.inv_std.data(), sums.data(),
                                             sums.data(), dx.data() + in, extents, over, nullptr);
  };
  run(0, e, 0, b.dx);
  run(0, part, rows, b.in_place);
  run(2, part, rows, b.in_place);
  CHECK(same(b.in_place.values(), b.dx.values()));
}

TEST_CASE("a NaN output passes its gradient on") {
  for (const std::int64_t channels : {1, 4}) {
    const ImageExtents e{1, 2, 2, channels};
    const auto n = static_cast<std::size_t>(channels);
    std::vector<float> values(4 * n, 1.0F);
    std::fill_n(values.begin() + static_cast<std::ptrdiff_t>(n), n, kNan);
    const DeviceArray<float> x(values), one(std::vector<float>(n, 1.0F)),
        zero(std::vector<float>(n, 0.0F)), dy(std::vector<float>(n, 5.0F));
    const Pooled p = pool(x, one, zero, e);
    DeviceArray<float> dgamma(channels), dbeta(channels), memory = scratch(1, channels);
    cuda::pool_relu_batch_norm_backward_reduce(p.selected.data(), p.y.data(), dy.data(),
                                               zero.data(), one.data(), dgamma.data(), dbeta.data(),
                                               e, memory.data(), nullptr);
    for (std::size_t c = 0; c < n; ++c) {
      CHECK(std::isnan(p.y.data()[c]));
      CHECK(p.winner.data()[c] == 1);
      CHECK(dbeta.data()[c] == 5.0F);
      CHECK(std::isnan(dgamma.data()[c]));
    }
  }
}

}  // namespace
}  // namespace protolith::test
