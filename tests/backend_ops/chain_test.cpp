// A whole conv4 with the prototypical loss, put together from primitives, against the double
// reference. The reference takes every winner and ReLU mask from the backend's f32 run: four blocks
// deep some window always comes within rounding of a tie, and one turned winner alone would move a
// filter's gradient by 1e-4 to 1e-2.
#include <doctest/doctest.h>

#include "tests/backend_ops/support.h"
#include "tests/reference/conv_block.h"
#include "tests/reference/distance.h"
#include "tests/reference/loss.h"

namespace protolith::test {
namespace {

constexpr float kEpsilon = 1e-5F;
constexpr std::int64_t kWay = 3, kImages = 9, kFilters = 24;
const reference::Extents kExtents{kImages, 20, 20, 3};
const std::vector<std::int32_t> kLabels{0, 1, 2, 0, 1, 2};

/// What the backward pass of one block needs, on the device.
struct DeviceBlock {
  Tensor x, weight, gamma, convolved;
  BatchStatistics statistics;
  BatchNormReluPoolResult result;
};

std::vector<reference::BlockParameters> make_blocks() {
  std::vector<reference::BlockParameters> blocks;
  for (std::uint64_t i = 0; i < 4; ++i) {
    const std::int64_t channels = i == 0 ? kExtents.channels : kFilters;
    const double bound = 1.0 / std::sqrt(9.0 * static_cast<double>(channels));
    blocks.push_back({random_array(kFilters * 9 * channels, 10 * i + 1, -bound, bound),
                      random_array(kFilters, 10 * i + 2, 0.05, 1.0),
                      random_array(kFilters, 10 * i + 3, -0.1, 0.1), double{kEpsilon}, i < 3});
  }
  return blocks;
}

std::vector<DeviceBlock> forward(Backend& backend, Tensor x,
                                 const std::vector<reference::BlockParameters>& blocks) {
  std::vector<DeviceBlock> results;
  for (const auto& block : blocks) {
    DeviceBlock b;
    b.x = x;
    b.weight = upload(backend, block.weight, {kFilters, 3, 3, x.shape()[3]});
    b.gamma = upload(backend, block.gamma, {kFilters});
    b.convolved = backend.convolution(x, b.weight, {});
    b.statistics = backend.batch_statistics(b.convolved, kEpsilon);
    b.result = backend.batch_norm_relu_pool(
        b.convolved, b.gamma, upload(backend, block.beta, {kFilters}), b.statistics, block.pool);
    x = b.result.y;
    results.push_back(b);
  }
  return results;
}

reference::Decisions decisions_of(Backend& backend, const DeviceBlock& block) {
  reference::Decisions decisions;
  if (block.result.winner.defined()) {
    decisions.winner = download_bytes(backend, block.result.winner);
  }
  for (const double y : download(backend, block.result.y)) {
    decisions.active.push_back(y <= 0.0 ? 0 : 1);
  }
  return decisions;
}

/// The gradient of the mean loss with respect to the embedding [kImages, features].
Array reference_head(const Array& embedding, const reference::Leaky& metric) {
  const auto features = static_cast<std::int64_t>(embedding.size()) / kImages;
  const Array support(embedding.begin(), embedding.begin() + kWay * features);
  const Array queries(embedding.begin() + kWay * features, embedding.end());
  const Array d = reference::squared_distances(queries, support, features);
  const auto loss = reference::softmax_loss(d, kLabels, metric);
  auto back = reference::squared_distances_backward(queries, support, loss.gradient, features);
  back.dc.insert(back.dc.end(), back.dq.begin(), back.dq.end());
  return back.dc;
}

Tensor device_head(Backend& backend, const Tensor& y, LeakyDistance metric) {
  const Tensor embedding = y.reshaped({kImages, y.elements() / kImages});
  const Tensor support = embedding.rows(0, kWay), queries = embedding.rows(kWay, kImages);
  const Tensor d = backend.squared_distances(queries, support, DistanceMethod::gemm);
  const Tensor labels = upload(backend, kLabels, {kImages - kWay});
  const auto loss = backend.leaky_softmax_loss(d, labels, metric, true);
  const auto back = backend.squared_distances_backward(queries, support, loss.gradient);
  const Tensor gradient = backend.empty(embedding.shape());
  backend.copy(back.dprototypes, gradient.rows(0, kWay));
  backend.copy(back.dqueries, gradient.rows(kWay, kImages));
  return gradient.reshaped(y.shape());
}

TEST_CASE("conv4: all gradients against the reference with the f32 path's decisions") {
  const auto blocks = make_blocks();
  const Array images = random_array(kExtents.elements(), 99);
  for_each_backend([&](Backend& backend) {
    const auto device = forward(backend, upload(backend, images, shape_of(kExtents)), blocks);
    std::vector<reference::Decisions> decisions;
    for (const auto& block : device) decisions.push_back(decisions_of(backend, block));
    const auto want = chain_forward(images, kExtents, blocks, decisions);
    // Each block adds the error of its sums to its input's: four blocks of 9 * 24 terms, and
    // normalisation by deviations of order 1.
    const double forward_tolerance = 4.0 * sum_tolerance(9 * kFilters);
    check_close(download(backend, device.back().result.y), want.back().y, forward_tolerance,
                "embedding");

    const LeakyDistance metric{0.0F, 0.01F};
    const auto gradients =
        chain_backward(want, blocks, reference_head(want.back().y, {0.0, double{metric.slope}}));
    Tensor dy = device_head(backend, device.back().result.y, metric);
    // Backward again as many sums, and cancellation in what batch norm subtracts.
    const double tolerance = 2.0 * forward_tolerance + 4.0 * sum_tolerance(kExtents.rows());
    for (std::size_t i = device.size(); i-- > 0;) {
      CAPTURE(i);
      const DeviceBlock& b = device[i];
      const auto norm =
          backend.batch_norm_relu_pool_backward(b.convolved, b.result, dy, b.gamma, b.statistics);
      const Tensor dweight =
          backend.convolution_backward_weight(b.x, norm.dx, b.weight.shape(), {});
      check_close(download(backend, norm.dgamma), gradients[i].dgamma, tolerance, "dgamma");
      check_close(download(backend, norm.dbeta), gradients[i].dbeta, tolerance, "dbeta");
      check_close(download(backend, dweight), gradients[i].dweight, tolerance, "dweight");
      dy = backend.convolution_backward_data(norm.dx, b.weight, b.x.shape(), {});
    }
    check_close(download(backend, dy), gradients[0].dx, tolerance, "dx");
  });
}

}  // namespace
}  // namespace protolith::test
