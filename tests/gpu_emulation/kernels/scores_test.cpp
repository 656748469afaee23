#include "kernels/cuda/scores.h"

#include "tests/gpu_emulation/kernels/same.h"
#include "tests/gpu_emulation/kernels/support.h"

namespace protolith::test {
namespace {

// A ring that holds -1 everywhere and a flag, after one recording.
struct Recorded {
  std::vector<float> ring;
  float failed;
};

Recorded record(float loss, const std::vector<float>& hits, std::int32_t slot,
                std::int64_t capacity, float failed = 0.0F) {
  const DeviceArray<float> mean_loss(std::vector<float>{loss}), hit(hits, 1);
  const DeviceArray<std::int32_t> place(std::vector<std::int32_t>{slot});
  DeviceArray<float> ring(std::vector<float>(static_cast<std::size_t>(2 * capacity), -1.0F), 1);
  DeviceArray<float> flag(std::vector<float>{failed});
  cuda::record_scores(mean_loss.data(), hit.data(), static_cast<std::int64_t>(hits.size()),
                      place.data(), ring.data(), capacity, flag.data(), nullptr);
  return {ring.values(), *flag.data()};
}

TEST_CASE("scores: loss and accuracy go into their slot, rounded once") {
  for (const std::int64_t rows : {1, 2, 31, 75, 255, 256, 257, 300, 5003}) {
    CAPTURE(rows);
    std::vector<float> hits;
    double sum = 0.0;
    for (std::int64_t row = 0; row < rows; ++row) {
      hits.push_back(row * row % 7 < 3 ? 1.0F : 0.0F);
      sum += static_cast<double>(hits.back());
    }
    const auto accuracy = static_cast<float>(sum / static_cast<double>(rows));
    for_each_order([&] {
      CHECK(record(1.5F, hits, 0, 3).ring ==
            std::vector<float>{1.5F, accuracy, -1.0F, -1.0F, -1.0F, -1.0F});
      const Recorded last = record(1.5F, hits, 2, 3);
      CHECK(last.ring == std::vector<float>{-1.0F, -1.0F, -1.0F, -1.0F, 1.5F, accuracy});
      CHECK(last.failed == 0.0F);
    });
  }
}

TEST_CASE("scores: a loss that is not finite is recorded and remembered") {
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float loss : {kNan, infinity, -infinity}) {
    const Recorded r = record(loss, {1.0F}, 0, 1);
    CHECK(same(r.ring, {loss, 1.0F}));
    CHECK(r.failed == 1.0F);
  }
  CHECK(record(std::numeric_limits<float>::max(), {1.0F}, 0, 1).failed == 0.0F);
  CHECK(record(0.5F, {1.0F}, 0, 1, 1.0F).failed == 1.0F);
}

TEST_CASE("scores: a slot outside the ring writes nothing and fails") {
  for (const std::int32_t slot : {-1, 2, std::numeric_limits<std::int32_t>::max(),
                                  std::numeric_limits<std::int32_t>::min()}) {
    const Recorded r = record(0.5F, {1.0F, 0.0F}, slot, 2);
    CHECK(r.ring == std::vector<float>(4, -1.0F));
    CHECK(r.failed == 1.0F);
  }
}

}  // namespace
}  // namespace protolith::test
