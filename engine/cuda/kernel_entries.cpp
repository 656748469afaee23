#include "engine/cuda/kernel_entries.h"

#include <algorithm>
#include <limits>

#include "kernels/cuda/adam.h"
#include "kernels/cuda/batch_norm.h"
#include "kernels/cuda/batch_norm_relu_pool.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/episode_gather.h"
#include "kernels/cuda/gather_rows.h"
#include "kernels/cuda/histogram.h"
#include "kernels/cuda/lsed_softmax.h"
#include "kernels/cuda/max_pool.h"
#include "kernels/cuda/relu.h"
#include "kernels/cuda/relu_pool.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/scores.h"
#include "kernels/cuda/segment_mean.h"
#include "kernels/cuda/squared_distance.h"

namespace protolith::cuda {
namespace {

using Sizes = std::span<const std::int64_t>;
using Domain = KernelDomain;

/// Images, and how many elements they and their 2x2 windows' outputs have.
struct Images {
  explicit Images(Sizes s)
      : e{s[0], s[1], s[2], s[3]},
        elements(s[0] * s[1] * s[2] * s[3]),
        outputs(s[0] * (s[1] / 2) * (s[2] / 2) * s[3]),
        scratch(static_cast<std::int64_t>(batch_norm_scratch_bytes(s[0] * s[1] * s[2], s[3]) /
                                          sizeof(float))) {}
  ImageExtents e;
  std::int64_t elements, outputs;
  std::int64_t scratch;  ///< floats, for the sums of either
};

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

void add_update(KernelList& list, Stream stream) {
  list.family("adam");
  list.add("adam_step", Domain::parameters, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    float* const p = d.random(n);
    const float* const g = d.random(n);
    float *const m = d.random(n), *const v = d.positive(n);
    const float* const schedule = d.values(std::vector{1e-3F, 1.0F});
    const float* const failed = d.zeros(1);
    return {adam_step_traffic(n), [=] {
              adam_step(p, g, m, v, n, {0.9F, 0.999F, 1e-8F}, schedule, failed, stream);
            }};
  });
  list.family("scores");
  list.add("record_scores", Domain::queries, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    const float *const loss = d.positive(1), *const hit = d.zeros(n);
    const std::int32_t* const slot = d.indices(1, 1);
    float *const ring = d.zeros(2), *const failed = d.zeros(1);
    return {record_scores_traffic(n),
            [=] { record_scores(loss, hit, n, slot, ring, 1, failed, stream); }};
  });
}

/// `total` elements as arrays of nearly equal size, as many as a model of four blocks has
/// gradients.
std::vector<cuda::Accumulation> accumulations(KernelData& d, std::int64_t total) {
  const std::int64_t arrays = std::min<std::int64_t>(12, total);
  std::vector<cuda::Accumulation> list;
  for (std::int64_t i = 0; i < arrays; ++i) {
    const std::int64_t count = total * (i + 1) / arrays - total * i / arrays;
    float* const target = d.random(count);
    list.push_back({target, d.random(count), count});
  }
  return list;
}

