#include "engine/cpu/kernel_entries.h"

#include <memory>

#include "kernels/cpu/adam.h"
#include "kernels/cpu/batch_norm.h"
#include "kernels/cpu/batch_norm_relu_pool.h"
#include "kernels/cpu/elementwise.h"
#include "kernels/cpu/episode_gather.h"
#include "kernels/cpu/first_block.h"
#include "kernels/cpu/histogram.h"
#include "kernels/cpu/lsed_softmax.h"
#include "kernels/cpu/max_pool.h"
#include "kernels/cpu/relu.h"
#include "kernels/cpu/segment_mean.h"
#include "kernels/cpu/small_input_filter_gradient.h"
#include "kernels/cpu/squared_distance.h"
#include "kernels/cpu/winograd_backward.h"
#include "kernels/cpu/winograd_filter.h"
#include "kernels/cpu/winograd_forward.h"

namespace protolith {
namespace {

using Sizes = std::span<const std::int64_t>;
using Domain = KernelDomain;

ImageExtents images_of(Sizes s) {
  return {s[0], s[1], s[2], s[3]};
}

cpu::ConvolutionExtents convolution_of(Sizes s) {
  return {s[0], s[1], s[2], s[3], s[4]};
}

void add_update(KernelList& list) {
  list.family("adam");
  list.add("adam_step", Domain::parameters, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    float* const p = d.random(n);
    const float* const g = d.random(n);
    float *const m = d.random(n), *const v = d.positive(n);
    return {cpu::adam_step_traffic(n), [=] {
              cpu::adam_step(p, g, m, v, n, {0.9F, 0.999F, 1e-8F, 1e-3F, 1.0F});
            }};
  });
}

void add_elementwise(KernelList& list) {
  list.family("elementwise");
  list.add("add", Domain::embeddings, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    const float *const a = d.random(n), *const b = d.random(n);
    float* const out = d.zeros(n);
    return {cpu::add_traffic(n), [=] { cpu::add(a, b, out, n); }};
  });
  list.add("scale", Domain::pairs, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0] * s[1];
    const float* const a = d.random(n);
    float* const out = d.zeros(n);
    return {cpu::scale_traffic(n), [=] { cpu::scale(a, 0.5F, out, n); }};
  });
  list.add("fill", Domain::parameters, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    float* const out = d.zeros(n);
    return {cpu::fill_traffic(n), [=] { cpu::fill(out, 1.0F, n); }};
  });
  list.add("sum", Domain::queries, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    const float* const a = d.random(n);
    float* const out = d.zeros(1);
    return {cpu::sum_traffic(n), [=] { *out = static_cast<float>(cpu::sum(a, n)); }};
  });
  list.family("relu");
  list.add("relu_forward", Domain::activations, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    const float* const x = d.random(n);
    float* const y = d.zeros(n);
    return {cpu::relu_forward_traffic(n), [=] { cpu::relu_forward(x, y, n); }};
  });
  list.add("relu_backward", Domain::activations, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    const float *const y = d.random(n), *const dy = d.random(n);
    float* const dx = d.zeros(n);
    return {cpu::relu_backward_traffic(n), [=] { cpu::relu_backward(y, dy, dx, n); }};
  });
}

