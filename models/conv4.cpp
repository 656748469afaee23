#include "models/conv4.h"

#include <cmath>

#include "engine/ops/distance.h"
#include "engine/random.h"

namespace protolith {
namespace {

constexpr float kMomentum = 0.1F;

std::vector<TensorSpec> parameter_specs(const Conv4Options& options) {
  std::vector<TensorSpec> specs;
  for (int i = 0; i < Conv4::kBlocks; ++i) {
    const std::int64_t inputs = i == 0 ? options.channels : options.filters;
    specs.push_back({fmt::format("encoder.{}.0.weight", i), {options.filters, 3, 3, inputs}});
    specs.push_back({fmt::format("encoder.{}.1.weight", i), {options.filters}});
    specs.push_back({fmt::format("encoder.{}.1.bias", i), {options.filters}});
  }
  return specs;
}

}  // namespace

std::int64_t feature_count(const Conv4Options& options) {
  const int pools = options.last_pool ? 4 : 3;
  const std::int64_t height = options.height >> pools;
  const std::int64_t width = options.width >> pools;
  PROTOLITH_CHECK_USAGE(height >= 1 && width >= 1,
                        "images of {}x{} are too small for {} pools; at least {}x{} are needed",
                        options.height, options.width, pools, 1 << pools, 1 << pools);
  PROTOLITH_CHECK_USAGE(options.channels >= 1 && options.filters >= 1,
                        "{} channels and {} filters: both must be at least 1", options.channels,
                        options.filters);
  return height * width * options.filters;
}

Conv4::Conv4(Backend& backend, Conv4Options options)
    : backend_(backend),
      options_(options),
      features_(feature_count(options)),
      parameters_(backend, parameter_specs(options)) {
  for (int i = 0; i < kBlocks; ++i) {
    running_mean_.push_back(backend.persistent({options.filters}));
    running_variance_.push_back(backend.persistent({options.filters}));
  }
}

void Conv4::initialize(std::uint64_t seed, BatchNormInit gamma) {
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Shape& shape = parameters_.spec(i).shape;
    Tensor values = Tensor::host(shape);
    Random random(seed, Purpose::initial_weights, 0, i);
    const bool is_filter = shape.rank() == 4;
    const bool is_gamma = i % 3 == 1;
    const float bound =
        is_filter ? 1.0F / std::sqrt(static_cast<float>(shape.elements() / shape[0])) : 0.0F;
    for (float& value : values.host_span<float>()) {
      if (is_filter) value = random.uniform(-bound, bound);
      if (is_gamma) value = gamma == BatchNormInit::uniform ? random.uniform() : 1.0F;
    }
    backend_.copy(values, parameters_.variable(i).value());
  }
  for (std::size_t i = 0; i < kBlocks; ++i) {
    backend_.fill(running_mean_[i], 0.0F);
    backend_.fill(running_variance_[i], 1.0F);
  }
  batches_tracked_ = 0;
  parameters_.mark_changed();
}

ops::ConvBlock Conv4::block(int index, float momentum) const {
  const auto i = static_cast<std::size_t>(index);
  return {.weight = parameters_.variable(3 * i),
          .gamma = parameters_.variable(3 * i + 1),
          .beta = parameters_.variable(3 * i + 2),
          .running_mean = running_mean_[i],
          .running_variance = running_variance_[i],
          .momentum = momentum,
          .pool = index + 1 < kBlocks || options_.last_pool};
}

bool Conv4::is_finite() const {
  // One sum each: an infinity or NaN stays one.
  bool finite = std::isfinite(backend_.read_scalar(backend_.mean(parameters_.values())));
  for (std::size_t i = 0; i < kBlocks; ++i) {
    for (const Tensor& statistic : {running_mean_[i], running_variance_[i]}) {
      finite = finite && std::isfinite(backend_.read_scalar(backend_.mean(statistic)));
    }
  }
  return finite;
}

Tensor Conv4::flatten(const Tensor& y) const {
  return y.reshaped({y.shape()[0], features_});
}

Variable Conv4::forward(const Variable& images, bool composed) {
  Variable x = images;
  for (int i = 0; i < kBlocks; ++i) {
    x = composed ? ops::conv_block_composed(backend_, x, block(i, kMomentum))
                 : ops::conv_block(backend_, x, block(i, kMomentum));
  }
  parameters_.mark_changed();  // the running statistics are part of the prepared weights
  return ops::reshape(backend_, x, {images.value().shape()[0], features_});
}

Tensor Conv4::embed(const Tensor& images) {
  if (prepared_version_ != parameters_.version()) {
    prepared_.clear();
    for (int i = 0; i < kBlocks; ++i) {
      prepared_.push_back(backend_.prepare_conv_block(block(i, 0.0F).parameters()));
    }
    prepared_version_ = parameters_.version();
  }
  Tensor x = images;
  for (const auto& prepared : prepared_) x = backend_.conv_block_inference(x, *prepared);
  return flatten(x);
}

Tensor Conv4::embed_with_batch_statistics(const Tensor& images) {
  Tensor x = images;
  for (int i = 0; i < kBlocks; ++i) {
    x = backend_.conv_block_forward(x, block(i, 0.0F).parameters()).y;
  }
  return flatten(x);
}

}  // namespace protolith
