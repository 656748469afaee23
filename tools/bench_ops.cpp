#include "tools/bench_ops.h"

#include <algorithm>
#include <functional>

#include "engine/op_cost.h"
#include "engine/random.h"

namespace protolith {
namespace {

/// Times operations and collects what they took.
class OpBench {
 public:
  OpBench(Backend& backend, const std::string& filter, int warm, int repeats)
      : backend_(backend), filter_(filter), warm_(warm), repeats_(repeats) {}

  /// Whether any of the operations is asked for, so that its tensors are worth making.
  bool wants(std::initializer_list<const char*> names) const {
    return std::any_of(names.begin(), names.end(), [&](const std::string name) {
      return name.find(filter_) != std::string::npos;
    });
  }

  /// `call` leaves only step memory behind.
  void add(const std::string& name, const Shape& shape, const OpCost& cost,
           const std::function<void()>& call) {
    if (!wants({name.c_str()})) return;
    const Timing timing = time_calls(warm_, repeats_, [&](std::uint64_t) {
      call();
      // A device works on after the call has returned; reading anything back waits for it.
      if (backend_.device().type != DeviceType::cpu) backend_.read_scalar(waited_for_);
      backend_.end_step();
    });
    timings_.push_back({name, shape, timing, cost.flops * 1e-9, cost.bytes * 1e-6});
  }

  /// Persistent, uniform in [-1, 1).
  Tensor random(const Shape& shape) {
    Tensor host = Tensor::host(shape);
    Random numbers(0, Purpose::test, 0, ++sequence_);
    for (float& value : host.host_span<float>()) value = numbers.uniform(-1.0F, 1.0F);
    return backend_.to_device(host);
  }
  Tensor constant(const Shape& shape, float value) {
    Tensor tensor = backend_.persistent(shape);
    backend_.fill(tensor, value);
    return tensor;
  }
  /// i32, 0 .. bound - 1 over and over.
  Tensor indices(std::int64_t count, std::int64_t bound) {
    Tensor host = Tensor::host({count}, DType::i32);
    std::int64_t next = 0;
    for (std::int32_t& value : host.host_span<std::int32_t>()) {
      value = static_cast<std::int32_t>(next++ % bound);
    }
    return backend_.to_device(host);
  }

  std::vector<OpTiming> timings_;