void add_batch_norm(KernelList& list) {
  list.family("batch_norm");
  list.add("batch_norm_statistics", Domain::rows, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], c = s[1];
    const float* const x = d.random(n * c);
    float *const mean = d.zeros(c), *const variance = d.zeros(c);
    return {cpu::batch_norm_statistics_traffic(n, c),
            [=] { cpu::batch_norm_statistics(x, n, c, mean, variance); }};
  });
  list.add("batch_norm_affine", Domain::rows, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], c = s[1];
    const float *const x = d.random(n * c), *const scale = d.random(c), *const shift = d.random(c);
    float* const y = d.zeros(n * c);
    return {cpu::batch_norm_affine_traffic(n, c),
            [=] { cpu::batch_norm_affine(x, scale, shift, y, n, c); }};
  });
  list.add("batch_norm_backward_reduce", Domain::rows,
           [](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t n = s[0], c = s[1];
             const float *const x = d.random(n * c), *const dy = d.random(n * c);
             const float *const mean = d.random(c), *const inv_std = d.positive(c);
             float *const dgamma = d.zeros(c), *const dbeta = d.zeros(c);
             return {cpu::batch_norm_backward_reduce_traffic(n, c), [=] {
                       cpu::batch_norm_backward_reduce(x, dy, mean, inv_std, n, c, dgamma, dbeta);
                     }};
           });
  list.add("batch_norm_backward_data", Domain::rows, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], c = s[1];
    const float *const x = d.random(n * c), *const dy = d.random(n * c);
    const float *const gamma = d.random(c), *const mean = d.random(c);
    const float *const inv_std = d.positive(c), *const dgamma = d.random(c);
    const float* const dbeta = d.random(c);
    float* const dx = d.zeros(n * c);
    return {cpu::batch_norm_backward_data_traffic(n, c), [=] {
              cpu::batch_norm_backward_data(x, dy, gamma, mean, inv_std, dgamma, dbeta, dx, n, c);
            }};
  });
}

void add_block_forward(KernelList& list) {
  list.family("batch_norm_relu_pool");
  list.add("affine_relu", Domain::images, [](KernelData& d, Sizes s) -> PreparedKernel {
    const ImageExtents e = images_of(s);
    const float* const x = d.random(cpu::elements(e));
    const float *const scale = d.random(e.channels), *const shift = d.random(e.channels);
    float* const y = d.zeros(cpu::elements(e));
    return {cpu::affine_relu_traffic(e), [=] { cpu::affine_relu_forward(x, scale, shift, y, e); }};
  });
  list.add("affine_relu_pool", Domain::images, [](KernelData& d, Sizes s) -> PreparedKernel {
    const ImageExtents e = images_of(s);
    const std::int64_t outputs = cpu::pooled_elements(e);
    const float* const x = d.random(cpu::elements(e));
    const float *const scale = d.random(e.channels), *const shift = d.random(e.channels);
    float *const y = d.zeros(outputs), *const selected = d.zeros(outputs);
    std::uint8_t* const winner = d.zero_bytes(outputs);
    return {cpu::affine_relu_pool_traffic(e, true),
            [=] { cpu::affine_relu_pool_forward(x, scale, shift, y, winner, selected, e); }};
  });
}

/// Batch norm's numbers for each channel, as backward passes read and write them.
struct ChannelNumbers {
  ChannelNumbers(KernelData& d, std::int64_t channels)
      : gamma(d.random(channels)),
        mean(d.random(channels)),
        inv_std(d.positive(channels)),
        dgamma(d.random(channels)),
        dbeta(d.random(channels)) {}
  const float *gamma, *mean, *inv_std;
  float *dgamma, *dbeta;
};

