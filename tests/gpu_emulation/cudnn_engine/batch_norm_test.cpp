#include "tests/reference/batch_norm.h"

#include "tests/gpu_emulation/cudnn_engine/support.h"

namespace protolith::test {
namespace {

constexpr float kEpsilon = 1e-5F, kMomentum = 0.1F;

/// One batch norm, its operands, and its results on the device.
struct Problem {
  Shape shape;
  Array x, dy, gamma, beta;
  reference::Statistics running;
  Tensor tx, tdy, tgamma, tbeta, trunning_mean, trunning_variance;
  Tensor mean, inv_std, y, dx, dgamma, dbeta;

  explicit Problem(const Shape& s)
      : shape(s),
        x(random_array(s.elements(), 1)),
        dy(random_array(s.elements(), 2)),
        gamma(random_array(s[3], 3)),
        beta(random_array(s[3], 4)),
        running{random_array(s[3], 5), random_array(s[3], 6)} {
    const Shape channels{s[3]};
    for (double& value : running.variance) value += 2.0;
    tx = upload(x, s);
    tdy = upload(dy, s);
    tgamma = upload(gamma, channels);
    tbeta = upload(beta, channels);
    trunning_mean = upload(running.mean, channels);
    trunning_variance = upload(running.variance, channels);
    for (Tensor* t : {&mean, &inv_std, &dgamma, &dbeta}) *t = on_device(channels);
    for (Tensor* t : {&y, &dx}) *t = on_device(s);
  }

  std::int64_t rows() const { return shape.elements() / shape[3]; }
  void forward(CudnnBatchNorm& norm, bool with_running = true) {
    norm.forward_training(tx, tgamma, tbeta, kEpsilon, kMomentum,
                          with_running ? trunning_mean : Tensor(),
                          with_running ? trunning_variance : Tensor(), mean, inv_std, y);
  }
};

void check(CudnnBatchNorm& norm, const Shape& shape) {
  CAPTURE(to_string(shape));
  Problem p(shape);
  const reference::Statistics batch = reference::batch_statistics(p.x, shape[3]);
  const auto epsilon = static_cast<double>(kEpsilon);
  // cuDNN's sums may be f32 over the rows; those of the stand-in are not.
  const double tolerance = sum_tolerance(p.rows());
  p.forward(norm);
  CHECK(relative_error(download(p.y),
                       reference::batch_norm(p.x, p.gamma, p.beta, batch, epsilon)) <= tolerance);
  CHECK(relative_error(download(p.mean), batch.mean) <= tolerance);
  CHECK(relative_error(download(p.inv_std),
                       reference::inverse_deviation(batch.variance, epsilon)) <= tolerance);
  const reference::Statistics next =
      reference::updated_running(p.running, batch, p.rows(), static_cast<double>(kMomentum));
  CHECK(relative_error(download(p.trunning_mean), next.mean) <= tolerance);
  CHECK(relative_error(download(p.trunning_variance), next.variance) <= tolerance);

  norm.backward(p.tx, p.tdy, p.tgamma, p.mean, p.inv_std, p.dx, p.dgamma, p.dbeta);
  const reference::BatchNormGradients want =
      reference::batch_norm_backward(p.x, p.dy, p.gamma, batch, epsilon);
  CHECK(relative_error(download(p.dx), want.dx) <= tolerance);
  CHECK(relative_error(download(p.dgamma), want.dgamma) <= tolerance);
  CHECK(relative_error(download(p.dbeta), want.dbeta) <= tolerance);
}

TEST_CASE("cuDNN batch norm: both passes and the running statistics") {
  Gpu gpu;
  CudnnBatchNorm norm = gpu.batch_norm();
  check(norm, {6, 7, 5, 64});
  check(norm, {3, 2, 3, 12});
  check(norm, {1, 1, 7, 4});
}

TEST_CASE("cuDNN batch norm leaves running statistics alone when there are none") {
  Gpu gpu;
  CudnnBatchNorm norm = gpu.batch_norm();
  Problem p({3, 4, 5, 8});
  const std::vector<float> before = download(p.trunning_variance);
  p.forward(norm, false);
  CHECK(download(p.trunning_variance) == before);
  const std::vector<float> y = download(p.y);
  p.forward(norm, true);
  CHECK(download(p.y) == y);
  CHECK(download(p.trunning_variance) != before);
}

TEST_CASE("what cuDNN has no engine for is refused by name") {
  Gpu gpu;
  CudnnBatchNorm norm = gpu.batch_norm();
  CHECK(norm.supports({3, 4, 5, 8}, true));
  CHECK_FALSE(norm.supports({3, 4, 5, 7}, true));  // channels not in fours
  Problem p({3, 4, 5, 8});
  CHECK_THROWS_AS(norm.inference(p.tx, p.tgamma, p.tbeta, p.trunning_mean, p.inv_std, p.y), Error);
  Problem row({1, 1, 1, 8});
  CHECK_THROWS_AS(row.forward(norm), Error);
  p.mean = on_device({7});
  CHECK_THROWS_AS(p.forward(norm), Error);
}

TEST_CASE("before compute capability 8.0 there is no batch norm") {
  Gpu gpu(7, 5);
  CudnnBatchNorm norm = gpu.batch_norm();
  CHECK_FALSE(norm.supports({3, 4, 5, 8}, true));
  // A training step asks for every block: cuDNN must not be asked again each time.
  const std::uint64_t made = emulated::counters().descriptors;
  CHECK_FALSE(norm.supports({3, 4, 5, 8}, true));
  CHECK(emulated::counters().descriptors == made);
}

TEST_CASE(
    "a batch norm that cuDNN fails to compile is an error, not a no, and may be tried again") {
  Gpu gpu;
  CudnnBatchNorm norm = gpu.batch_norm();
  emulated::fail_driver_call("nvrtcCompileProgram");
  CHECK_THROWS_WITH_AS(norm.supports({3, 4, 5, 8}, true),
                       doctest::Contains("CUDNN_STATUS_INTERNAL_ERROR a kernel was not compiled"),
                       Error);
  CHECK(norm.supports({3, 4, 5, 8}, true));
}

}  // namespace
}  // namespace protolith::test
