// The 60-way golden episode by the CPU's fused blocks, against a run in double that takes every
// pool winner and ReLU mask from the f32 run: one that rounding turns moves a filter's gradient by
// 1e-3, more than all rounding together.
#include "engine/cpu/fused_block.h"
#include "engine/optimizer.h"
#include "models/conv4.h"
#include "models/protonet.h"
#include "tests/kernels/first_block_winners.h"
#include "tests/models/golden.h"
#include "tests/reference/conv_block.h"
#include "tests/reference/distance.h"
#include "tests/reference/loss.h"

namespace protolith::test {
namespace {

constexpr EpisodeLayout kLayout{60, 1, 5};
constexpr float kSlope = 0.01F;

std::vector<std::int32_t> query_labels() {
  std::vector<std::int32_t> labels;
  for (std::int64_t i = 0; i < kLayout.queries(); ++i) {
    labels.push_back(static_cast<std::int32_t>(i / kLayout.query));
  }
  return labels;
}

/// The f32 run: gradients by the whole engine, and the decisions that its blocks took.
class FusedRun {
 public:
  FusedRun(const Golden& golden, const Metric& metric)
      : backend_(make_cpu_backend(2)),
        model_(*backend_, {.last_pool = false}),
        adam_(*backend_, model_.parameters(), {}, 0) {
    model_.load_state(read_golden("parameters").tensors);
    const Tensor images = backend_->to_device(golden.images());
    take_decisions(images);
    Tensor labels = Tensor::host({kLayout.queries()}, DType::i32);
    std::ranges::copy(query_labels(), labels.host_span<std::int32_t>().begin());
    adam_.zero_gradients();
    {
      const Variable embeddings = model_.forward(Variable(images));
      const auto result =
          prototypical_loss(*backend_, embeddings, backend_->to_device(labels), kLayout, metric);
      backward(*backend_, result.loss);
      loss = to_doubles(*backend_, result.loss.value()).at(0);
    }
    backend_->end_step();
  }

  std::vector<reference::BlockParameters> blocks() const {
    std::vector<reference::BlockParameters> blocks;
    for (std::size_t i = 0; i < 12; i += 3) {
      blocks.push_back({value(i), value(i + 1), value(i + 2), double{1e-5F}, i < 9});
    }
    return blocks;
  }
  std::string name(std::size_t i) const { return model_.parameters().spec(i).name; }
  std::vector<double> gradient(std::size_t i) const {
    return to_doubles(*backend_, model_.parameters().gradient(i));
  }

  std::vector<reference::Decisions> decisions;
  double loss = 0.0;

 private:
  std::vector<double> value(std::size_t i) const {
    return to_doubles(*backend_, model_.parameters().variable(i).value());
  }
  /// Runs the blocks by themselves: the same kernels on the same numbers decide alike.
  void take_decisions(Tensor x) {
    for (std::size_t i = 0; i < 12; i += 3) {
      const auto parameter = [&](std::size_t k) {
        return model_.parameters().variable(i + k).value();
      };
      const Shape channels = parameter(1).shape();
      auto forward = backend_->conv_block_forward(x, {.weight = parameter(0),
                                                      .gamma = parameter(1),
                                                      .beta = parameter(2),
                                                      .running_mean = backend_->empty(channels),
                                                      .running_variance = backend_->empty(channels),
                                                      .epsilon = 1e-5F,
                                                      .momentum = 0.0F,
                                                      .pool = i < 9});
      decisions.push_back(decisions_of(*forward.context, forward.y));
      x = forward.y;
    }
  }
  reference::Bytes bytes(const Tensor& tensor) const {
    const Tensor host = backend_->to_host(tensor);
    const auto values = host.host_span<const std::uint8_t>();
    return {values.begin(), values.end()};
  }
  reference::Decisions decisions_of(const ConvBlockContext& context, const Tensor& y) const {
    if (const auto* first = dynamic_cast<const FirstBlockContext*>(&context)) {
      return first_block_decisions(bytes(first->winner));
    }
    const auto* block = dynamic_cast<const WinogradContext*>(&context);
    REQUIRE(block != nullptr);
    const Tensor& winner = block->normalized.winner;
    reference::Decisions taken{winner.defined() ? bytes(winner) : reference::Bytes(), {}};
    for (const double value : to_doubles(*backend_, y)) {
      taken.active.push_back(value <= 0.0 ? 0 : 1);
    }
    return taken;
  }

  std::unique_ptr<Backend> backend_;
  Conv4 model_;
  Adam adam_;
};

/// The loss in double from a chain's embeddings, and its gradient with respect to them.
struct ReferenceLoss {
  ReferenceLoss(const reference::Array& embeddings, double slope) {
    const auto features = static_cast<std::int64_t>(embeddings.size()) / kLayout.images();
    const auto first_query = embeddings.begin() + kLayout.supports() * features;
    const reference::Array supports(embeddings.begin(), first_query);
    const reference::Array queries(first_query, embeddings.end());
    const auto distances = reference::squared_distances(queries, supports, features);
    const auto loss = reference::softmax_loss(distances, query_labels(), {0.0, slope});
    const auto gradients =
        reference::squared_distances_backward(queries, supports, loss.gradient, features);
    mean = loss.mean;
    gradient = gradients.dc;
    gradient.insert(gradient.end(), gradients.dq.begin(), gradients.dq.end());
  }
  double mean = 0.0;
  reference::Array gradient;
};

TEST_CASE("golden: 60-way episode by the fused blocks, with the f32 run's decisions") {
  const Golden golden("episode_60way");
  const Tensor images = golden.images();
  const auto pixels = images.host_span<const float>();
  const reference::Array x(pixels.begin(), pixels.end());
  for (const bool lsed : {false, true}) {
    CAPTURE(lsed);
    const FusedRun run(golden, lsed ? Metric{MetricKind::lsed, 0.0F, kSlope} : Metric{});
    const auto blocks = run.blocks();
    const auto chain =
        chain_forward(x, {kLayout.images(), kGoldenSide, kGoldenSide, 1}, blocks, run.decisions);
    const ReferenceLoss loss(chain.back().y, lsed ? double{kSlope} : 1.0);
    CHECK(std::abs(run.loss - loss.mean) <= 1e-4 * loss.mean);
    const auto gradients = chain_backward(chain, blocks, loss.gradient);
    // Twice what was measured of the worst tensor, 5.0e-5 and 1.5e-5.
    const double bound = lsed ? 3e-5 : 1e-4;
    for (std::size_t i = 0; i < 12; ++i) {
      const std::string name = run.name(i);
      CAPTURE(name);
      const auto& block = gradients[i / 3];
      const auto& want = i % 3 == 0 ? block.dweight : i % 3 == 1 ? block.dgamma : block.dbeta;
      CHECK(relative_error(run.gradient(i), want) <= bound);
    }
  }
}

}  // namespace
}  // namespace protolith::test