void add_block_backward(KernelList& list) {
  list.family("batch_norm_relu_pool");
  list.add("relu_batch_norm_backward_reduce", Domain::images,
           [](KernelData& d, Sizes s) -> PreparedKernel {
             const ImageExtents e = images_of(s);
             const std::int64_t n = cpu::elements(e);
             const float *const x = d.random(n), *const y = d.random(n), *const dy = d.random(n);
             const ChannelNumbers c(d, e.channels);
             return {cpu::relu_batch_norm_backward_reduce_traffic(e), [=] {
                       cpu::relu_batch_norm_backward_reduce(x, y, dy, c.mean, c.inv_std, c.dgamma,
                                                            c.dbeta, e);
                     }};
           });
  list.add("relu_batch_norm_backward_data", Domain::images,
           [](KernelData& d, Sizes s) -> PreparedKernel {
             const ImageExtents e = images_of(s);
             const std::int64_t n = cpu::elements(e);
             const float *const x = d.random(n), *const y = d.random(n), *const dy = d.random(n);
             const ChannelNumbers c(d, e.channels);
             float* const dx = d.zeros(n);
             return {cpu::relu_batch_norm_backward_data_traffic(e), [=] {
                       cpu::relu_batch_norm_backward_data(x, y, dy, c.gamma, c.mean, c.inv_std,
                                                          c.dgamma, c.dbeta, dx, e);
                     }};
           });
  list.add("pool_relu_batch_norm_backward_reduce", Domain::images,
           [](KernelData& d, Sizes s) -> PreparedKernel {
             const ImageExtents e = images_of(s);
             const std::int64_t n = cpu::pooled_elements(e);
             const float *const selected = d.random(n), *const y = d.random(n);
             const float* const dy = d.random(n);
             const ChannelNumbers c(d, e.channels);
             return {cpu::pool_relu_batch_norm_backward_reduce_traffic(e), [=] {
                       cpu::pool_relu_batch_norm_backward_reduce(selected, y, dy, c.mean, c.inv_std,
                                                                 c.dgamma, c.dbeta, e);
                     }};
           });
  list.add("pool_relu_batch_norm_backward_data", Domain::images,
           [](KernelData& d, Sizes s) -> PreparedKernel {
             const ImageExtents e = images_of(s);
             const std::int64_t n = cpu::pooled_elements(e);
             const float *const x = d.random(cpu::elements(e)), *const y = d.random(n);
             const float* const dy = d.random(n);
             const std::uint8_t* const winner = d.bytes(n, 4);
             const ChannelNumbers c(d, e.channels);
             float* const dx = d.zeros(cpu::elements(e));
             return {cpu::pool_relu_batch_norm_backward_data_traffic(e), [=] {
                       cpu::pool_relu_batch_norm_backward_data(x, y, winner, dy, c.gamma, c.mean,
                                                               c.inv_std, c.dgamma, c.dbeta, dx, e);
                     }};
           });
  list.family("max_pool");
  list.add("max_pool_forward", Domain::images, [](KernelData& d, Sizes s) -> PreparedKernel {
    const ImageExtents e = images_of(s);
    const float* const x = d.random(cpu::elements(e));
    float* const y = d.zeros(cpu::pooled_elements(e));
    std::uint8_t* const winner = d.zero_bytes(cpu::pooled_elements(e));
    return {cpu::max_pool_forward_traffic(e), [=] { cpu::max_pool_forward(x, y, winner, e); }};
  });
  list.add("max_pool_backward", Domain::images, [](KernelData& d, Sizes s) -> PreparedKernel {
    const ImageExtents e = images_of(s);
    const float* const dy = d.random(cpu::pooled_elements(e));
    const std::uint8_t* const winner = d.bytes(cpu::pooled_elements(e), 4);
    float* const dx = d.zeros(cpu::elements(e));
    return {cpu::max_pool_backward_traffic(e), [=] { cpu::max_pool_backward(dy, winner, dx, e); }};
  });
}

void add_data(KernelList& list) {
  list.family("episode_gather");
  list.add("episode_gather", Domain::batch, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], h = s[1], w = s[2], c = s[3];
    const std::uint8_t* const images = d.bytes(n * h * w * c, 251);
    // Images that are not square cannot be turned by one quarter.
    const std::int32_t *const indices = d.indices(n, n), *const turns =
                                                             d.indices(n, h == w ? 4 : 1);
    const float *const scale = d.random(c), *const shift = d.random(c);
    float* const out = d.zeros(n * h * w * c);
    return {cpu::episode_gather_traffic(n, h, w, c),
            [=] { cpu::episode_gather(images, indices, turns, n, h, w, c, scale, shift, out); }};
  });
  list.family("histogram");
  list.add("histogram", Domain::histogram, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], bins = s[1];
    std::vector<float> places(static_cast<std::size_t>(bins) + 1);
    for (std::size_t i = 0; i < places.size(); ++i) {
      places[i] = static_cast<float>(i) / static_cast<float>(bins);
    }
    const float *const values = d.random(n), *const edges = d.values(places);
    std::int32_t* const counts = d.indices(bins + 3, 1);
    return {cpu::histogram_traffic(n, bins),
            [=] { cpu::histogram(values, n, edges, bins, true, counts); }};
  });
}

