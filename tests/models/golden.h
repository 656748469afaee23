// The goldens that tests/goldens/make_goldens.py makes of PyTorch runs, and comparisons with them.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

#include "engine/backend.h"
#include "engine/safetensors.h"
#include "tests/reference/array.h"

namespace protolith::test {

using reference::relative_error;

inline constexpr std::int64_t kGoldenSide = 28;
inline constexpr std::int64_t kWhole = 1024;  ///< tensors up to this many elements are not sampled

inline SafeTensors read_golden(const std::string& name) {
  return read_safetensors(std::string(PROTOLITH_GOLDENS) + "/" + name + ".safetensors");
}

/// A golden episode and what the goldens' names are put together from.
class Golden {
 public:
  explicit Golden(const std::string& name) : file_(read_golden(name)) {}

  std::vector<double> values(const std::string& name) const {
    const auto found = file_.tensors.find(name);
    REQUIRE_MESSAGE(found != file_.tensors.end(), name);
    const auto span = found->second.host_span<const float>();
    return {span.begin(), span.end()};
  }
  double scalar(const std::string& name) const { return values(name).at(0); }

  /// Bitmaps unpacked to f32 [N, 28, 28, 1].
  Tensor images() const {
    const Tensor& packed = file_.tensors.at("images");
    Tensor images = Tensor::host({packed.shape()[0], kGoldenSide, kGoldenSide, 1});
    const auto bytes = packed.host_span<const std::uint8_t>();
    const auto pixels = images.host_span<float>();
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      pixels[i] = (bytes[i / 8] >> (7 - i % 8)) & 1 ? 1.0F : 0.0F;
    }
    return images;
  }

 private:
  SafeTensors file_;
};

inline std::vector<double> to_doubles(Backend& backend, const Tensor& tensor) {
  const Tensor host = backend.to_host(tensor);
  const auto span = host.host_span<const float>();
  return {span.begin(), span.end()};
}

/// A parameter's or gradient's elements as the goldens have them: filters (KRSC) in OIHW order,
/// and of large tensors every `stride`-th element.
inline std::vector<double> sampled(const std::vector<double>& values, const Shape& shape,
                                   std::int64_t stride) {
  std::vector<double> ordered = values;
  if (shape.rank() == 4) {
    std::size_t next = 0;
    for (std::int64_t o = 0; o < shape[0]; ++o) {
      for (std::int64_t i = 0; i < shape[3]; ++i) {
        for (std::int64_t hw = 0; hw < shape[1] * shape[2]; ++hw) {
          const std::int64_t from = (o * shape[1] * shape[2] + hw) * shape[3] + i;
          ordered[next++] = values[static_cast<std::size_t>(from)];
        }
      }
    }
  }
  if (shape.elements() <= kWhole) return ordered;
  std::vector<double> result;
  for (std::int64_t i = 0; i < shape.elements(); i += stride) {
    result.push_back(ordered[static_cast<std::size_t>(i)]);
  }
  return result;
}

}  // namespace protolith::test
