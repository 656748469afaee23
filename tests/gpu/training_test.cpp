// Training on a real CUDA device, beside the CPU backend.
#include "tests/cuda/training.h"

#include <doctest/doctest.h>

#include "engine/cuda_loader.h"

namespace protolith::test {
namespace {

constexpr CudaBatchNorm kBatchNorms[] = {CudaBatchNorm::fused, CudaBatchNorm::cudnn};

TEST_CASE(
    "200 episodes, each from the CPU's state: loss and gradients agree, the update is Adam's") {
  for (const CudaBatchNorm batch_norm : kBatchNorms) {
    CAPTURE(batch_norm);
    check_parity(*load_cuda_backend({.tf32 = false, .batch_norm = batch_norm}), 200);
  }
}

TEST_CASE("recorded steps are eager steps, and every repetition, bit for bit") {
  for (const CudaBatchNorm batch_norm : kBatchNorms) {
    for (const bool tf32 : {false, true}) {
      CAPTURE(batch_norm);
      CAPTURE(tf32);
      const auto train = [&](bool graph) {
        return train_with_evaluation(
            *load_cuda_backend({.tf32 = tf32, .graph = graph, .batch_norm = batch_norm}), 50);
      };
      const auto recorded = train(true);
      CHECK(recorded == train(true));
      CHECK(recorded == train(false));
    }
  }
}

TEST_CASE("200 episodes learn, and a loss that is not finite stops the optimizer") {
  for (const bool tf32 : {false, true}) {
    CAPTURE(tf32);
    check_learning(*load_cuda_backend({.tf32 = tf32}), 200);
    check_stopping(*load_cuda_backend({.tf32 = tf32}));
    check_fresh_gradients(*load_cuda_backend({.tf32 = tf32}));
  }
}

}  // namespace
}  // namespace protolith::test