void add_loss(KernelList& list) {
  list.family("lsed_softmax");
  list.add("lsed_softmax", Domain::pairs, [](KernelData& d, Sizes s) -> PreparedKernel {
    const cpu::LsedSoftmax arguments{.distances = d.random(s[0] * s[1], 0.0F, 8.0F),
                                     .labels = d.indices(s[0], s[1]),
                                     .rows = s[0],
                                     .classes = s[1],
                                     .threshold = 4.0F,
                                     .slope = 0.1F,
                                     .gradient_scale = 1.0F,
                                     .loss = d.zeros(s[0]),
                                     .hit = d.zeros(s[0]),
                                     .gradient = d.zeros(s[0] * s[1]),
                                     .leaky = nullptr,
                                     .leaky_gradient = nullptr};
    return {cpu::lsed_softmax_traffic(arguments), [=] { cpu::lsed_softmax(arguments); }};
  });
  list.family("segment_mean");
  list.add("segment_mean_forward", Domain::classes, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], length = s[1], k = s[2];
    const float* const x = d.random(n * length * k);
    float* const mean = d.zeros(n * k);
    return {cpu::segment_mean_forward_traffic(n, length, k),
            [=] { cpu::segment_mean_forward(x, mean, n, length, k); }};
  });
  list.add("segment_mean_backward", Domain::classes, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], length = s[1], k = s[2];
    const float* const dmean = d.random(n * k);
    float* const dx = d.zeros(n * length * k);
    return {cpu::segment_mean_backward_traffic(n, length, k),
            [=] { cpu::segment_mean_backward(dmean, dx, n, length, k); }};
  });
}

void add_distances(KernelList& list) {
  list.family("squared_distance");
  list.add("row_squared_norms", Domain::table, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], k = s[1];
    const float* const x = d.random(n * k);
    float* const norms = d.zeros(n);
    return {cpu::row_squared_norms_traffic(n, k), [=] { cpu::row_squared_norms(x, norms, n, k); }};
  });
  list.add("distance_epilogue", Domain::pairs, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t m = s[0], n = s[1];
    const float *const queries = d.positive(m), *const prototypes = d.positive(n);
    float* const distances = d.random(m * n);
    return {cpu::distance_epilogue_traffic(m, n),
            [=] { cpu::distance_epilogue(queries, prototypes, distances, m, n); }};
  });
  list.add("squared_distance_direct", Domain::sides, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t m = s[0], n = s[1], k = s[2];
    const float *const q = d.random(m * k), *const c = d.random(n * k);
    float* const distances = d.zeros(m * n);
    return {cpu::squared_distance_direct_traffic(m, n, k),
            [=] { cpu::squared_distance_direct(q, c, distances, m, n, k); }};
  });
  list.add("row_sums", Domain::pairs, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t m = s[0], n = s[1];
    const float* const a = d.random(m * n);
    float* const sums = d.zeros(m);
    return {cpu::row_sums_traffic(m, n), [=] { cpu::row_sums(a, sums, m, n); }};
  });
  list.add("column_sums", Domain::pairs, [](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t m = s[0], n = s[1];
    const float* const a = d.random(m * n);
    float* const sums = d.zeros(n);
    return {cpu::column_sums_traffic(m, n), [=] { cpu::column_sums(a, sums, m, n); }};
  });
  list.add("distance_backward_epilogue", Domain::table,
           [](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t n = s[0], k = s[1];
             const float *const x = d.random(n * k), *const weights = d.random(n);
             float* const out = d.random(n * k);
             return {cpu::distance_backward_epilogue_traffic(n, k),
                     [=] { cpu::distance_backward_epilogue(x, weights, out, n, k); }};
           });
}

