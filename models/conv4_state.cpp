// Conv4's exchange with PyTorch: names, and OIHW filters against our KRSC (O,H,W,I).
#include <cmath>

#include "models/conv4.h"

namespace protolith {
namespace {

/// KRSC [O,H,W,I] -> OIHW.
Tensor to_oihw(const Tensor& krsc) {
  const Shape& s = krsc.shape();
  Tensor result = Tensor::host({s[0], s[3], s[1], s[2]});
  const auto in = krsc.host_span<float>();
  const auto out = result.host_span<float>();
  std::size_t next = 0;
  for (std::int64_t o = 0; o < s[0]; ++o) {
    for (std::int64_t i = 0; i < s[3]; ++i) {
      for (std::int64_t hw = 0; hw < s[1] * s[2]; ++hw) {
        out[next++] = in[static_cast<std::size_t>((o * s[1] * s[2] + hw) * s[3] + i)];
      }
    }
  }
  return result;
}

/// OIHW -> KRSC [O,H,W,I].
Tensor to_krsc(const Tensor& oihw) {
  const Shape& s = oihw.shape();
  Tensor result = Tensor::host({s[0], s[2], s[3], s[1]});
  const auto in = oihw.host_span<float>();
  const auto out = result.host_span<float>();
  std::size_t next = 0;
  for (std::int64_t o = 0; o < s[0]; ++o) {
    for (std::int64_t hw = 0; hw < s[2] * s[3]; ++hw) {
      for (std::int64_t i = 0; i < s[1]; ++i) {
        out[next++] = in[static_cast<std::size_t>((o * s[1] + i) * s[2] * s[3] + hw)];
      }
    }
  }
  return result;
}

/// The f32 tensor `name`, checked against `shape`.
const Tensor& require(const std::map<std::string, Tensor>& state, const std::string& name,
                      const Shape& shape) {
  const auto found = state.find(name);
  PROTOLITH_CHECK(found != state.end(), "tensor '{}' is missing: not a conv4 checkpoint", name);
  const Tensor& tensor = found->second;
  PROTOLITH_CHECK(tensor.dtype() == DType::f32 && tensor.shape() == shape,
                  "tensor '{}' is {} {}, this model needs f32 {}", name, to_string(tensor.dtype()),
                  to_string(tensor.shape()), to_string(shape));
  for (const float value : tensor.host_span<const float>()) {
    PROTOLITH_CHECK(std::isfinite(value), "tensor '{}' holds {}; the model is of no use", name,
                    value);
  }
  return tensor;
}

}  // namespace

std::map<std::string, Tensor> Conv4::state() const {
  std::map<std::string, Tensor> state;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    const std::string convolution = fmt::format("encoder.{}.0.", i);
    const std::string norm = fmt::format("encoder.{}.1.", i);
    const auto host = [&](const Tensor& tensor) { return backend_.to_host(tensor); };
    state[convolution + "weight"] = to_oihw(host(parameters_.variable(3 * i).value()));
    state[convolution + "bias"] = Tensor::host({options_.filters});
    state[norm + "weight"] = host(parameters_.variable(3 * i + 1).value());
    state[norm + "bias"] = host(parameters_.variable(3 * i + 2).value());
    state[norm + "running_mean"] = host(running_mean_[i]);
    state[norm + "running_var"] = host(running_variance_[i]);
    state[norm + "num_batches_tracked"] = Tensor::of<std::int64_t>({&batches_tracked_, 1}, Shape{});
  }
  return state;
}

void Conv4::load_state(const std::map<std::string, Tensor>& state) {
  const Shape channels{options_.filters};
  std::vector<Tensor> values;
  std::vector<Tensor> means;
  std::vector<Tensor> variances;
  std::int64_t batches = 0;
  for (std::size_t i = 0; i < kBlocks; ++i) {
    const std::string convolution = fmt::format("encoder.{}.0.", i);
    const std::string norm = fmt::format("encoder.{}.1.", i);
    const Shape& krsc = parameters_.spec(3 * i).shape;
    values.push_back(
        to_krsc(require(state, convolution + "weight", {krsc[0], krsc[3], krsc[1], krsc[2]})));
    values.push_back(require(state, norm + "weight", channels));
    values.push_back(require(state, norm + "bias", channels));
    const Tensor& mean = require(state, norm + "running_mean", channels);
    means.push_back(Tensor::of<float>(mean.host_span<const float>(), channels));
    if (state.contains(convolution + "bias")) {
      const auto bias = require(state, convolution + "bias", channels).host_span<const float>();
      const auto folded = means.back().host_span<float>();
      for (std::size_t c = 0; c < folded.size(); ++c) folded[c] -= bias[c];
    }
    variances.push_back(require(state, norm + "running_var", channels));
    for (const float variance : variances.back().host_span<const float>()) {
      PROTOLITH_CHECK(variance >= 0, "tensor '{}running_var' holds {}, a variance below 0", norm,
                      variance);
    }
    const auto tracked = state.find(norm + "num_batches_tracked");
    if (tracked != state.end()) {
      PROTOLITH_CHECK(tracked->second.dtype() == DType::i64 && tracked->second.elements() == 1,
                      "tensor '{}num_batches_tracked' is {} {}, expected one i64", norm,
                      to_string(tracked->second.dtype()), to_string(tracked->second.shape()));
      batches = *tracked->second.data<std::int64_t>();
    }
  }
  for (std::size_t i = 0; i < values.size(); ++i) {
    backend_.copy(values[i], parameters_.variable(i).value());
  }
  for (std::size_t i = 0; i < kBlocks; ++i) {
    backend_.copy(means[i], running_mean_[i]);
    backend_.copy(variances[i], running_variance_[i]);
  }
  batches_tracked_ = batches;
  parameters_.mark_changed();
}

}  // namespace protolith