void add_elementwise(KernelList& list, Stream stream) {
  list.family("elementwise");
  list.add("add", Domain::embeddings, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    const float *const a = d.random(n), *const b = d.random(n);
    float* const out = d.zeros(n);
    return {add_traffic(n), [=] { add(a, b, out, n, stream); }};
  });
  list.add("scale", Domain::pairs, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0] * s[1];
    const float *const a = d.random(n), *const factor = d.positive(1);
    float* const out = d.zeros(n);
    return {scale_traffic(n), [=] { scale(a, factor, out, n, stream); }};
  });
  list.add("fill", Domain::parameters, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    float* const out = d.zeros(n);
    return {fill_traffic(n), [=] { fill(out, 1.0F, n, stream); }};
  });
  list.add("mean", Domain::queries, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    const float* const a = d.random(n);
    float* const out = d.zeros(1);
    return {mean_traffic(n), [=] { mean(a, n, out, stream); }};
  });
  list.add("accumulate", Domain::parameters, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const auto sums = accumulations(d, s[0]);
    return {accumulate_traffic(sums), [=] { accumulate(sums, stream); }};
  });
  list.family("relu");
  list.add("relu_forward", Domain::activations, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0];
    const float* const x = d.random(n);
    float* const y = d.zeros(n);
    return {relu_forward_traffic(n), [=] { relu_forward(x, y, n, stream); }};
  });
  list.add("relu_backward", Domain::activations,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t n = s[0];
             const float *const y = d.random(n), *const dy = d.random(n);
             float* const dx = d.zeros(n);
             return {relu_backward_traffic(n), [=] { relu_backward(y, dy, dx, n, stream); }};
           });
}

PreparedKernel statistics(KernelData& d, std::int64_t n, std::int64_t c, Stream stream) {
  const float* const x = d.random(n * c);
  const BatchNormFinish finish{.epsilon = 1e-5F,
                               .mean = d.zeros(c),
                               .variance = d.zeros(c),
                               .inv_std = d.zeros(c),
                               .gamma = d.random(c),
                               .beta = d.random(c),
                               .scale = d.zeros(c),
                               .shift = d.zeros(c),
                               .momentum = 0.1F,
                               .running_mean = d.random(c),
                               .running_variance = d.positive(c)};
  const std::size_t scratch_bytes = batch_norm_scratch_bytes(n, c);
  float* const scratch = d.scratch(static_cast<std::int64_t>(scratch_bytes / sizeof(float)));
  return {batch_norm_statistics_traffic(n, c),
          [=] { batch_norm_statistics(x, n, c, finish, scratch, stream); }};
}

void add_batch_norm(KernelList& list, Stream stream) {
  list.family("batch_norm");
  list.add("batch_norm_statistics", Domain::rows,
           [stream](KernelData& d, Sizes s) { return statistics(d, s[0], s[1], stream); });
  list.add("batch_norm_affine", Domain::rows, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], c = s[1];
    const float *const x = d.random(n * c), *const scale = d.random(c), *const shift = d.random(c);
    float* const y = d.zeros(n * c);
    return {batch_norm_affine_traffic(n, c),
            [=] { batch_norm_affine(x, scale, shift, y, n, c, stream); }};
  });
  list.add("batch_norm_backward_reduce", Domain::rows,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t n = s[0], k = s[1];
             const float *const x = d.random(n * k), *const dy = d.random(n * k);
             const ChannelNumbers c(d, k);
             const std::size_t bytes = batch_norm_scratch_bytes(n, k);
             float* const scratch = d.scratch(static_cast<std::int64_t>(bytes / sizeof(float)));
             return {batch_norm_backward_reduce_traffic(n, k), [=] {
                       batch_norm_backward_reduce(x, dy, c.mean, c.inv_std, n, k, c.dgamma, c.dbeta,
                                                  scratch, stream);
                     }};
           });
  list.add("batch_norm_backward_data", Domain::rows,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t n = s[0], k = s[1];
             const float *const x = d.random(n * k), *const dy = d.random(n * k);
             const ChannelNumbers c(d, k);
             float* const dx = d.zeros(n * k);
             return {batch_norm_backward_data_traffic(n, k), [=] {
                       batch_norm_backward_data(x, dy, c.gamma, c.mean, c.inv_std, c.dgamma,
                                                c.dbeta, dx, n, k, stream);
                     }};
           });
}