 private:
  Backend& backend_;
  Tensor waited_for_ = backend_.persistent({1});
  std::string filter_;
  int warm_, repeats_;
  std::uint64_t sequence_ = 0;
};

void add_convolutions(OpBench& bench, Backend& b, const BlockShape& s, std::int64_t images,
                      bool first) {
  if (!bench.wants({"convolution", "convolution_backward_data", "convolution_backward_weight"})) {
    return;
  }
  const Tensor x = bench.random({images, s.side, s.side, s.channels});
  const Tensor w = bench.random({s.filters, 3, 3, s.channels});
  const Tensor y = bench.random({images, s.side, s.side, s.filters});
  const OpCost cost = convolution_cost(x.shape(), w.shape(), y.shape());
  bench.add("convolution", x.shape(), cost, [&] { b.convolution(x, w, {}); });
  if (!first) {
    bench.add("convolution_backward_data", x.shape(), cost,
              [&] { b.convolution_backward_data(y, w, x.shape(), {}); });
  }
  bench.add("convolution_backward_weight", x.shape(), cost,
            [&] { b.convolution_backward_weight(x, y, w.shape(), {}); });
}

void add_normalization(OpBench& bench, Backend& b, const BlockShape& s, std::int64_t images) {
  if (!bench.wants({"batch_statistics", "batch_norm_relu_pool", "batch_norm_relu_pool_backward"})) {
    return;
  }
  const Tensor x = bench.random({images, s.side, s.side, s.filters});
  const Tensor gamma = bench.constant({s.filters}, 0.5F);
  const Tensor beta = bench.constant({s.filters}, 0.0F);
  // Persistent copies of what the timed calls need: their own results end with each step.
  const BatchStatistics step = b.batch_statistics(x, 1e-5F);
  const auto keep = [&](const Tensor& tensor) {
    Tensor copy = b.persistent(tensor.shape(), tensor.dtype());
    b.copy(tensor, copy);
    return copy;
  };
  const BatchStatistics statistics{keep(step.mean), keep(step.variance), keep(step.inv_std)};
  const BatchNormReluPoolResult result = b.batch_norm_relu_pool(x, gamma, beta, statistics, s.pool);
  const BatchNormReluPoolResult forward{keep(result.y), s.pool ? keep(result.winner) : Tensor(),
                                        s.pool ? keep(result.selected) : Tensor()};
  b.end_step();
  const Tensor dy = bench.random(forward.y.shape());
  bench.add("batch_statistics", x.shape(), batch_statistics_cost(x.shape()),
            [&] { b.batch_statistics(x, 1e-5F); });
  bench.add("batch_norm_relu_pool", x.shape(), batch_norm_relu_pool_cost(x.shape(), dy.shape()),
            [&] { b.batch_norm_relu_pool(x, gamma, beta, statistics, s.pool); });
  // It overwrites x by its gradient, which has x's order of magnitude.
  bench.add("batch_norm_relu_pool_backward", x.shape(),
            batch_norm_relu_pool_backward_cost(x.shape(), dy.shape()),
            [&] { b.batch_norm_relu_pool_backward(x, forward, dy, gamma, statistics); });
}

void add_block(OpBench& bench, Backend& b, const BlockShape& s, std::int64_t images, bool first) {
  if (!bench.wants({"conv_block_forward", "conv_block_forward_backward", "conv_block_inference"})) {
    return;
  }
  const Tensor x = bench.random({images, s.side, s.side, s.channels});
  const ConvBlockParameters parameters{.weight = bench.random({s.filters, 3, 3, s.channels}),
                                       .gamma = bench.constant({s.filters}, 0.5F),
                                       .beta = bench.constant({s.filters}, 0.0F),
                                       .running_mean = bench.constant({s.filters}, 0.0F),
                                       .running_variance = bench.constant({s.filters}, 1.0F),
                                       .pool = s.pool};
  const std::int64_t out = s.pool ? s.side / 2 : s.side;
  const Tensor dy = bench.random({images, out, out, s.filters});
  const Shape convolved{images, s.side, s.side, s.filters};
  // Of the block as one: its filters are small beside its images.
  const OpCost cost{convolution_cost(x.shape(), parameters.weight.shape(), convolved).flops,
                    float_bytes({x.shape(), dy.shape()})};
  bench.add("conv_block_forward", x.shape(), cost, [&] { b.conv_block_forward(x, parameters); });
  bench.add("conv_block_forward_backward", x.shape(), (first ? 2 : 3) * cost, [&] {
    ConvBlockForward forward = b.conv_block_forward(x, parameters);
    b.conv_block_backward(std::move(forward.context), dy, !first);
  });
  const auto prepared = b.prepare_conv_block(parameters);
  bench.add("conv_block_inference", x.shape(), cost, [&] { b.conv_block_inference(x, *prepared); });
}

void add_loss(OpBench& bench, Backend& b, const EpisodeShape& episode, std::int64_t features) {
  const std::int64_t queries = std::int64_t{episode.way} * episode.query;
  const Tensor q = bench.random({queries, features});
  const Tensor support = bench.random({std::int64_t{episode.way} * episode.shot, features});
  const Tensor c = bench.random({episode.way, features});
  const Tensor labels = bench.indices(queries, episode.way);
  const Tensor d = bench.random({queries, episode.way});
  bench.add("segment_mean", support.shape(), segment_mean_cost(support.shape(), c.shape()),
            [&] { b.segment_mean(support, episode.shot); });
  bench.add("squared_distances_gemm", q.shape(),
            squared_distances_cost(q.shape(), c.shape(), false),
            [&] { b.squared_distances(q, c, DistanceMethod::gemm); });
  bench.add("squared_distances_direct", q.shape(),
            squared_distances_cost(q.shape(), c.shape(), true),
            [&] { b.squared_distances(q, c, DistanceMethod::direct); });
  bench.add("squared_distances_backward", q.shape(),
            {2 * squared_distances_cost(q.shape(), c.shape(), false).flops,
             2 * float_bytes({q.shape(), c.shape()}) + float_bytes({d.shape()})},
            [&] { b.squared_distances_backward(q, c, d); });
  bench.add("leaky_softmax_loss", d.shape(), leaky_softmax_loss_cost(d.shape(), true), [&] {
    b.leaky_softmax_loss(d, labels, {0.0F, 0.01F}, true);
  });
  Tensor edges = Tensor::host({61});
  for (std::size_t i = 0; i < 61; ++i) {
    edges.host_span<float>()[i] = static_cast<float>(i) / 60.0F;
  }
  const Tensor device_edges = b.to_device(edges);
  bench.add("histogram", d.shape(), pass_cost(0, {d.shape()}),
            [&] { b.histogram(d, device_edges, true); });
}

void add_update_and_gather(OpBench& bench, Backend& b, const Workload& workload,
                           std::int64_t images, std::int64_t weights) {
  const Tensor p = bench.random({weights}), g = bench.random({weights});
  const Tensor m = b.persistent({weights}), v = b.persistent({weights});
  std::int64_t step = 0;
  bench.add("adam_step", p.shape(), adam_cost(p.shape()),
            [&] { b.adam_step(p, g, m, v, {}, ++step); });
  const Dataset dataset = random_images(workload);
  const Tensor pixels = b.to_device(dataset.images);
  const Tensor index = bench.indices(images, pixels.shape()[0]), turns = bench.indices(images, 4);
  const Tensor scale = bench.constant({workload.channels}, 1.0F);
  const Tensor shift = bench.constant({workload.channels}, 0.0F);
  const Shape batch{images, workload.side, workload.side, workload.channels};
  bench.add("episode_gather", batch, episode_gather_cost(batch),
            [&] { b.episode_gather(pixels, index, turns, scale, shift); });
}

}  // namespace

std::vector<OpTiming> time_ops(Backend& backend, const Workload& workload,
                               const std::string& filter, int warm, int repeats) {
  OpBench bench(backend, filter, warm, repeats);
  const EpisodeShape& episode = workload.training;
  const std::int64_t images = std::int64_t{episode.way} * (episode.shot + episode.query);
  const std::vector<BlockShape> blocks = blocks_of(workload);
  std::int64_t weights = 0;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    add_convolutions(bench, backend, blocks[i], images, i == 0);
    add_normalization(bench, backend, blocks[i], images);
    add_block(bench, backend, blocks[i], images, i == 0);
    weights += blocks[i].filters * (9 * blocks[i].channels + 2);
  }
  const BlockShape& last = blocks.back();
  const std::int64_t side = last.pool ? last.side / 2 : last.side;
  add_loss(bench, backend, episode, side * side * last.filters);
  add_update_and_gather(bench, backend, workload, images, weights);
  return std::move(bench.timings_);
}

}  // namespace protolith
