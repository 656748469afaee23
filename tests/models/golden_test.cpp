// Whole training steps against PyTorch (tests/goldens/make_goldens.py says what the files hold and
// makes them). On the 5-way episode losses, distances and running statistics keep within 1e-4
// (relative 2-norm) of PyTorch's float64, gradients within 2e-5 and by Winograd's tiles within
// 5e-5. On the 60-way one a single pool window whose winner rounding turns moves a filter's
// gradient by 1e-4 in any f32 implementation, so there the bound is twice the error that PyTorch's
// own float32 run makes.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "engine/optimizer.h"
#include "engine/safetensors.h"
#include "models/conv4.h"
#include "models/protonet.h"
#include "tests/models/golden.h"

namespace protolith {
namespace {

using namespace test;

struct Setting {
  std::string metric;  ///< its name in the files
  Metric value;
  DistanceMethod method = DistanceMethod::gemm;
  bool composed = false;
  CpuConvolution convolution = CpuConvolution::winograd;

  bool by_winograd() const { return !composed && convolution == CpuConvolution::winograd; }
};

const Setting kSettings[] = {
    {"sed", {}, DistanceMethod::gemm, false},
    {"sed", {}, DistanceMethod::gemm, false, CpuConvolution::direct},
    {"sed", {}, DistanceMethod::direct, true},
    {"lsed", {MetricKind::lsed, 0.0F, 0.01F}, DistanceMethod::gemm, false},
    {"lsed", {MetricKind::lsed, 0.0F, 0.01F}, DistanceMethod::gemm, false, CpuConvolution::direct},
    {"lsed", {MetricKind::temperature, 0.0F, 1.0F, 100.0F}, DistanceMethod::direct, true}};

/// A model at the golden initial parameters and an episode to train on.
class Run {
 public:
  Run(const Golden& golden, EpisodeLayout layout, Setting setting)
      : backend_(make_cpu_backend(2, setting.convolution)),
        golden_(golden),
        layout_(layout),
        setting_(std::move(setting)),
        model_(*backend_, {.last_pool = false}),
        adam_(*backend_, model_.parameters(), {}, 0) {
    model_.load_state(read_golden("parameters").tensors);
    images_ = backend_->to_device(golden.images());
    Tensor labels = Tensor::host({layout.queries()}, DType::i32);
    const auto span = labels.host_span<std::int32_t>();
    for (std::size_t i = 0; i < span.size(); ++i) {
      span[i] = static_cast<std::int32_t>(static_cast<std::int64_t>(i) / layout.query);
    }
    labels_ = backend_->to_device(labels);
    for (std::size_t i = 0; i < parameters(); ++i) initial_.push_back(parameter(i));
  }

  /// Gradients of the mean loss, which is returned; distances that enter the softmax.
  double differentiate() {
    adam_.zero_gradients();
    double mean = 0.0;
    {
      LossDiagnostics diagnostics;
      const Variable embeddings = model_.forward(Variable(images_), setting_.composed);
      const auto result = prototypical_loss(*backend_, embeddings, labels_, layout_, setting_.value,
                                            setting_.method, &diagnostics);
      backward(*backend_, result.loss);
      mean = to_doubles(*backend_, result.loss.value()).at(0);
      leaky_ = to_doubles(*backend_, diagnostics.leaky);
    }
    backend_->end_step();
    return mean;
  }
  void update() { adam_.step(); }

  std::size_t parameters() const { return model_.parameters().size(); }
  std::string name(std::size_t i) const { return model_.parameters().spec(i).name; }
  std::vector<double> parameter(std::size_t i) {
    return to_doubles(*backend_, model_.parameters().variable(i).value());
  }

  /// The gradient's distance from the golden one.
  double gradient_error(std::size_t i) {
    const auto stride = golden_.scalar("stride." + setting_.metric + ".gradient");
    const auto got = to_doubles(*backend_, model_.parameters().gradient(i));
    return relative_error(
        sampled(got, model_.parameters().spec(i).shape, static_cast<std::int64_t>(stride)),
        golden_.values(setting_.metric + ".gradient." + name(i)));
  }
  /// The same of the change of a parameter by the first `step` Adam steps.
  double change_error(std::size_t i, int step) {
    std::vector<double> change = parameter(i);
    for (std::size_t k = 0; k < change.size(); ++k) change[k] -= initial_[i][k];
    const auto stride = static_cast<std::int64_t>(golden_.scalar("stride.step"));
    return relative_error(
        sampled(change, model_.parameters().spec(i).shape, stride),
        golden_.values(fmt::format("{}.step{}.{}", setting_.metric, step, name(i))));
  }