void add_block_forward(KernelList& list, Stream stream) {
  list.family("batch_norm_relu_pool");
  list.add("affine_relu", Domain::images, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const Images i(s);
    const float* const x = d.random(i.elements);
    const float *const scale = d.random(i.e.channels), *const shift = d.random(i.e.channels);
    float* const y = d.zeros(i.elements);
    return {affine_relu_traffic(i.e),
            [=] { affine_relu_forward(x, scale, shift, y, i.e, stream); }};
  });
  list.add("affine_relu_pool", Domain::images, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const Images i(s);
    const float* const x = d.random(i.elements);
    const float *const scale = d.random(i.e.channels), *const shift = d.random(i.e.channels);
    float *const y = d.zeros(i.outputs), *const selected = d.zeros(i.outputs);
    std::uint8_t* const winner = d.zero_bytes(i.outputs);
    return {affine_relu_pool_traffic(i.e, true),
            [=] { affine_relu_pool_forward(x, scale, shift, y, winner, selected, i.e, stream); }};
  });
}

void add_block_backward(KernelList& list, Stream stream) {
  list.family("batch_norm_relu_pool");
  list.add("relu_batch_norm_backward_reduce", Domain::images,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const Images i(s);
             const float *const x = d.random(i.elements), *const y = d.random(i.elements);
             const float* const dy = d.random(i.elements);
             const ChannelNumbers c(d, i.e.channels);
             float* const scratch = d.scratch(i.scratch);
             return {relu_batch_norm_backward_reduce_traffic(i.e), [=] {
                       relu_batch_norm_backward_reduce(x, y, dy, c.mean, c.inv_std, c.dgamma,
                                                       c.dbeta, i.e, scratch, stream);
                     }};
           });
  list.add("relu_batch_norm_backward_data", Domain::images,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const Images i(s);
             const float *const x = d.random(i.elements), *const y = d.random(i.elements);
             const float* const dy = d.random(i.elements);
             const ChannelNumbers c(d, i.e.channels);
             float* const dx = d.zeros(i.elements);
             return {relu_batch_norm_backward_data_traffic(i.e), [=] {
                       relu_batch_norm_backward_data(x, y, dy, c.gamma, c.mean, c.inv_std, c.dgamma,
                                                     c.dbeta, dx, i.e, 0, stream);
                     }};
           });
  list.add("pool_relu_batch_norm_backward_reduce", Domain::images,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const Images i(s);
             const float *const selected = d.random(i.outputs), *const y = d.random(i.outputs);
             const float* const dy = d.random(i.outputs);
             const ChannelNumbers c(d, i.e.channels);
             float* const scratch = d.scratch(i.scratch);
             return {pool_relu_batch_norm_backward_reduce_traffic(i.e), [=] {
                       pool_relu_batch_norm_backward_reduce(selected, y, dy, c.mean, c.inv_std,
                                                            c.dgamma, c.dbeta, i.e, scratch,
                                                            stream);
                     }};
           });
  list.add("pool_relu_batch_norm_backward_data", Domain::images,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const Images i(s);
             const float *const x = d.random(i.elements), *const y = d.random(i.outputs);
             const float* const dy = d.random(i.outputs);
             const std::uint8_t* const winner = d.bytes(i.outputs, 4);
             const ChannelNumbers c(d, i.e.channels);
             float* const dx = d.zeros(i.elements);
             return {pool_relu_batch_norm_backward_data_traffic(i.e), [=] {
                       pool_relu_batch_norm_backward_data(x, y, winner, dy, c.gamma, c.mean,
                                                          c.inv_std, c.dgamma, c.dbeta, dx, i.e, 0,
                                                          stream);
                     }};
           });
}