void add_first_block(KernelList& list) {
  list.family("patch_statistics");
  list.add("patch_statistics", Domain::first_block, [](KernelData& d, Sizes s) -> PreparedKernel {
    const cpu::ConvolutionExtents e = convolution_of(s);
    const float* const x = d.random(e.pixels() * e.channels);
    return {cpu::patch_statistics_traffic(e), [=] { cpu::patch_statistics(x, e); }};
  });
  list.family("first_block");
  list.add("first_block_forward", Domain::first_block,
           [](KernelData& d, Sizes s) -> PreparedKernel {
             const cpu::ConvolutionExtents e = convolution_of(s);
             const float* const x = d.random(e.pixels() * e.channels);
             const float* const weight = d.random(9 * e.channels * e.filters);
             const float *const scale = d.random(e.filters), *const shift = d.random(e.filters);
             float* const y = d.zeros(e.windows() * e.filters);
             std::uint8_t* const winner = d.zero_bytes(e.windows() * e.filters);
             return {cpu::first_block_forward_traffic(e, true),
                     [=] { cpu::first_block_forward(x, weight, scale, shift, y, winner, e); }};
           });
  list.add(
      "first_block_backward", Domain::first_block, [](KernelData& d, Sizes s) -> PreparedKernel {
        const cpu::ConvolutionExtents e = convolution_of(s);
        const std::int64_t outputs = e.windows() * e.filters;
        const cpu::FirstBlockBackward inputs{.x = d.random(e.pixels() * e.channels),
                                             .weight = d.random(9 * e.channels * e.filters),
                                             .dy = d.random(outputs),
                                             .winner = d.bytes(outputs, cpu::kNoWinner + 1),
                                             .gamma = d.random(e.filters),
                                             .mean = d.random(e.filters),
                                             .inv_std = d.positive(e.filters)};
        const auto patches =
            std::make_shared<const cpu::PatchStatistics>(cpu::patch_statistics(inputs.x, e));
        float* const dweight = d.zeros(9 * e.channels * e.filters);
        float *const dgamma = d.zeros(e.filters), *const dbeta = d.zeros(e.filters);
        return {cpu::first_block_backward_traffic(e),
                [=] { cpu::first_block_backward(inputs, *patches, dweight, dgamma, dbeta, e); }};
      });
  list.family("small_input_filter_gradient");
  list.add("small_input_filter_gradient", Domain::first_block,
           [](KernelData& d, Sizes s) -> PreparedKernel {
             const cpu::ConvolutionExtents e = convolution_of(s);
             const float* const x = d.random(e.pixels() * e.channels);
             const float* const g = d.random(e.pixels() * e.filters);
             float* const dweight = d.zeros(9 * e.channels * e.filters);
             const auto sums = std::make_shared<cpu::SmallInputFilterGradient>(
                 e.height, e.width, e.channels, e.filters);
             return {cpu::small_input_filter_gradient_traffic(e.pixels(), e.channels, e.filters),
                     [=] {
                       sums->add(x, g, e.images);
                       sums->store(dweight);
                     }};
           });
}

float* filter_planes(KernelData& d, std::int64_t filters, std::int64_t channels) {
  const std::int64_t count = cpu::winograd_filter_elements(filters, channels);
  float* const planes = d.random(count);
  d.leave_out(count - cpu::kPlanes * filters * channels);
  return planes;
}

