#include "engine/module.h"

namespace protolith {

ParameterBuffer::ParameterBuffer(Backend& backend, std::vector<TensorSpec> specs)
    : specs_(std::move(specs)) {
  PROTOLITH_CHECK(!specs_.empty(), "a model without parameters");
  constexpr std::int64_t kAlignment = 16;
  std::vector<std::int64_t> offsets;
  std::int64_t total = 0;
  for (const TensorSpec& spec : specs_) {
    offsets.push_back(total);
    count_ += spec.shape.elements();
    total += (spec.shape.elements() + kAlignment - 1) / kAlignment * kAlignment;
  }
  values_ = backend.persistent({total});
  gradients_ = backend.persistent({total});
  for (std::size_t i = 0; i < specs_.size(); ++i) {
    gradient_views_.push_back(gradients_.view(offsets[i], specs_[i].shape));
    variables_.push_back(
        Variable::parameter(values_.view(offsets[i], specs_[i].shape), gradient_views_.back()));
  }
}

}  // namespace protolith
