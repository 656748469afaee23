// Tensors too large for caches are written past them, where they are aligned: that changes no bit.
// Of each pass's output one copy is aligned and one is not.
#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "kernels/cpu/first_block.h"
#include "kernels/cpu/streamed.h"
#include "kernels/cpu/winograd_backward.h"
#include "kernels/cpu/winograd_filter.h"
#include "kernels/cpu/winograd_forward.h"

namespace protolith::test {
namespace {

/// Just large enough for outputs [N,28,28,16], or pooled [N,14,14,64], to be streamed.
const cpu::ConvolutionExtents kLarge{cpu::kStreamedBytes / (4 * 28 * 28 * 16) + 1, 28, 28, 16, 16};

/// Numbers of a few different values, whose sums are not exact: random ones (naive.h) of so many
/// would take seconds.
std::vector<float> values(std::int64_t count, float first) {
  std::vector<float> result(static_cast<std::size_t>(count));
  for (std::size_t i = 0; i < result.size(); ++i) {
    result[i] = first + 0.37F * static_cast<float>((i * 2654435761U >> 7U) % 97U) - 17.0F;
  }
  return result;
}

/// `count` floats that begin with a cache line or `offset` floats behind.
class Output {
 public:
  Output(std::int64_t count, std::size_t offset)
      : memory_(static_cast<std::size_t>(count) + 32, -1.0F),
        count_(static_cast<std::size_t>(count)) {
    begin_ = memory_.data();
    while (!cpu::is_line_aligned(begin_)) ++begin_;
    begin_ += offset;
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  float* data() const { return begin_; }
  bool operator==(const Output& other) const {
    return std::memcmp(begin_, other.begin_, count_ * sizeof(float)) == 0;
  }

 private:
  std::vector<float> memory_;
  std::size_t count_;
  float* begin_;
};

/// Calls f(output) with both, and compares.
template <class F>
void check_both(std::int64_t count, const F& f) {
  const Output streamed(count, 0);
  const Output stored(count, 1);
  REQUIRE(cpu::is_streamed(streamed.data(), count));
  REQUIRE_FALSE(cpu::is_streamed(stored.data(), count));
  f(streamed.data());
  f(stored.data());
  CHECK(streamed == stored);
}

TEST_CASE("streamed: only what is large") {
  const Output output(16, 0);
  CHECK(cpu::is_streamed(output.data(), cpu::kStreamedBytes / 4));
  CHECK_FALSE(cpu::is_streamed(output.data(), cpu::kStreamedBytes / 4 - 1));
}

TEST_CASE("streamed: outputs of the forward pass") {
  const cpu::ConvolutionExtents& e = kLarge;
  const std::vector<float> x = values(e.pixels() * e.channels, 0.1F);
  const std::vector<float> filters =
      values(cpu::winograd_filter_elements(e.filters, e.channels), 0.3F);
  std::vector<float> mean(16), variance(16);
  const Output scratch(cpu::winograd_forward_scratch(e), 0);
  check_both(e.pixels() * e.filters, [&](float* y) {
    cpu::winograd_forward(x.data(), filters.data(), y, mean.data(), variance.data(), e,
                          scratch.data());
  });
}

TEST_CASE("streamed: the data gradient") {
  const cpu::ConvolutionExtents& e = kLarge;
  const std::vector<float> x = values(e.pixels() * e.channels, 0.1F);
  const std::vector<float> dy = values(e.pixels() * e.filters, 0.2F);
  const std::vector<float> filters =
      values(cpu::winograd_filter_elements(e.filters, e.channels), 0.3F);
  const std::vector<float> ones(16, 1.0F);
  std::vector<float> dweight(9 * 16 * 16);
  const Output scratch(cpu::winograd_backward_scratch(e), 0);
  const cpu::WinogradBackward inputs{x.data(),    filters.data(), x.data(),    dy.data(),
                                     dy.data(),   nullptr,        ones.data(), ones.data(),
                                     ones.data(), ones.data(),    ones.data()};
  check_both(e.pixels() * e.channels, [&](float* dx) {
    cpu::winograd_backward(inputs, dweight.data(), dx, e, scratch.data());
  });
}

TEST_CASE("streamed: outputs of the first block") {
  for (const std::int64_t channels : {1, 3}) {
    const cpu::ConvolutionExtents e{kLarge.images, 28, 28, channels, 64};
    const std::vector<float> x = values(e.pixels() * e.channels, 0.1F);
    const std::vector<float> weight = values(9 * e.channels * e.filters, 0.3F);
    const std::vector<float> ones(64, 1.0F);
    check_both(e.windows() * e.filters, [&](float* y) {
      cpu::first_block_forward(x.data(), weight.data(), ones.data(), ones.data(), y, nullptr, e);
    });
  }
}

}  // namespace
}  // namespace protolith::test