  void check_distances(double tolerance) const {
    std::vector<double> want = golden_.values("distances");
    for (double& d : want) d *= double{setting_.value.leaky().slope};
    CHECK(relative_error(leaky_, want) <= tolerance);
  }
  void check_running_statistics(double tolerance) const {
    for (const auto& [name, tensor] : model_.state()) {
      const std::string key = name;  // clang 14 captures no structured bindings
      if (!key.ends_with("running_mean") && !key.ends_with("running_var")) continue;
      CAPTURE(key);
      CHECK(relative_error(to_doubles(*backend_, tensor), golden_.values(key)) <= tolerance);
    }
  }

 private:
  std::unique_ptr<Backend> backend_;
  const Golden& golden_;
  EpisodeLayout layout_;
  Setting setting_;
  Conv4 model_;
  Adam adam_;
  Tensor images_, labels_;
  std::vector<std::vector<double>> initial_;
  std::vector<double> leaky_;
};

constexpr double kTolerance = 1e-4;

TEST_CASE("golden: 5-way episode, losses and gradients of SED and LSED") {
  const Golden golden("episode_5way");
  for (const Setting& setting : kSettings) {
    CAPTURE(setting.metric);
    CAPTURE(setting.composed);
    CAPTURE(setting.by_winograd());
    Run run(golden, {5, 1, 3}, setting);
    const double want = golden.scalar(setting.metric + ".loss");
    CHECK(std::abs(run.differentiate() - want) <= kTolerance * want);
    run.check_distances(kTolerance);
    run.check_running_statistics(kTolerance);
    for (std::size_t i = 0; i < run.parameters(); ++i) {
      const std::string name = run.name(i);
      CAPTURE(name);
      // Twice what was measured of the worst tensor, 2.3e-5 and 5.9e-6, or more.
      CHECK(run.gradient_error(i) <= (setting.by_winograd() ? 5e-5 : 2e-5));
    }
  }
}

// A step is about learning rate * sign(g) at first: an element whose gradient is lost in rounding
// moves either way, in PyTorch's float32 run and in ours; hence its error, times 4. With Winograd's
// tiles, which round more, one of the second step's pool winners may turn too, and parameters part
// then: the losses must still agree.
TEST_CASE("golden: 5-way episode, three Adam steps") {
  const Golden golden("episode_5way");
  for (const Setting& setting : kSettings) {
    CAPTURE(setting.metric);
    CAPTURE(setting.composed);
    CAPTURE(setting.by_winograd());
    Run run(golden, {5, 1, 3}, setting);
    const auto losses = golden.values(setting.metric + ".losses");
    for (int step = 1; step <= 3; ++step) {
      const double want = losses[static_cast<std::size_t>(step - 1)];
      CHECK(std::abs(run.differentiate() - want) <= kTolerance * want);
      run.update();
      if (setting.by_winograd() && step > 1) continue;
      for (std::size_t i = 0; i < run.parameters(); ++i) {
        const std::string name = run.name(i);
        CAPTURE(name);
        CAPTURE(step);
        const auto recorded = fmt::format("{}.step{}_error.{}", setting.metric, step, name);
        const double bound = std::max(4.0 * golden.scalar(recorded), kTolerance);
        CHECK(run.change_error(i, step) <= bound);
      }
    }
  }
}

/// Filters: twice PyTorch's float32 error of the worst filter tensor, for it is chance in which
/// block a pool's winner turns. Batch norm, which a turned winner leaves alone (rivals are equal
/// but for rounding, so that sums over the winners stay): twice that of the tensor itself, or 2e-5
/// where PyTorch's is smaller than the rounding of 360 images' sums explains.
double large_episode_bound(const Golden& golden, const Run& run, const Setting& setting,
                           std::size_t parameter) {
  const auto recorded = [&](std::size_t i) {
    return golden.scalar(setting.metric + ".gradient_error." + run.name(i));
  };
  if (parameter % 3 != 0) return std::max(2.0 * recorded(parameter), 2e-5);
  double worst = 0.0;
  for (std::size_t i = 0; i < run.parameters(); i += 3) worst = std::max(worst, recorded(i));
  return 2.0 * worst;
}

/// Winograd's tiles round some 20 times as much as sums of products (winograd_test.cpp), so that
/// more decisions turn: golden_decisions_test.cpp compares its gradients with a run in double that
/// takes the same ones.
TEST_CASE("golden: 60-way episode, losses and gradients of SED and LSED") {
  const Golden golden("episode_60way");
  for (const Setting& setting : kSettings) {
    CAPTURE(setting.metric);
    CAPTURE(setting.composed);
    CAPTURE(setting.by_winograd());
    Run run(golden, {60, 1, 5}, setting);
    const double want = golden.scalar(setting.metric + ".loss");
    CHECK(std::abs(run.differentiate() - want) <= kTolerance * want);
    run.check_distances(kTolerance);
    run.check_running_statistics(kTolerance);
    for (std::size_t i = 0; !setting.by_winograd() && i < run.parameters(); ++i) {
      const std::string name = run.name(i);
      CAPTURE(name);
      CHECK(run.gradient_error(i) <= large_episode_bound(golden, run, setting, i));
    }
  }
}

}  // namespace
}  // namespace protolith