PreparedKernel winograd_backward(KernelData& d, Sizes s) {
  const cpu::ConvolutionExtents e = convolution_of(s);
  const std::int64_t outputs = e.windows() * e.filters;
  const ChannelNumbers c(d, e.filters);
  const cpu::WinogradBackward inputs{.x = d.random(e.pixels() * e.channels),
                                     .filters = filter_planes(d, e.filters, e.channels),
                                     .z = d.random(e.pixels() * e.filters),
                                     .y = d.random(outputs),
                                     .dy = d.random(outputs),
                                     .winner = d.bytes(outputs, 4),
                                     .gamma = c.gamma,
                                     .mean = c.mean,
                                     .inv_std = c.inv_std,
                                     .dgamma = c.dgamma,
                                     .dbeta = c.dbeta};
  float* const dweight = d.zeros(9 * e.channels * e.filters);
  float* const dx = d.zeros(e.pixels() * e.channels);
  float* const scratch = d.scratch(cpu::winograd_backward_scratch(e));
  return {cpu::winograd_backward_traffic(e, true, true),
          [=] { cpu::winograd_backward(inputs, dweight, dx, e, scratch); }};
}

void add_winograd(KernelList& list) {
  list.family("winograd_filter");
  list.add(
      "winograd_transform_filters", Domain::filters, [](KernelData& d, Sizes s) -> PreparedKernel {
        const std::int64_t k = s[0], c = s[1];
        const float* const weight = d.random(9 * k * c);
        float* const by_filter = filter_planes(d, k, c);
        float* const by_channel = filter_planes(d, k, c);
        return {cpu::winograd_transform_filters_traffic(k, c), [=] {
                  cpu::winograd_transform_filters(weight, nullptr, {}, by_filter, by_channel, k, c);
                }};
      });
  list.add("winograd_filter_gradient", Domain::filters,
           [](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t k = s[0], c = s[1];
             const float* const gradients = filter_planes(d, k, c);
             float* const dweight = d.zeros(9 * k * c);
             return {cpu::winograd_filter_gradient_traffic(k, c),
                     [=] { cpu::winograd_filter_gradient(gradients, {}, dweight, k, c); }};
           });
  list.family("winograd_forward");
  list.add("winograd_forward", Domain::block, [](KernelData& d, Sizes s) -> PreparedKernel {
    const cpu::ConvolutionExtents e = convolution_of(s);
    const float* const x = d.random(e.pixels() * e.channels);
    const float* const filters = filter_planes(d, e.filters, e.channels);
    float* const y = d.zeros(e.pixels() * e.filters);
    float *const mean = d.zeros(e.filters), *const variance = d.zeros(e.filters);
    float* const scratch = d.scratch(cpu::winograd_forward_scratch(e));
    return {cpu::winograd_forward_traffic(e),
            [=] { cpu::winograd_forward(x, filters, y, mean, variance, e, scratch); }};
  });
  list.add("winograd_inference", Domain::block, [](KernelData& d, Sizes s) -> PreparedKernel {
    const cpu::ConvolutionExtents e = convolution_of(s);
    const float* const x = d.random(e.pixels() * e.channels);
    const float* const filters = filter_planes(d, e.filters, e.channels);
    const float* const shift = d.random(e.filters);
    float* const y = d.zeros(e.windows() * e.filters);
    float* const scratch = d.scratch(cpu::winograd_inference_scratch(e, true));
    return {cpu::winograd_inference_traffic(e, true),
            [=] { cpu::winograd_inference(x, filters, shift, true, y, e, scratch); }};
  });
  list.family("winograd_backward");
  list.add("winograd_backward", Domain::block, winograd_backward);
}

}  // namespace

std::vector<KernelEntry> cpu_kernel_entries() {
  KernelList list;
  add_update(list);
  add_elementwise(list);
  add_batch_norm(list);
  add_block_forward(list);
  add_block_backward(list);
  add_data(list);
  add_loss(list);
  add_distances(list);
  add_first_block(list);
  add_winograd(list);
  return list.take();
}

}  // namespace protolith
