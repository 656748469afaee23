// The first block by patch statistics against the double reference: statistics, pooled outputs and
// gradients, with the reference taking the f32 kernels' decisions.
#include "kernels/cpu/first_block.h"

#include <doctest/doctest.h>

#include <limits>

#include "tests/kernels/first_block_winners.h"
#include "tests/kernels/naive.h"
#include "tests/reference/conv_block.h"

namespace protolith::test {
namespace {

using cpu::ConvolutionExtents;
using reference::Array;

const ConvolutionExtents kCases[] = {{2, 28, 28, 1, 64}, {3, 21, 21, 3, 16}, {1, 2, 2, 1, 16},
                                     {2, 10, 7, 3, 48},  {4, 3, 3, 4, 16},   {2, 5, 40, 2, 32},
                                     {2, 2, 9, 2, 16},   {2, 9, 2, 3, 16},   {1, 4, 111, 1, 16},
                                     {1, 5, 194, 3, 16}, {24, 6, 6, 3, 16}};

/// A block run forward and backward by the kernels.
struct Block {
  explicit Block(const ConvolutionExtents& extents)
      : e(extents),
        x(normal(e.pixels() * e.channels, 1)),
        weight(normal(e.filters * 9 * e.channels, 2, 0.0F, 0.3F)),
        gamma(normal(e.filters, 3, 1.0F, 0.5F)),
        beta(normal(e.filters, 4)) {
    gamma[0] = 0.0F;
    gamma[1] = 1e-30F;
    gamma[2] = -1e-6F;
  }

  void run() {
    patches = cpu::patch_statistics(x.data(), e);
    mean = variance = inv_std = scale = shift = dgamma = dbeta = floats(e.filters);
    cpu::patch_moments(patches, weight.data(), e.filters, mean.data(), variance.data());
    for (std::size_t k = 0; k < mean.size(); ++k) {
      inv_std[k] = 1.0F / std::sqrt(variance[k] + 1e-5F);
      scale[k] = gamma[k] * inv_std[k];
      shift[k] = beta[k] - mean[k] * scale[k];
    }
    y = floats(e.images * (e.height / 2) * (e.width / 2) * e.filters);
    winner.resize(y.size());
    cpu::first_block_forward(x.data(), weight.data(), scale.data(), shift.data(), y.data(),
                             winner.data(), e);
    dy = normal(static_cast<std::int64_t>(y.size()), 5);
    dweight = floats(static_cast<std::int64_t>(weight.size()));
    const cpu::FirstBlockBackward inputs{.x = x.data(),
                                         .weight = weight.data(),
                                         .dy = dy.data(),
                                         .winner = winner.data(),
                                         .gamma = gamma.data(),
                                         .mean = mean.data(),
                                         .inv_std = inv_std.data()};
    cpu::first_block_backward(inputs, patches, dweight.data(), dgamma.data(), dbeta.data(), e);
  }

  reference::BlockParameters parameters() const {
    return {doubles(weight), doubles(gamma), doubles(beta), static_cast<double>(1e-5F), true};
  }
  reference::Extents x_extents() const { return {e.images, e.height, e.width, e.channels}; }
  reference::BlockForward reference(bool own_decisions) const {
    const reference::Decisions decisions = first_block_decisions(winner);
    return block_forward(doubles(x), x_extents(), parameters(),
                         own_decisions ? nullptr : &decisions);
  }

