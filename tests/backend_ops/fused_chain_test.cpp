// Chains of the CPU's fused blocks against the double reference, which takes every winner and ReLU
// mask from the f32 run: Winograd rounds more than direct sums do, so that more windows of a large
// batch turn, and one turned winner moves a filter's gradient by more than all rounding together.
#include <doctest/doctest.h>

#include "engine/cpu/fused_block.h"
#include "tests/backend_ops/support.h"
#include "tests/kernels/first_block_winners.h"
#include "tests/reference/conv_block.h"

namespace protolith::test {
namespace {

constexpr float kEpsilon = 1e-5F;

struct Chain {
  reference::Extents x;
  std::int64_t filters;
  std::vector<bool> pools;  ///< a block each
};

const Chain kChains[] = {{{6, 28, 28, 1}, 32, {true, true, true, false}},
                         {{4, 21, 21, 3}, 16, {true, true, true, true}},
                         {{2, 42, 30, 3}, 16, {true, true, false}},
                         {{3, 10, 7, 16}, 48, {true, true}}};

std::vector<reference::BlockParameters> make_blocks(const Chain& chain) {
  std::vector<reference::BlockParameters> blocks;
  std::int64_t channels = chain.x.channels;
  for (std::size_t i = 0; i < chain.pools.size(); ++i) {
    const double bound = 1.0 / std::sqrt(9.0 * static_cast<double>(channels));
    const auto seed = static_cast<std::uint64_t>(10 * i);
    blocks.push_back({random_array(chain.filters * 9 * channels, seed + 1, -bound, bound),
                      random_array(chain.filters, seed + 2, 0.0, 1.0),
                      random_array(chain.filters, seed + 3, -0.1, 0.1), double{kEpsilon},
                      static_cast<bool>(chain.pools[i])});
    channels = chain.filters;
  }
  return blocks;
}

ConvBlockParameters upload_block(Backend& backend, const reference::BlockParameters& block) {
  const auto filters = static_cast<std::int64_t>(block.gamma.size());
  const auto channels = static_cast<std::int64_t>(block.weight.size()) / (9 * filters);
  ConvBlockParameters p;
  p.weight = upload(backend, block.weight, {filters, 3, 3, channels});
  p.gamma = upload(backend, block.gamma, {filters});
  p.beta = upload(backend, block.beta, {filters});
  p.running_mean = backend.persistent({filters});
  p.running_variance = backend.persistent({filters});
  p.epsilon = kEpsilon;
  p.pool = block.pool;
  return p;
}

/// The decisions that a fused block took; fails where a block was not fused.
reference::Decisions decisions_of(Backend& backend, const ConvBlockForward& forward) {
  reference::Decisions decisions;
  for (const double y : download(backend, forward.y)) {
    decisions.active.push_back(y <= 0.0 ? 0 : 1);
  }
  if (const auto* first = dynamic_cast<FirstBlockContext*>(forward.context.get())) {
    const auto taken = first_block_decisions(download_bytes(backend, first->winner));
    CHECK(taken.active == decisions.active);
    return taken;
  }
  const auto* block = dynamic_cast<WinogradContext*>(forward.context.get());
  REQUIRE(block != nullptr);
  if (block->normalized.winner.defined()) {
    decisions.winner = download_bytes(backend, block->normalized.winner);
  }
  return decisions;
}

/// Bounds for relative 2-norms.
struct ChainTolerance {
  double outputs, gradients;
};

void check_chain(const Chain& chain, int threads, ChainTolerance tolerance) {
  CAPTURE(chain.x.height);
  CAPTURE(threads);
  const auto blocks = make_blocks(chain);
  const auto backend = make_cpu_backend(threads);
  std::vector<ConvBlockForward> forward;
  std::vector<reference::Decisions> decisions;
  Tensor x = upload(*backend, random_array(chain.x.elements(), 99), shape_of(chain.x));
  const Array images = download(*backend, x);
  for (const auto& block : blocks) {
    forward.push_back(backend->conv_block_forward(x, upload_block(*backend, block)));
    x = forward.back().y;
    decisions.push_back(decisions_of(*backend, forward.back()));
  }
  const auto want = chain_forward(images, chain.x, blocks, decisions);
  check_close(download(*backend, x), want.back().y, tolerance.outputs, "output");

  const Array dy = random_array(static_cast<std::int64_t>(want.back().y.size()), 98);
  const auto gradients = chain_backward(want, blocks, dy);
  Tensor d = upload(*backend, dy, x.shape());
  for (std::size_t i = blocks.size(); i-- > 0;) {
    CAPTURE(i);
    const auto got = backend->conv_block_backward(std::move(forward[i].context), d, i > 0);
    check_close(download(*backend, got.dgamma), gradients[i].dgamma, tolerance.gradients, "dgamma");
    check_close(download(*backend, got.dbeta), gradients[i].dbeta, tolerance.gradients, "dbeta");
    check_close(download(*backend, got.dweight), gradients[i].dweight, tolerance.gradients,
                "dweight");
    d = got.dx;
  }
}

TEST_CASE("fused blocks in a chain: outputs and gradients with the f32 run's decisions") {
  for (const Chain& chain : kChains) {
    // Sums of products as elsewhere, amplified by Winograd's transforms (winograd_test.cpp: 11 for
    // tiles of 4x4, 21 for 6x6; sum_tolerance() leaves room for the difference); normalisation and
    // the blocks before add as much again.
    const double outputs = 10.0 * sum_tolerance(9 * chain.filters);
    for (const int threads : {1, 2, 3}) {
      check_chain(chain, threads, {outputs, 2.0 * outputs + 4.0 * sum_tolerance(chain.x.rows())});
    }
  }
}

TEST_CASE("winograd and direct backends agree, and differ in the last bits") {
  const Chain& chain = kChains[0];
  const auto block = make_blocks(chain)[1];
  const Array x = random_array(4 * 14 * 14 * chain.filters, 97);
  const auto run = [&](CpuConvolution convolution) {
    const auto backend = make_cpu_backend(2, convolution);
    const auto forward = backend->conv_block_forward(
        upload(*backend, x, {4, 14, 14, chain.filters}), upload_block(*backend, block));
    return download(*backend, forward.y);
  };
  const Array winograd = run(CpuConvolution::winograd);
  const Array direct = run(CpuConvolution::direct);
  check_close(winograd, direct, 10.0 * sum_tolerance(9 * chain.filters), "y");
  CHECK(winograd != direct);
}

}  // namespace
}  // namespace protolith::test
