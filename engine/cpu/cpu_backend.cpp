#include "engine/cpu/cpu_backend.h"

#include <openblas-openmp/cblas.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "engine/cpu/thread_count.h"
#include "engine/expect.h"
#include "kernels/cpu/adam.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/episode_gather.h"
#include "kernels/cpu/grain.h"
#include "kernels/cpu/isa.h"
#include "kernels/cpu/parallel.h"

namespace protolith {

CpuBackend::CpuBackend(int threads, CpuConvolution blocks, CpuPrecision precision)
    : threads_(use_threads(threads)),
      blocks_(blocks),
      precision_(precision),
      arena_(std::make_shared<Arena>(Device{}, reserve_host_region())),
      convolution_([this](Shape shape, DType dtype) { return empty(shape, dtype); }, precision) {
  if (precision == CpuPrecision::bf16) {
    PROTOLITH_CHECK_USAGE(blocks == CpuConvolution::direct,
                          "precision bf16: Winograd's convolutions are fp32 only; use "
                          "--convolution direct with it, or --precision fp32");
    PROTOLITH_CHECK_USAGE(cpu_has_bf16(),
                          "precision bf16: the processor has no AVX512-BF16 (oneDNN computes with "
                          "{}); use --precision fp32",
                          onednn_instruction_set());
  }
}

std::string CpuBackend::description() const {
  // All that decides about the last bits: ours, OpenBLAS's and oneDNN's choice of kernels.
  return fmt::format("cpu, {} threads, {}, {} convolution{}, OpenBLAS {}, oneDNN {}", threads_,
                     cpu::instruction_set(),
                     blocks_ == CpuConvolution::winograd ? "winograd" : "direct",
                     precision_ == CpuPrecision::bf16 ? " in bf16" : "", openblas_get_corename(),
                     onednn_instruction_set());
}

Tensor CpuBackend::empty(Shape shape, DType dtype) {
  const auto bytes = static_cast<std::size_t>(shape.elements()) * size_of(dtype);
  return {arena_->allocate(bytes), shape, dtype};
}

Tensor CpuBackend::persistent(Shape shape, DType dtype) {
  return Tensor::host(shape, dtype);
}

void CpuBackend::copy(const Tensor& source, const Tensor& target) {
  expect_shape(source, "copy source", device(), target.shape(), target.dtype());
  expect_tensor(target, "copy target", device(), target.dtype());
  const ProfileRange range(profiler(), "copy", source.shape(), [&] {
    return OpCost{0, 2 * static_cast<double>(source.bytes())};
  });
  std::memmove(target.raw(), source.raw(), source.bytes());
}

void CpuBackend::copy_from_host(const void* source, const Tensor& target) {
  const ProfileRange range(profiler(), "copy_from_host", target.shape());
  std::memcpy(target.raw(), source, target.bytes());
}

void CpuBackend::copy_to_host(const Tensor& source, void* target) {
  const ProfileRange range(profiler(), "copy_to_host", source.shape());
  std::memcpy(target, source.raw(), source.bytes());
}

void CpuBackend::fill(const Tensor& target, float value) {
  expect_tensor(target, "fill target", device());
  const ProfileRange range(profiler(), "fill", target.shape(),
                           [&] { return pass_cost(0, {target.shape()}); });
  cpu::fill(target.data<float>(), value, target.elements());
}

Tensor CpuBackend::add(const Tensor& a, const Tensor& b) {
  expect_tensor(a, "add a", device());
  expect_shape(b, "add b", device(), a.shape());
  const ProfileRange range(profiler(), "add", a.shape(), [&] {
    return pass_cost(1, {a.shape(), a.shape(), a.shape()});
  });
  Tensor sum = empty(a.shape(), DType::f32);
  cpu::add(a.data<float>(), b.data<float>(), sum.data<float>(), a.elements());
  return sum;
}

void CpuBackend::accumulate(const Tensor& target, const Tensor& a) {
  expect_tensor(target, "accumulate target", device());
  expect_shape(a, "accumulate a", device(), target.shape());
  const ProfileRange range(profiler(), "accumulate", a.shape(), [&] {
    return pass_cost(1, {a.shape(), a.shape(), a.shape()});
  });
  cpu::add(target.data<float>(), a.data<float>(), target.data<float>(), a.elements());
}

Tensor CpuBackend::scale(const Tensor& a, const Tensor& factor) {
  expect_tensor(a, "scale a", device());
  expect_tensor(factor, "scale factor", device());
  PROTOLITH_CHECK(factor.elements() == 1, "scale factor has shape {}, expected one element",
                  to_string(factor.shape()));
  const ProfileRange range(profiler(), "scale", a.shape(), [&] {
    return pass_cost(1, {a.shape(), a.shape()});
  });
  Tensor scaled = empty(a.shape(), DType::f32);
  cpu::scale(a.data<float>(), *factor.data<float>(), scaled.data<float>(), a.elements());
  return scaled;
}

Tensor CpuBackend::mean(const Tensor& a) {
  expect_tensor(a, "mean a", device());
  const ProfileRange range(profiler(), "mean", a.shape(),
                           [&] { return pass_cost(1, {a.shape()}); });
  Tensor result = empty({1}, DType::f32);
  *result.data<float>() = static_cast<float>(cpu::sum(a.data<float>(), a.elements()) /
                                             static_cast<double>(a.elements()));
  return result;
}

Tensor CpuBackend::convolution(const Tensor& x, const Tensor& weight, ConvolutionGeometry g) {
  expect_rank(x, "convolution x", device(), 4);
  expect_rank(weight, "convolution weight", device(), 4);
  Tensor y = empty(convolution_shape(x.shape(), weight.shape(), g.stride, g.padding), DType::f32);
  const ProfileRange range(profiler(), "convolution", x.shape(),
                           [&] { return convolution_cost(x.shape(), weight.shape(), y.shape()); });
  convolution_.forward(x, weight, g, y);
  return y;
}

Tensor CpuBackend::convolution_backward_data(const Tensor& dy, const Tensor& weight,
                                             const Shape& x_shape, ConvolutionGeometry g) {
  expect_rank(weight, "dgrad weight", device(), 4);
  expect_shape(dy, "dgrad dy", device(),
               convolution_shape(x_shape, weight.shape(), g.stride, g.padding));
  Tensor dx = empty(x_shape, DType::f32);
  const ProfileRange range(profiler(), "convolution_backward_data", x_shape,
                           [&] { return convolution_cost(x_shape, weight.shape(), dy.shape()); });
  convolution_.backward_data(dy, weight, g, dx);
  return dx;
}

Tensor CpuBackend::convolution_backward_weight(const Tensor& x, const Tensor& dy,
                                               const Shape& weight_shape, ConvolutionGeometry g) {
  expect_rank(x, "wgrad x", device(), 4);
  expect_shape(dy, "wgrad dy", device(),
               convolution_shape(x.shape(), weight_shape, g.stride, g.padding));
  Tensor dweight = empty(weight_shape, DType::f32);
  const ProfileRange range(profiler(), "convolution_backward_weight", x.shape(),
                           [&] { return convolution_cost(x.shape(), weight_shape, dy.shape()); });
  convolution_.backward_weight(x, dy, g, dweight);
  return dweight;
}

void CpuBackend::adam_step(const Tensor& parameters, const Tensor& gradients, const Tensor& m,
                           const Tensor& v, const AdamOptions& options, const Tensor& schedule,
                           const Tensor& failed) {
  expect_tensor(parameters, "adam parameters", device());
  expect_shape(gradients, "adam gradients", device(), parameters.shape());
  expect_shape(m, "adam m", device(), parameters.shape());
  expect_shape(v, "adam v", device(), parameters.shape());
  expect_shape(schedule, "adam schedule", device(), {2});
  expect_shape(failed, "adam failed", device(), {1});
  if (*failed.data<float>() != 0.0F) return;
  const ProfileRange range(profiler(), "adam_step", parameters.shape(),
                           [&] { return adam_cost(parameters.shape()); });
  const float* const now = schedule.data<float>();
  cpu::adam_step(parameters.data<float>(), gradients.data<float>(), m.data<float>(),
                 v.data<float>(), parameters.elements(),
                 {options.beta1, options.beta2, options.epsilon, now[0], now[1]});
}

void CpuBackend::record_scores(const Tensor& loss, const Tensor& hit, const Tensor& slot,
                               const Tensor& scores, const Tensor& failed) {
  expect_shape(loss, "score loss", device(), {1});
  expect_rank(hit, "score hit", device(), 1);
  expect_shape(slot, "score slot", device(), {1}, DType::i32);
  expect_rank(scores, "scores", device(), 2);
  expect_shape(scores, "scores", device(), {scores.shape()[0], 2});
  expect_shape(failed, "score failed", device(), {1});
  const ProfileRange range(profiler(), "record_scores", hit.shape());
  const std::int32_t place = *slot.data<std::int32_t>();
  const float value = *loss.data<float>();
  const bool inside = place >= 0 && place < scores.shape()[0];
  if (!inside || !std::isfinite(value)) *failed.data<float>() = 1.0F;
  if (!inside) return;
  float* const row = scores.data<float>() + 2 * place;
  row[0] = value;
  row[1] = *mean(hit).data<float>();
}

Tensor CpuBackend::gather_rows(const Tensor& table, const Tensor& indices) {
  expect_rank(table, "gather table", device(), 2);
  expect_rank(indices, "gather indices", device(), 1, DType::i32);
  const std::int64_t features = table.shape()[1];
  const ProfileRange range(profiler(), "gather_rows", {indices.elements(), features}, [&] {
    return pass_cost(0, {{indices.elements(), features}, {indices.elements(), features}});
  });
  const auto index = indices.host_span<std::int32_t>();
  for (const std::int32_t row : index) {
    PROTOLITH_CHECK(row >= 0 && row < table.shape()[0], "row {} of {} rows", row, table.shape()[0]);
  }
  Tensor rows = empty({indices.elements(), features}, DType::f32);
  const float* const source = table.data<float>();
  float* const target = rows.data<float>();
  cpu::parallel_ranges(indices.elements(), cpu::rows_per_range(features),
                       [&](std::int64_t begin, std::int64_t end, int) {
                         for (std::int64_t i = begin; i < end; ++i) {
                           std::copy_n(source + index[static_cast<std::size_t>(i)] * features,
                                       features, target + i * features);
                         }
                       });
  return rows;
}

Tensor CpuBackend::episode_gather(const Tensor& images, const Tensor& indices, const Tensor& turns,
                                  const Tensor& scale, const Tensor& shift) {
  expect_rank(images, "gather images", device(), 4, DType::u8);
  expect_rank(indices, "gather indices", device(), 1, DType::i32);
  expect_shape(turns, "gather turns", device(), indices.shape(), DType::i32);
  const Shape& s = images.shape();
  expect_shape(scale, "gather scale", device(), {s[3]});
  expect_shape(shift, "gather shift", device(), {s[3]});
  const auto index = indices.host_span<std::int32_t>();
  const auto turn = turns.host_span<std::int32_t>();
  for (std::size_t i = 0; i < index.size(); ++i) {
    PROTOLITH_CHECK(index[i] >= 0 && index[i] < s[0], "image {} of {} images", index[i], s[0]);
    PROTOLITH_CHECK(turn[i] >= 0 && turn[i] < 4 && (turn[i] % 2 == 0 || s[1] == s[2]),
                    "{} quarter turns of a {}x{} image", turn[i], s[1], s[2]);
  }
  Tensor batch = empty({indices.elements(), s[1], s[2], s[3]}, DType::f32);
  const ProfileRange range(profiler(), "episode_gather", batch.shape(),
                           [&] { return episode_gather_cost(batch.shape()); });
  cpu::episode_gather(images.data<std::uint8_t>(), index.data(), turn.data(), indices.elements(),
                      s[1], s[2], s[3], scale.data<float>(), shift.data<float>(),
                      batch.data<float>());
  return batch;
}

std::unique_ptr<Backend> make_cpu_backend(int threads, CpuConvolution convolution,
                                          CpuPrecision precision) {
  return std::make_unique<CpuBackend>(threads, convolution, precision);
}

}  // namespace protolith
