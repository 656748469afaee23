#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/module.h"
#include "engine/ops/convolution.h"

namespace protolith {

/// The scale of batch norm at the start: U[0, 1), PyTorch's default until 1.2 and the paper's,
/// or 1.
enum class BatchNormInit : std::uint8_t { uniform, ones };

/// The shape of a conv4 encoder.
struct Conv4Options {
  std::int64_t height = 28, width = 28, channels = 1;
  std::int64_t filters = 64;
  bool last_pool = true;  ///< the paper drops it on Omniglot: 576 features instead of 64
  friend bool operator==(const Conv4Options&, const Conv4Options&) = default;
};

/// Features per image of the encoder. Throws UsageError when the image is too small for the pools
/// or an extent is below 1.
std::int64_t feature_count(const Conv4Options& options);

/// The four-block encoder of Prototypical Networks: {3x3 convolution, batch norm, ReLU, 2x2
/// max-pool} four times. Convolutions have no bias: batch norm removes it exactly.
class Conv4 {
 public:
  static constexpr int kBlocks = 4;

  /// All parameters 0 until initialize() or load_state(). Throws UsageError when the image is too
  /// small for the pools.
  Conv4(Backend& backend, Conv4Options options);

  /// Convolutions U(-b, b) with b = 1 / sqrt(fan_in), beta 0, gamma as asked; running mean 0,
  /// variance 1. A function of `seed` alone.
  void initialize(std::uint64_t seed, BatchNormInit gamma);

  const Conv4Options& options() const noexcept { return options_; }
  /// Features per image, in height, width, channel order.
  std::int64_t features() const noexcept { return features_; }
  ParameterBuffer& parameters() noexcept { return parameters_; }
  const ParameterBuffer& parameters() const noexcept { return parameters_; }

  /// Training: images [N,H,W,C] -> embeddings [N, features], with batch statistics, which also
  /// update the running ones; device work only, see count_batch(). `composed` takes the unfused
  /// operations.
  Variable forward(const Variable& images, bool composed = false);
  /// One more training batch, in num_batches_tracked: forward() may be replayed by the device.
  void count_batch() noexcept { ++batches_tracked_; }
  /// Evaluation with running statistics: an image's embedding is independent of the others.
  Tensor embed(const Tensor& images);
  /// Evaluation with the statistics of `images` themselves; leaves the running ones alone.
  Tensor embed_with_batch_statistics(const Tensor& images);

  /// PyTorch's state dictionary of the reference model, on the host: `encoder.I.0.weight` (OIHW),
  /// a zero `encoder.I.0.bias`, `encoder.I.1.{weight,bias,running_mean,running_var}` and
  /// `num_batches_tracked`, so that load_state_dict(strict=True) accepts it.
  std::map<std::string, Tensor> state() const;
  /// Whether all parameters and running statistics are finite numbers.
  bool is_finite() const;
  /// The inverse. A convolution bias is folded into the running mean; `num_batches_tracked` may be
  /// absent. Throws Error naming a missing tensor, one of the wrong shape or type, or one with a
  /// value that is not finite or a variance below 0; tensors of other names are left to the caller.
  /// The model is unchanged when it throws.
  void load_state(const std::map<std::string, Tensor>& state);

 private:
  ops::ConvBlock block(int index, float momentum) const;
  Tensor flatten(const Tensor& y) const;

  Backend& backend_;
  Conv4Options options_;
  std::int64_t features_ = 0;
  ParameterBuffer parameters_;
  std::vector<Tensor> running_mean_, running_variance_;
  std::int64_t batches_tracked_ = 0;
  std::vector<std::shared_ptr<const PreparedConvBlock>> prepared_;
  std::uint64_t prepared_version_ = 0;
};

}  // namespace protolith