void add_pools(KernelList& list, Stream stream) {
  list.family("max_pool");
  list.add("max_pool_forward", Domain::images, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const Images i(s);
    const float* const x = d.random(i.elements);
    float* const y = d.zeros(i.outputs);
    std::uint8_t* const winner = d.zero_bytes(i.outputs);
    return {max_pool_forward_traffic(i.e), [=] { max_pool_forward(x, y, winner, i.e, stream); }};
  });
  list.add("max_pool_backward", Domain::images, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const Images i(s);
    const float* const dy = d.random(i.outputs);
    const std::uint8_t* const winner = d.bytes(i.outputs, 4);
    float* const dx = d.zeros(i.elements);
    return {max_pool_backward_traffic(i.e),
            [=] { max_pool_backward(dy, winner, dx, i.e, stream); }};
  });
  list.family("relu_pool");
  list.add("relu_max_pool_forward", Domain::images,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const Images i(s);
             const float* const x = d.random(i.elements);
             float* const y = d.zeros(i.outputs);
             std::uint8_t* const winner = d.zero_bytes(i.outputs);
             return {relu_max_pool_forward_traffic(i.e, true),
                     [=] { relu_max_pool_forward(x, y, winner, i.e, stream); }};
           });
  list.add("relu_max_pool_backward", Domain::images,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const Images i(s);
             const float *const dy = d.random(i.outputs), *const y = d.random(i.outputs);
             const std::uint8_t* const winner = d.bytes(i.outputs, 4);
             float* const dx = d.zeros(i.elements);
             return {relu_max_pool_backward_traffic(i.e),
                     [=] { relu_max_pool_backward(dy, y, winner, dx, i.e, stream); }};
           });
}

/// Values that count in every bin, below, above and as NaN, as the family's formula has it.
PreparedKernel histogram_of(KernelData& d, std::int64_t n, std::int64_t bins, Stream stream) {
  PROTOLITH_CHECK_USAGE(n >= bins + 3,
                        "--shape {}x{}: VALUES must be at least BINS + 3, so that no count is 0", n,
                        bins);
  std::vector<float> places(static_cast<std::size_t>(bins) + 1), all(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < places.size(); ++i) places[i] = static_cast<float>(i);
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto bin = static_cast<std::int64_t>(i) % (bins + 3);
    all[i] =
        bin == bins + 2 ? std::numeric_limits<float>::quiet_NaN() : static_cast<float>(bin) - 0.5F;
  }
  const float *const values = d.values(all), *const edges = d.values(places);
  std::int32_t* const counts = d.indices(bins + 3, 1);
  return {histogram_traffic(n, bins),
          [=] { histogram(values, n, edges, bins, false, counts, stream); }};
}

PreparedKernel episode_of(KernelData& d, Sizes s, Stream stream) {
  const std::int64_t n = s[0], h = s[1], w = s[2], c = s[3];
  const std::uint8_t* const images = d.bytes(n * h * w * c, 251);
  // Images that are not square cannot be turned by one quarter.
  const std::int32_t *const indices = d.indices(n, n), *const turns = d.indices(n, h == w ? 4 : 1);
  const float *const scale = d.random(c), *const shift = d.random(c);
  float* const out = d.zeros(n * h * w * c);
  return {episode_gather_traffic(n, h, w, c), [=] {
            episode_gather(images, n, indices, turns, n, h, w, c, scale, shift, out, stream);
          }};
}

void add_data(KernelList& list, Stream stream) {
  list.family("episode_gather");
  list.add("episode_gather", Domain::batch,
           [stream](KernelData& d, Sizes s) { return episode_of(d, s, stream); });
  list.family("gather_rows");
  list.add("gather_rows", Domain::table, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t n = s[0], k = s[1];
    const float* const table = d.random(n * k);
    const std::int32_t* const indices = d.indices(n, n);
    float* const out = d.zeros(n * k);
    return {gather_rows_traffic(k, n), [=] { gather_rows(table, n, k, indices, n, out, stream); }};
  });
  list.family("rows");
  list.add("place_rows", Domain::placed, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t count = s[0], all = s[1];
    PROTOLITH_CHECK_USAGE(count <= all, "--shape {}x{}: SOURCE must be TARGET or less", count, all);
    const float* const source = d.random(count);
    float* const target = d.zeros(all);
    return {place_rows_traffic(count, all),
            [=] { place_rows(source, count, target, all - count, all, stream); }};
  });
  list.family("histogram");
  list.add("histogram", Domain::histogram,
           [stream](KernelData& d, Sizes s) { return histogram_of(d, s[0], s[1], stream); });
}

