#include "kernels/cuda/lsed_softmax.h"
#include "kernels/cuda/segment_mean.h"
#include "kernels/cuda/squared_distance.h"
#include "tests/gpu_emulation/traffic/support.h"

namespace protolith::test {
namespace {

TEST_CASE("traffic of segment means") {
  for (const std::int64_t length : {1, 2, 5}) {
    for (const std::int64_t features : {1, 3, 64, 1030}) {
      CAPTURE(length);
      CAPTURE(features);
      constexpr std::int64_t kSegments = 7;
      const DeviceArray<float> x(normal(kSegments * length * features, 1));
      DeviceArray<float> mean(kSegments * features), dx(kSegments * length * features);
      check_traffic(
          cuda::segment_mean_forward_traffic(kSegments, length, features),
          [&] {
            cuda::segment_mean_forward(x.data(), mean.data(), kSegments, length, features, nullptr);
          },
          x, mean);
      check_traffic(
          cuda::segment_mean_backward_traffic(kSegments, length, features),
          [&] {
            cuda::segment_mean_backward(mean.data(), dx.data(), kSegments, length, features,
                                        nullptr);
          },
          mean, dx);
    }
  }
}

constexpr struct {
  std::int64_t queries, prototypes, features;
} kSides[] = {{1, 1, 1}, {3, 2, 5}, {16, 16, 64}, {17, 33, 68}, {10, 5, 576}, {40, 60, 7}};

TEST_CASE("traffic of squared distances") {
  for (const auto& [queries, prototypes, features] : kSides) {
    CAPTURE(queries);
    CAPTURE(prototypes);
    CAPTURE(features);
    const std::int64_t m = queries, n = prototypes, k = features;
    const DeviceArray<float> q(normal(m * k, 2)), c(normal(n * k, 3));
    DeviceArray<float> norms(m + n), d(normal(m * n, 4));
    check_traffic(
        cuda::both_squared_norms_traffic(m, n, k),
        [&] { cuda::both_squared_norms(q.data(), m, c.data(), n, k, norms.data(), nullptr); }, q, c,
        norms);
    check_traffic(
        cuda::distance_epilogue_traffic(m, n),
        [&] { cuda::distance_epilogue(norms.data(), norms.data() + m, d.data(), m, n, nullptr); },
        norms, d);
    check_traffic(
        cuda::squared_distance_direct_traffic(m, n, k),
        [&] { cuda::squared_distance_direct(q.data(), c.data(), d.data(), m, n, k, nullptr); }, q,
        c, d);
  }
}

TEST_CASE("traffic of the gradients of squared distances") {
  for (const auto& [queries, prototypes, features] : kSides) {
    CAPTURE(queries);
    CAPTURE(prototypes);
    CAPTURE(features);
    const std::int64_t m = queries, n = prototypes, k = features;
    const DeviceArray<float> q(normal(m * k, 2)), c(normal(n * k, 3)), dd(normal(m * n, 5));
    DeviceArray<float> row_sums(m), column_sums(n), dq(normal(m * k, 6)), dc(normal(n * k, 7));
    check_traffic(
        cuda::row_and_column_sums_traffic(m, n),
        [&] {
          cuda::row_and_column_sums(dd.data(), m, n, row_sums.data(), column_sums.data(), nullptr);
        },
        dd, row_sums, column_sums);
    check_traffic(
        cuda::distance_backward_epilogues_traffic(m, n, k),
        [&] {
          cuda::distance_backward_epilogues(q.data(), row_sums.data(), dq.data(), m, c.data(),
                                            column_sums.data(), dc.data(), n, k, nullptr);
        },
        q, row_sums, dq, c, column_sums, dc);
  }
}

TEST_CASE("traffic of the loss, with every choice of outputs") {
  for (const std::int64_t classes : {1, 5, 60, 1030}) {
    for (unsigned chosen = 0; chosen < 16; ++chosen) {
      CAPTURE(classes);
      CAPTURE(chosen);
      constexpr std::int64_t kRows = 9;
      const std::int64_t elements = kRows * classes;
      const DeviceArray<float> distances(normal(elements, 8, 5.0F));
      const DeviceArray<std::int32_t> labels(std::vector<std::int32_t>(kRows, 0));
      DeviceArray<float> loss(kRows), hit(kRows), gradient(elements), leaky(elements);
      DeviceArray<float> leaky_gradient(elements);
      const auto if_chosen = [&](unsigned bit, DeviceArray<float>& output) {
        return (chosen >> bit & 1U) != 0 ? output.data() : nullptr;
      };
      const cuda::LsedSoftmax arguments{.distances = distances.data(),
                                        .labels = labels.data(),
                                        .rows = kRows,
                                        .classes = classes,
                                        .threshold = 1.0F,
                                        .slope = 0.1F,
                                        .gradient_scale = 1.0F / kRows,
                                        .loss = loss.data(),
                                        .hit = if_chosen(0, hit),
                                        .gradient = if_chosen(1, gradient),
                                        .leaky = if_chosen(2, leaky),
                                        .leaky_gradient = if_chosen(3, leaky_gradient)};
      check_traffic(
          cuda::lsed_softmax_traffic(arguments), [&] { cuda::lsed_softmax(arguments, nullptr); },
          distances, labels, loss, hit, gradient, leaky, leaky_gradient);
    }
  }
}

}  // namespace
}  // namespace protolith::test
