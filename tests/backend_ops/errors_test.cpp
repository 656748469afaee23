// Every primitive refuses shapes and types that do not fit with an Error, on every backend.
#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"

namespace protolith::test {
namespace {

/// Tensors of fitting and misfitting shapes and types; nothing here depends on their contents.
struct Fixture {
  explicit Fixture(Backend& b)
      : backend(b),
        image(f32({2, 6, 5, 3})),
        weight(f32({4, 3, 3, 3})),
        dy(f32({2, 6, 5, 4})),
        three(f32({3})),
        four(f32({4})),
        matrix(f32({6, 7})),
        statistics{f32({3}), f32({3}), f32({3})},
        narrow{f32({3}), f32({2}), f32({3})} {}

  Tensor f32(const Shape& shape) { return backend.persistent(shape); }
  Tensor i32(const Shape& shape) { return backend.persistent(shape, DType::i32); }
  Tensor u8(const Shape& shape) { return backend.persistent(shape, DType::u8); }

  Backend& backend;
  Tensor image, weight, dy, three, four, matrix;
  BatchStatistics statistics, narrow;
};

template <class Test>
void with_fixture(Test test) {
  for_each_backend([&](Backend& backend) {
    Fixture fixture(backend);
    test(backend, fixture);
  });
}

TEST_CASE("errors: copies and element-wise operations") {
  with_fixture([](Backend& b, Fixture& f) {
    CHECK_THROWS_AS(b.copy(f.three, f.four), Error);
    CHECK_THROWS_AS(b.copy(f.three, f.i32({3})), Error);
    CHECK_THROWS_AS(b.fill(f.i32({3}), 1.0F), Error);
    CHECK_THROWS_AS(b.fill(Tensor(), 1.0F), Error);
    CHECK_THROWS_AS(b.add(f.three, f.four), Error);
    CHECK_THROWS_AS(b.add(f.three, f.i32({3})), Error);
    CHECK_THROWS_AS(b.add(f.three, Tensor()), Error);
    CHECK_THROWS_AS(b.accumulate(f.three, f.four), Error);
    CHECK_THROWS_AS(b.accumulate(f.i32({3}), f.three), Error);
    CHECK_THROWS_AS(b.scale(f.three, f.four), Error);
    CHECK_THROWS_AS(b.scale(f.i32({3}), f.f32({1})), Error);
    CHECK_THROWS_AS(b.mean(f.u8({3})), Error);
  });
}

TEST_CASE("errors: matmul") {
  with_fixture([](Backend& b, Fixture& f) {
    CHECK_THROWS_AS(b.matmul(f.matrix, false, f.matrix, false), Error);
    CHECK_THROWS_AS(b.matmul(f.matrix, true, f.f32({7, 6}), false), Error);
    CHECK_THROWS_AS(b.matmul(f.matrix, false, f.three, false), Error);
    CHECK_THROWS_AS(b.matmul(f.matrix, false, f.i32({7, 2}), false), Error);
    CHECK_NOTHROW(b.matmul(f.matrix, true, f.matrix, false));
  });
}

TEST_CASE("errors: convolution") {
  with_fixture([](Backend& b, Fixture& f) {
    const Shape x = f.image.shape(), w = f.weight.shape();
    CHECK_NOTHROW(b.convolution(f.image, f.weight, {}));
    CHECK_THROWS_AS(b.convolution(f.image, f.f32({4, 3, 3, 2}), {}), Error);
    CHECK_THROWS_AS(b.convolution(f.image, f.four, {}), Error);
    CHECK_THROWS_AS(b.convolution(f.matrix, f.weight, {}), Error);
    CHECK_THROWS_AS(b.convolution(f.u8(x), f.weight, {}), Error);
    CHECK_THROWS_AS(b.convolution(f.image, f.weight, {0, 1}), Error);
    CHECK_THROWS_AS(b.convolution(f.image, f.weight, {1, -1}), Error);
    CHECK_THROWS_AS(b.convolution(f.f32({1, 2, 2, 3}), f.weight, {1, 0}), Error);

    CHECK_THROWS_AS(b.convolution_backward_data(f.dy, f.weight, {2, 6, 6, 3}, {}), Error);
    CHECK_THROWS_AS(b.convolution_backward_data(f.dy, f.weight, {2, 6, 5, 2}, {}), Error);
    CHECK_THROWS_AS(b.convolution_backward_data(f.dy, f.weight, {6, 5}, {}), Error);
    CHECK_THROWS_AS(b.convolution_backward_data(f.image, f.weight, x, {}), Error);
    CHECK_THROWS_AS(b.convolution_backward_data(f.dy, f.weight, x, {2, 1}), Error);
    CHECK_THROWS_AS(b.convolution_backward_data(f.u8({2, 6, 5, 4}), f.weight, x, {}), Error);

    CHECK_THROWS_AS(b.convolution_backward_weight(f.image, f.dy, {4, 3, 3, 2}, {}), Error);
    CHECK_THROWS_AS(b.convolution_backward_weight(f.image, f.dy, {3, 3, 3, 3}, {}), Error);
    CHECK_THROWS_AS(b.convolution_backward_weight(f.image, f.dy, {4, 5, 5, 3}, {}), Error);
    CHECK_THROWS_AS(b.convolution_backward_weight(f.image, f.f32({1, 6, 5, 4}), w, {}), Error);
    CHECK_THROWS_AS(b.convolution_backward_weight(f.image, f.i32({2, 6, 5, 4}), w, {}), Error);
  });
}

TEST_CASE("errors: batch norm") {
  with_fixture([](Backend& b, Fixture& f) {
    const Tensor& x = f.image;
    const Tensor &t = f.three, &bad = f.four;
    CHECK_THROWS_AS(b.batch_statistics(f.u8({2, 3}), 1e-5F), Error);
    CHECK_THROWS_AS(b.batch_statistics(Tensor(), 1e-5F), Error);
    CHECK_THROWS_AS(b.update_running_statistics(f.statistics, 10, 0.1F, bad, t), Error);
    CHECK_THROWS_AS(b.update_running_statistics(f.statistics, 10, 0.1F, t, bad), Error);
    CHECK_THROWS_AS(b.update_running_statistics(f.statistics, 0, 0.1F, t, t), Error);
    CHECK_THROWS_AS(b.batch_norm(x, bad, t, f.statistics), Error);
    CHECK_THROWS_AS(b.batch_norm(x, t, bad, f.statistics), Error);
    CHECK_THROWS_AS(b.batch_norm(f.dy, t, t, f.statistics), Error);
    CHECK_THROWS_AS(b.batch_norm(f.u8(x.shape()), t, t, f.statistics), Error);
    CHECK_THROWS_AS(b.batch_norm_inference(x, bad, t, t, t, 1e-5F), Error);
    CHECK_THROWS_AS(b.batch_norm_inference(x, t, bad, t, t, 1e-5F), Error);
    CHECK_THROWS_AS(b.batch_norm_inference(x, t, t, bad, t, 1e-5F), Error);
    CHECK_THROWS_AS(b.batch_norm_inference(x, t, t, t, bad, 1e-5F), Error);
    CHECK_THROWS_AS(b.inference_scale_shift(bad, t, t, t, 1e-5F, t, t), Error);
    CHECK_THROWS_AS(b.inference_scale_shift(t, t, t, t, 1e-5F, bad, t), Error);
    CHECK_THROWS_AS(b.inference_scale_shift(t, t, t, t, 1e-5F, t, f.i32({3})), Error);
    CHECK_THROWS_AS(b.batch_norm_backward(x, f.dy, t, f.statistics), Error);
    CHECK_THROWS_AS(b.batch_norm_backward(x, x, bad, f.statistics), Error);
    CHECK_THROWS_AS(b.batch_norm_backward(x, x, t, {bad, bad, bad}), Error);
  });
}

TEST_CASE("errors: ReLU and pool") {
  with_fixture([](Backend& b, Fixture& f) {
    CHECK_THROWS_AS(b.relu(f.i32({3})), Error);
    CHECK_THROWS_AS(b.relu_backward(f.three, f.four), Error);
    CHECK_THROWS_AS(b.relu_backward(f.three, f.u8({3})), Error);
    CHECK_THROWS_AS(b.max_pool(f.matrix), Error);
    CHECK_THROWS_AS(b.max_pool(f.f32({2, 1, 4, 3})), Error);
    CHECK_THROWS_AS(b.max_pool(f.f32({2, 4, 1, 3})), Error);
    CHECK_THROWS_AS(b.max_pool(f.u8({2, 4, 4, 3})), Error);
    const Tensor dy = f.f32({2, 3, 2, 3}), winner = f.u8({2, 3, 2, 3});
    const Shape x = f.image.shape();
    CHECK_NOTHROW(b.max_pool_backward(dy, winner, x));
    CHECK_THROWS_AS(b.max_pool_backward(dy, f.u8({2, 3, 2, 4}), x), Error);
    CHECK_THROWS_AS(b.max_pool_backward(dy, f.f32({2, 3, 2, 3}), x), Error);
    CHECK_THROWS_AS(b.max_pool_backward(dy, winner, {2, 8, 5, 3}), Error);
    CHECK_THROWS_AS(b.max_pool_backward(dy, winner, {2, 6, 5, 4}), Error);
    CHECK_THROWS_AS(b.max_pool_backward(f.i32({2, 3, 2, 3}), winner, x), Error);
  });
}

TEST_CASE("errors: fused batch norm, ReLU and pool") {
  with_fixture([](Backend& b, Fixture& f) {
    const Tensor& x = f.image;
    const Tensor &t = f.three, &bad = f.four;
    for (const bool pool : {true, false}) {
      CHECK_THROWS_AS(b.batch_norm_relu_pool(x, bad, t, f.statistics, pool), Error);
      CHECK_THROWS_AS(b.batch_norm_relu_pool(x, t, bad, f.statistics, pool), Error);
      CHECK_THROWS_AS(b.batch_norm_relu_pool(x, t, t, {bad, bad, bad}, pool), Error);
      CHECK_THROWS_AS(b.affine_relu_pool(x, bad, t, pool), Error);
      CHECK_THROWS_AS(b.affine_relu_pool(x, t, bad, pool), Error);
      CHECK_THROWS_AS(b.affine_relu_pool(f.u8(x.shape()), t, t, pool), Error);
      const auto forward = b.batch_norm_relu_pool(x, t, t, f.statistics, pool);
      CHECK_THROWS_AS(b.batch_norm_relu_pool_backward(x, forward, f.dy, t, f.statistics), Error);
      CHECK_THROWS_AS(b.batch_norm_relu_pool_backward(x, forward, forward.y, bad, f.statistics),
                      Error);
      CHECK_THROWS_AS(b.batch_norm_relu_pool_backward(f.dy, forward, forward.y, t, f.statistics),
                      Error);
    }
    CHECK_THROWS_AS(b.batch_norm_relu_pool(f.f32({2, 1, 4, 3}), t, t, f.statistics, true), Error);
    CHECK_THROWS_AS(b.affine_relu_pool(f.f32({2, 1, 4, 3}), t, t, true), Error);
  });
}

class ForeignContext : public ConvBlockContext {};
class ForeignPrepared : public PreparedConvBlock {};

TEST_CASE("errors: convolution block") {
  with_fixture([](Backend& b, Fixture& f) {
    const ConvBlockParameters good{f.weight, f.four, f.four, f.four, f.four};
    ConvBlockParameters bad = good;
    bad.gamma = f.three;
    CHECK_THROWS_AS(b.conv_block_forward(f.image, bad), Error);
    CHECK_THROWS_AS(b.prepare_conv_block(bad), Error);
    bad = good;
    bad.running_variance = f.three;
    CHECK_THROWS_AS(b.conv_block_forward(f.image, bad), Error);
    CHECK_THROWS_AS(b.conv_block_forward(f.dy, good), Error);
    CHECK_THROWS_AS(b.conv_block_forward(f.matrix, good), Error);
    auto forward = b.conv_block_forward(f.image, good);
    CHECK_THROWS_AS(b.conv_block_backward(std::move(forward.context), f.dy, true), Error);
    CHECK_THROWS_AS(b.conv_block_backward(std::make_unique<ForeignContext>(), forward.y, true),
                    Error);
    CHECK_THROWS_AS(b.conv_block_backward(nullptr, forward.y, true), Error);
    CHECK_THROWS_AS(b.conv_block_inference(f.image, ForeignPrepared()), Error);
    CHECK_THROWS_AS(b.conv_block_inference(f.dy, *b.prepare_conv_block(good)), Error);
  });
}

TEST_CASE("errors: prototypes and distances") {
  with_fixture([](Backend& b, Fixture& f) {
    CHECK_THROWS_AS(b.segment_mean(f.matrix, 4), Error);
    CHECK_THROWS_AS(b.segment_mean(f.matrix, 0), Error);
    CHECK_THROWS_AS(b.segment_mean(f.u8({6, 7}), 2), Error);
    CHECK_THROWS_AS(b.segment_mean_backward(f.matrix, 0), Error);
    CHECK_THROWS_AS(b.segment_mean_backward(f.i32({6, 7}), 2), Error);
    const Tensor wide = f.f32({2, 8}), c = f.f32({2, 7});
    for (const auto method : {DistanceMethod::direct, DistanceMethod::gemm}) {
      CHECK_THROWS_AS(b.squared_distances(f.matrix, wide, method), Error);
      CHECK_THROWS_AS(b.squared_distances(f.matrix, f.three, method), Error);
      CHECK_THROWS_AS(b.squared_distances(f.u8({6, 7}), c, method), Error);
    }
    const Tensor dd = f.f32({6, 2});
    CHECK_NOTHROW(b.squared_distances_backward(f.matrix, c, dd));
    CHECK_THROWS_AS(b.squared_distances_backward(f.matrix, wide, dd), Error);
    CHECK_THROWS_AS(b.squared_distances_backward(f.matrix, c, f.f32({2, 6})), Error);
    CHECK_THROWS_AS(b.squared_distances_backward(f.matrix, c, f.i32({6, 2})), Error);
  });
}

TEST_CASE("errors: loss") {
  with_fixture([](Backend& b, Fixture& f) {
    const Tensor labels = f.i32({6});
    CHECK_NOTHROW(b.leaky_softmax_loss(f.matrix, labels, {}, true));
    CHECK_THROWS_AS(b.leaky_softmax_loss(f.matrix, f.i32({7}), {}, true), Error);
    CHECK_THROWS_AS(b.leaky_softmax_loss(f.matrix, f.f32({6}), {}, true), Error);
    CHECK_THROWS_AS(b.leaky_softmax_loss(f.three, labels, {}, true), Error);
    CHECK_THROWS_AS(b.leaky_softmax_loss(f.u8({6, 7}), labels, {}, true), Error);
    CHECK_THROWS_AS(b.leaky_softmax_loss(f.matrix, labels, {-1.0F, 1.0F}, true), Error);
    CHECK_THROWS_AS(b.leaky_softmax_loss(f.matrix, labels, {0.0F, -1.0F}, true), Error);
  });
}

TEST_CASE("errors: scores and the gradient of rows") {
  with_fixture([](Backend& b, Fixture& f) {
    const Tensor one = f.f32({1}), slot = f.i32({1}), scores = f.f32({5, 2});
    CHECK_NOTHROW(b.record_scores(one, f.three, slot, scores, one));
    CHECK_THROWS_AS(b.record_scores(f.three, f.three, slot, scores, one), Error);
    CHECK_THROWS_AS(b.record_scores(one, f.matrix, slot, scores, one), Error);
    CHECK_THROWS_AS(b.record_scores(one, f.i32({3}), slot, scores, one), Error);
    CHECK_THROWS_AS(b.record_scores(one, f.three, one, scores, one), Error);
    CHECK_THROWS_AS(b.record_scores(one, f.three, slot, f.f32({5, 3}), one), Error);
    CHECK_THROWS_AS(b.record_scores(one, f.three, slot, scores, f.three), Error);

    const Tensor dy = f.f32({2, 7});
    CHECK_NOTHROW(b.rows_backward(dy, {6, 7}, 4));
    CHECK_THROWS_AS(b.rows_backward(dy, {6, 7}, 5), Error);
    CHECK_THROWS_AS(b.rows_backward(dy, {6, 7}, -1), Error);
    CHECK_THROWS_AS(b.rows_backward(dy, {6, 8}, 0), Error);
    CHECK_THROWS_AS(b.rows_backward(f.i32({2, 7}), {6, 7}, 0), Error);
  });
}

TEST_CASE("errors: Adam, row and episode gather") {
  with_fixture([](Backend& b, Fixture& f) {
    const Tensor &t = f.three, &bad = f.four;
    CHECK_THROWS_AS(b.adam_step(t, bad, t, t, {}, 1), Error);
    CHECK_THROWS_AS(b.adam_step(t, t, bad, t, {}, 1), Error);
    CHECK_THROWS_AS(b.adam_step(t, t, t, bad, {}, 1), Error);
    CHECK_THROWS_AS(b.adam_step(t, f.i32({3}), t, t, {}, 1), Error);
    CHECK_THROWS_AS(b.adam_step(t, t, t, t, {}, 0), Error);

    CHECK_THROWS_AS(b.histogram(t, f.f32({1}), false), Error);
    CHECK_THROWS_AS(b.histogram(t, f.i32({3}), false), Error);
    CHECK_THROWS_AS(b.histogram(t, f.matrix, false), Error);
    CHECK_THROWS_AS(b.histogram(f.i32({3}), t, false), Error);

    CHECK_THROWS_AS(b.gather_rows(f.matrix, f.f32({2})), Error);
    CHECK_THROWS_AS(b.gather_rows(f.three, f.i32({2})), Error);
    CHECK_THROWS_AS(b.gather_rows(f.u8({2, 3}), f.i32({2})), Error);

    const Tensor images = f.u8({4, 6, 6, 3}), n = f.i32({5});
    CHECK_NOTHROW(b.episode_gather(images, n, n, t, t));
    CHECK_THROWS_AS(b.episode_gather(f.f32({4, 6, 6, 3}), n, n, t, t), Error);
    CHECK_THROWS_AS(b.episode_gather(images, f.f32({5}), n, t, t), Error);
    CHECK_THROWS_AS(b.episode_gather(images, n, f.i32({4}), t, t), Error);
    CHECK_THROWS_AS(b.episode_gather(images, n, n, bad, t), Error);
    CHECK_THROWS_AS(b.episode_gather(images, n, n, t, bad), Error);
    CHECK_THROWS_AS(b.episode_gather(f.u8({4, 3}), n, n, t, t), Error);
  });
}

// A backend that would have to fetch values from its device need not check them.
TEST_CASE("errors: labels, indices and turns out of range, on the CPU") {
  with_fixture([](Backend& b, Fixture& f) {
    if (b.device().type != DeviceType::cpu) return;
    const auto five = [&](std::int32_t last) {
      return upload(b, std::vector<std::int32_t>{0, 0, 0, 0, last}, {5});
    };
    const Tensor distances = f.f32({5, 3}), table = f.f32({4, 2});
    const Tensor square = f.u8({4, 6, 6, 3}), oblong = f.u8({4, 6, 5, 3});
    const Tensor& t = f.three;
    CHECK_NOTHROW(b.leaky_softmax_loss(distances, five(2), {}, true));
    CHECK_NOTHROW(b.gather_rows(table, five(3)));
    CHECK_NOTHROW(b.episode_gather(square, five(3), five(3), t, t));
    for (const std::int32_t bad : {-1, 4}) {
      CHECK_THROWS_AS(b.leaky_softmax_loss(distances, five(bad), {}, true), Error);
      CHECK_THROWS_AS(b.gather_rows(table, five(bad)), Error);
      CHECK_THROWS_AS(b.episode_gather(square, five(bad), five(0), t, t), Error);
      CHECK_THROWS_AS(b.episode_gather(square, five(0), five(bad), t, t), Error);
    }
    CHECK_THROWS_AS(b.episode_gather(oblong, five(0), five(1), t, t), Error);
    CHECK_NOTHROW(b.episode_gather(oblong, five(0), five(2), t, t));
    const auto edges = [&](double last) { return upload(b, Array{0.0, 1.0, last}, {3}); };
    CHECK_NOTHROW(b.histogram(t, edges(2.0), false));
    for (const double bad : {1.0, 0.5, std::nan(""), HUGE_VAL}) {
      CHECK_THROWS_AS(b.histogram(t, edges(bad), false), Error);
    }
  });
}

TEST_CASE("errors: step memory that has ended, and a type read as another") {
  with_fixture([](Backend& b, Fixture& f) {
    const Tensor step = b.add(f.three, f.three);
    b.end_step();
    CHECK_THROWS_AS(b.relu(step), Error);
    CHECK_THROWS_AS(f.three.data<std::int32_t>(), Error);
  });
}

}  // namespace
}  // namespace protolith::test
