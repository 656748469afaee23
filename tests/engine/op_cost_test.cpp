// The formulas of op_cost.h, counted by hand.
#include "engine/op_cost.h"

#include <doctest/doctest.h>

namespace protolith::testing {

TEST_CASE("costs of operations, counted by hand") {
  // 2 images of 4x4 with 3 channels, 5 filters of 3x3: every output is a sum of 27 products.
  const OpCost convolution = convolution_cost({2, 4, 4, 3}, {5, 3, 3, 3}, {2, 4, 4, 5});
  CHECK(convolution.flops == 2.0 * (2 * 4 * 4 * 5) * 27);
  CHECK(convolution.bytes == 4.0 * (96 + 135 + 160));
  const OpCost block =
      convolution_block_cost({2, 4, 4, 3}, {5, 3, 3, 3}, {2, 4, 4, 5}, {2, 2, 2, 5});
  CHECK(block.flops == convolution.flops);
  CHECK(block.bytes == 4.0 * (96 + 135 + 40));
  CHECK(batch_statistics_cost({10, 3}).bytes == 120);
  // With a pool each of 10 outputs is 4 + 1 + 4 bytes; without, 4.
  CHECK(batch_norm_relu_pool_cost({40}, {10}).bytes == 160 + 90);
  CHECK(batch_norm_relu_pool_cost({40}, {40}).bytes == 160 + 160);
  // x is read and overwritten; y, winners and selected are read, and dy.
  CHECK(batch_norm_relu_pool_backward_cost({40}, {10}).bytes == 320 + 90 + 40);
  CHECK(batch_norm_relu_pool_backward_cost({40}, {40}).bytes == 320 + 160 + 160);
  CHECK(product_cost(2, 3, 5).flops == 60);
  CHECK(product_cost(2, 3, 5).bytes == 4 * (10 + 15 + 6));
  CHECK(squared_distances_cost({7, 4}, {3, 4}, false).flops == 2 * 21 * 4);
  CHECK(squared_distances_cost({7, 4}, {3, 4}, true).flops == 3 * 21 * 4);
  CHECK(squared_distances_cost({7, 4}, {3, 4}, true).bytes == 4 * (28 + 12 + 21));
  CHECK(leaky_softmax_loss_cost({7, 3}, true).bytes ==
        2 * leaky_softmax_loss_cost({7, 3}, false).bytes);
  CHECK(adam_cost({100}).bytes == 2800);
  CHECK(episode_gather_cost({2, 3, 3, 1}).bytes == 18 * 5);
  CHECK(segment_mean_cost({6, 4}, {2, 4}).flops == 24);
  const OpCost sum = 2 * OpCost{1, 2} + OpCost{3, 4};
  CHECK(sum.flops == 5);
  CHECK(sum.bytes == 8);
}

}  // namespace protolith::testing
