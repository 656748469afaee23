// A whole training step of primitives, repeated: step memory grows in the first step only, and two
// runs give the same bits.
#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"

namespace protolith::test {
namespace {

constexpr std::int64_t kWay = 5, kImages = 20, kFilters = 16;

/// A two-block encoder on 14x14 images with the prototypical loss, trained by Adam.
class Trainer {
 public:
  explicit Trainer(Backend& backend) : backend_(backend), first_(1, 2), second_(kFilters, 3) {
    first_.make(backend);
    second_.make(backend);
    images_ = upload(backend, random_array(kImages * 14 * 14, 1), {kImages, 14, 14, 1});
    labels_ =
        upload(backend, std::vector<std::int32_t>{0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0, 1, 2, 3, 4},
               {kImages - kWay});
  }

  /// One step; returns the mean loss.
  double step() {
    double loss = 0.0;
    {
      ConvBlockForward a = backend_.conv_block_forward(images_, first_.parameters);
      ConvBlockForward b = backend_.conv_block_forward(a.y, second_.parameters);
      const std::int64_t features = b.y.elements() / kImages;
      const Tensor embedding = b.y.reshaped({kImages, features});
      const Tensor dembedding = head(embedding, loss);
      auto db = backend_.conv_block_backward(std::move(b.context), dembedding.reshaped(b.y.shape()),
                                             true);
      auto da = backend_.conv_block_backward(std::move(a.context), db.dx, false);
      ++steps_;
      first_.update(backend_, da, steps_);
      second_.update(backend_, db, steps_);
    }
    backend_.end_step();
    return loss;
  }

  Tensor weight() const { return second_.parameters.weight; }

 private:
  struct Block {
    Block(std::int64_t in, std::uint64_t random_seed) : channels(in), seed(random_seed) {}

    void make(Backend& backend) {
      const Shape weight_shape{kFilters, 3, 3, channels};
      parameters.weight =
          upload(backend, random_array(weight_shape.elements(), seed, -0.3, 0.3), weight_shape);
      parameters.gamma = upload(backend, Array(kFilters, 1.0), {kFilters});
      for (Tensor* tensor :
           {&parameters.beta, &parameters.running_mean, &parameters.running_variance}) {
        *tensor = backend.persistent({kFilters});
      }
      m = backend.persistent(weight_shape);
      v = backend.persistent(weight_shape);
    }

    void update(Backend& backend, const ConvBlockGradients& gradients, std::int64_t step) const {
      backend.adam_step(parameters.weight, gradients.dweight, m, v, {}, step);
    }

    std::int64_t channels;
    std::uint64_t seed;
    ConvBlockParameters parameters;
    Tensor m, v;
  };

  /// Prototypes from the first images, the loss of the others; returns the gradient.
  Tensor head(const Tensor& embedding, double& loss) {
    const Tensor queries = embedding.rows(kWay, kImages);
    const Tensor prototypes = backend_.segment_mean(embedding.rows(0, kWay), 1);
    const Tensor d = backend_.squared_distances(queries, prototypes, DistanceMethod::gemm);
    const LossResult result = backend_.leaky_softmax_loss(d, labels_, {0.0F, 0.01F}, true);
    loss = download(backend_, backend_.mean(result.loss))[0];
    const auto back = backend_.squared_distances_backward(queries, prototypes, result.gradient);
    const Tensor gradient = backend_.empty(embedding.shape());
    backend_.copy(backend_.segment_mean_backward(back.dprototypes, 1), gradient.rows(0, kWay));
    backend_.copy(back.dqueries, gradient.rows(kWay, kImages));
    return gradient;
  }

  Backend& backend_;
  Block first_, second_;
  Tensor images_, labels_;
  std::int64_t steps_ = 0;
};

TEST_CASE("step: no tensor memory after the first, and the loss falls") {
  for_each_backend([](Backend& backend) {
    Trainer trainer(backend);
    const double first = trainer.step();
    const std::size_t bytes = backend.step_memory_bytes();
    const std::uint64_t growths = backend.step_memory_growths();
    CHECK(bytes > 0);
    double last = first;
    for (int i = 0; i < 5; ++i) last = trainer.step();
    CHECK(backend.step_memory_bytes() == bytes);
    CHECK(backend.step_memory_growths() == growths);
    CHECK(std::isfinite(last));
    CHECK(last < first);
  });
}

TEST_CASE("step: two runs are bit-identical") {
  for_each_backend([](Backend& backend) {
    Trainer a(backend), b(backend);
    for (int i = 0; i < 3; ++i) CHECK(a.step() == b.step());
    check_same_bits(backend, a.weight(), b.weight(), "weights after three steps");
  });
}

}  // namespace
}  // namespace protolith::test