  ConvolutionExtents e;
  Floats x, weight, gamma, beta, mean, variance, inv_std, scale, shift, y, dy;
  Floats dweight, dgamma, dbeta;
  std::vector<std::uint8_t> winner;
  cpu::PatchStatistics patches;
};

/// Sums of K products in f32 make a relative 2-norm error of at most 0.4 sqrt(K) roundings; the
/// factor of 4 is for the operations around them.
double sum_tolerance(std::int64_t products) {
  return 4.0 * 0.4 * kRounding * std::sqrt(static_cast<double>(products));
}

TEST_CASE("first block: statistics, outputs and gradients") {
  for (const ConvolutionExtents& e : kCases) {
    CAPTURE(e.height);
    CAPTURE(e.width);
    CAPTURE(e.channels);
    for_each_instruction_set([&] {
      for_each_thread_count([&](int) {
        Block block(e);
        block.run();
        const auto forward = block.reference(false);
        // Patches are summed in f32 over an image.
        const double image = sum_tolerance(e.height * e.width);
        const double outputs = sum_tolerance(9 * e.channels) + image;
        const Array& mean = forward.statistics.mean;
        check_within(block.mean, mean, [&](std::size_t k) {
          return outputs * (std::abs(mean[k]) + std::sqrt(forward.statistics.variance[k]));
        });
        CHECK(relative_error(block.variance, forward.statistics.variance) <= outputs);
        // With its own decisions the reference's outputs must be the same: they are continuous.
        CHECK(relative_error(block.y, block.reference(true).y) <= outputs);
        CHECK(relative_error(block.y, forward.y) <= outputs);

        const auto want = block_backward(forward, block.parameters(), doubles(block.dy));
        const double gradients = 2.0 * (outputs + image);
        CHECK(relative_error(block.dweight, want.dweight) <= gradients);
        CHECK(relative_error(block.dgamma, want.dgamma) <= gradients);
        CHECK(relative_error(block.dbeta, want.dbeta) <= gradients);
        for (std::size_t i = 0; i < 9 * static_cast<std::size_t>(e.channels); ++i) {
          REQUIRE(block.dweight[i] == 0.0F);  // gamma[0] is 0
        }
        Block again(e);
        again.run();
        CHECK(same(again.y, block.y));
        CHECK(same(again.dweight, block.dweight));
        CHECK(same(again.dgamma, block.dgamma));
      });
    });
  }
}

/// Element [r,s,c] of the patch around the pixel (y, x) of an image.
double patch_element(const Floats& images, const ConvolutionExtents& e, std::int64_t image,
                     std::int64_t y, std::int64_t x, std::int64_t element) {
  y += element / e.channels / 3 - 1;
  x += element / e.channels % 3 - 1;
  if (y < 0 || y >= e.height || x < 0 || x >= e.width) return 0.0;
  const std::int64_t pixel = (image * e.height + y) * e.width + x;
  return static_cast<double>(
      images[static_cast<std::size_t>(pixel * e.channels + element % e.channels)]);
}

TEST_CASE("patch statistics: every sum and product, exactly, of numbers that do not round") {
  for (const ConvolutionExtents& e : kCases) {
    CAPTURE(e.height);
    CAPTURE(e.width);
    CAPTURE(e.channels);
    const Floats x = quarters(e.pixels() * e.channels, 1);
    const std::int64_t taps = 9 * e.channels;
    Array sum(static_cast<std::size_t>(taps)), gram(static_cast<std::size_t>(taps * taps));
    for (std::int64_t pixel = 0; pixel < e.pixels(); ++pixel) {
      const std::int64_t image = pixel / (e.height * e.width);
      Array patch;
      for (std::int64_t i = 0; i < taps; ++i) {
        patch.push_back(patch_element(x, e, image, pixel / e.width % e.height, pixel % e.width, i));
      }
      for (std::size_t i = 0; i < patch.size(); ++i) {
        sum[i] += patch[i];
        for (std::size_t j = 0; j < patch.size(); ++j) {
          gram[i * patch.size() + j] += patch[i] * patch[j];
        }
      }
    }
    for_each_instruction_set([&] {
      const cpu::PatchStatistics patches = cpu::patch_statistics(x.data(), e);
      CHECK(patches.count == static_cast<double>(e.pixels()));
      CHECK(patches.sum == sum);
      CHECK(patches.gram == gram);
    });
  }
}

TEST_CASE("first block: an image leaves nothing to the next one") {
  for (const std::int64_t channels : {1, 3}) {
    const ConvolutionExtents one{1, 10, 12, channels, 16};
    ConvolutionExtents two = one;
    two.images = 2;
    const std::size_t pixels = static_cast<std::size_t>(one.pixels() * channels);
    const std::size_t outputs = 5 * 6 * 16;
    for_each_instruction_set([&] {
      Block alone(one);
      alone.run();
      Floats x(pixels, std::numeric_limits<float>::quiet_NaN());
      x.insert(x.end(), alone.x.begin(), alone.x.end());
      Floats y(2 * outputs);
      cpu::first_block_forward(x.data(), alone.weight.data(), alone.scale.data(),
                               alone.shift.data(), y.data(), nullptr, two);
      CHECK(same(Floats(y.begin() + outputs, y.end()), alone.y));
    });
  }
}

TEST_CASE("first block: equal outputs of a window: the first wins; inference keeps no winners") {
  for_each_instruction_set([] {
    Block block({1, 8, 8, 3, 16});
    std::fill(block.x.begin(), block.x.end(), 0.25F);
    block.run();
    for (std::size_t k = 0; k < 16; ++k) {
      const std::size_t inner = (1 * 4 + 1) * 16 + k;  // away from the border all patches are equal
      CHECK(block.winner[inner] == (block.y[inner] > 0.0F ? 0 : cpu::kNoWinner));
    }
    Floats y = block.y;
    std::fill(y.begin(), y.end(), -1.0F);
    cpu::first_block_forward(block.x.data(), block.weight.data(), block.scale.data(),
                             block.shift.data(), y.data(), nullptr, block.e);
    CHECK(same(y, block.y));
  });
}

TEST_CASE("first block: NaN makes the statistics NaN, and outputs only where it is seen") {
  for_each_instruction_set([] {
    Block block({1, 8, 8, 1, 16});
    block.run();
    Floats y = block.y;
    block.x[0] = kNan;
    cpu::first_block_forward(block.x.data(), block.weight.data(), block.scale.data(),
                             block.shift.data(), y.data(), nullptr, block.e);
    for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::isnan(y[i]) == (i < 16));
    block.run();
    for (std::size_t k = 0; k < 16; ++k) {
      CHECK(std::isnan(block.mean[k]));
      CHECK(std::isnan(block.variance[k]));
      CHECK(std::isnan(block.y[block.y.size() - 16 + k]));
      CHECK(std::isnan(block.dweight[k * 9]));
    }
  });
}

}  // namespace
}  // namespace protolith::test