void add_loss(KernelList& list, Stream stream) {
  list.family("lsed_softmax");
  list.add("lsed_softmax", Domain::pairs, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const LsedSoftmax arguments{.distances = d.random(s[0] * s[1], 0.0F, 8.0F),
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
    return {lsed_softmax_traffic(arguments), [=] { lsed_softmax(arguments, stream); }};
  });
  list.family("segment_mean");
  list.add("segment_mean_forward", Domain::classes,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t n = s[0], length = s[1], k = s[2];
             const float* const x = d.random(n * length * k);
             float* const mean = d.zeros(n * k);
             return {segment_mean_forward_traffic(n, length, k),
                     [=] { segment_mean_forward(x, mean, n, length, k, stream); }};
           });
  list.add("segment_mean_backward", Domain::classes,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t n = s[0], length = s[1], k = s[2];
             const float* const dmean = d.random(n * k);
             float* const dx = d.zeros(n * length * k);
             return {segment_mean_backward_traffic(n, length, k),
                     [=] { segment_mean_backward(dmean, dx, n, length, k, stream); }};
           });
}

void add_distances(KernelList& list, Stream stream) {
  list.family("squared_distance");
  list.add("both_squared_norms", Domain::sides, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t m = s[0], n = s[1], k = s[2];
    const float *const q = d.random(m * k), *const c = d.random(n * k);
    float* const norms = d.zeros(m + n);
    return {both_squared_norms_traffic(m, n, k),
            [=] { both_squared_norms(q, m, c, n, k, norms, stream); }};
  });
  list.add("distance_epilogue", Domain::pairs, [stream](KernelData& d, Sizes s) -> PreparedKernel {
    const std::int64_t m = s[0], n = s[1];
    const float *const queries = d.positive(m), *const prototypes = d.positive(n);
    float* const distances = d.random(m * n);
    return {distance_epilogue_traffic(m, n),
            [=] { distance_epilogue(queries, prototypes, distances, m, n, stream); }};
  });
  list.add("squared_distance_direct", Domain::sides,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t m = s[0], n = s[1], k = s[2];
             const float *const q = d.random(m * k), *const c = d.random(n * k);
             float* const distances = d.zeros(m * n);
             return {squared_distance_direct_traffic(m, n, k),
                     [=] { squared_distance_direct(q, c, distances, m, n, k, stream); }};
           });
  list.add("row_and_column_sums", Domain::pairs,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t m = s[0], n = s[1];
             const float* const a = d.random(m * n);
             float *const rows = d.zeros(m), *const columns = d.zeros(n);
             return {row_and_column_sums_traffic(m, n),
                     [=] { row_and_column_sums(a, m, n, rows, columns, stream); }};
           });
  list.add("distance_backward_epilogues", Domain::sides,
           [stream](KernelData& d, Sizes s) -> PreparedKernel {
             const std::int64_t m = s[0], n = s[1], k = s[2];
             const float *const q = d.random(m * k), *const c = d.random(n * k);
             const float *const rows = d.random(m), *const columns = d.random(n);
             float *const dq = d.random(m * k), *const dc = d.random(n * k);
             return {distance_backward_epilogues_traffic(m, n, k), [=] {
                       distance_backward_epilogues(q, rows, dq, m, c, columns, dc, n, k, stream);
                     }};
           });
}

}  // namespace

std::vector<KernelEntry> kernel_entries(Stream stream) {
  KernelList list;
  for (const auto add : {add_update, add_elementwise, add_batch_norm, add_block_forward,
                         add_block_backward, add_pools, add_data, add_loss, add_distances}) {
    add(list, stream);
  }
  return list.take();
}

}  // namespace protolith::cuda
