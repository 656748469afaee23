#include "tools/step_cost.h"

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/cuda/adam.h"
#include "kernels/cuda/batch_norm.h"
#include "kernels/cuda/batch_norm_relu_pool.h"
#include "kernels/cuda/elementwise.h"
#include "kernels/cuda/episode_gather.h"
#include "kernels/cuda/lsed_softmax.h"
#include "kernels/cuda/relu.h"
#include "kernels/cuda/relu_pool.h"
#include "kernels/cuda/rows.h"
#include "kernels/cuda/scores.h"
#include "kernels/cuda/segment_mean.h"
#include "kernels/cuda/squared_distance.h"
#include "models/protonet.h"

namespace protolith {
namespace {

using cuda::Traffic;

constexpr std::int64_t kFloat = 4;  // bytes

/// A convolution block: its output's extents before the pool, and its input's channels.
struct Block {
  std::string prefix;  ///< "block 1: "
  ImageExtents convolved;
  std::int64_t channels;
  bool first, pool;

  std::int64_t pixels() const { return convolved.images * convolved.height * convolved.width; }
  std::int64_t elements() const { return pixels() * convolved.channels; }
  std::int64_t weights() const { return 9 * channels * convolved.channels; }
};

std::vector<Block> blocks_of(const StepShape& shape, std::int64_t images) {
  std::vector<Block> blocks;
  const Conv4Options& e = shape.encoder;
  ImageExtents extents{images, e.height, e.width, e.filters};
  for (int i = 0; i < Conv4::kBlocks; ++i) {
    const bool pool = i + 1 < Conv4::kBlocks || e.last_pool;
    blocks.push_back(
        {fmt::format("block {}: ", i + 1), extents, i == 0 ? e.channels : e.filters, i == 0, pool});
    extents.height /= 2;
    extents.width /= 2;
  }
  return blocks;
}

/// c [m, n] = a [m, k] b [k, n], with any of them transposed.
Traffic product(std::int64_t m, std::int64_t n, std::int64_t k) {
  return {kFloat * (m * k + k * n), kFloat * m * n, 2 * m * n * k, 1};
}

class Step {
 public:
  Step(const StepShape& shape, CudaBatchNorm batch_norm)
      : shape_(shape),
        by_cudnn_(batch_norm == CudaBatchNorm::cudnn),
        layout_{shape.episode.way, shape.episode.shot, shape.episode.query},
        features_(feature_count(shape.encoder)),
        blocks_(blocks_of(shape, layout_.images())) {}

  std::vector<WorkCost> list() {
    inputs();
    for (const Block& block : blocks_) forward(block);
    loss();
    loss_gradient();
    std::for_each(blocks_.rbegin(), blocks_.rend(), [&](const Block& b) { backward(b); });
    update();
    return std::move(list_);
  }

 private:
  void add(std::string name, WorkBy by, const Traffic& traffic) {
    list_.push_back({std::move(name), by, traffic, {}});
  }
  void kernel(std::string name, const char* family, const Traffic& traffic) {
    list_.push_back({std::move(name), WorkBy::kernel, traffic, family});
  }

  void inputs() {
    const Conv4Options& e = shape_.encoder;
    // Learner::Inputs: images, turns, labels, the slot and two numbers of Adam's schedule.
    const std::int64_t numbers = 2 * layout_.images() + layout_.queries() + 3;
    add("inputs from the host", WorkBy::copy, {0, 4 * numbers, 0, 1});
    kernel("batch of images", "episode_gather",
           cuda::episode_gather_traffic(layout_.images(), e.height, e.width, e.channels));
  }

  /// Forward and both gradients have as many operations and the same three operands, one of which
  /// is the result.
  void convolution(const Block& block, const char* what, std::int64_t read, std::int64_t written) {
    add(block.prefix + what, WorkBy::convolution,
        {kFloat * read, kFloat * written, 2 * block.pixels() * block.weights(), 1});
  }

  void forward(const Block& block) {
    const ImageExtents& e = block.convolved;
    const std::int64_t inputs = block.pixels() * block.channels;
    convolution(block, "convolution", inputs + block.weights(), block.elements());
    if (by_cudnn_) {
      const std::int64_t images = kFloat * block.elements(), channel = kFloat * e.channels;
      // Gamma, beta and the old running values; mean, inverse deviation and the new ones.
      add(block.prefix + "batch norm", WorkBy::batch_norm,
          {2 * images + 4 * channel, images + 4 * channel, 6 * block.elements(), 1});
      add(block.prefix + "running statistics", WorkBy::copy, {2 * channel, 2 * channel, 0, 2});
      if (block.pool) {
        kernel(block.prefix + "ReLU, pool", "relu_pool",
               cuda::relu_max_pool_forward_traffic(e, true));
      } else {
        kernel(block.prefix + "ReLU", "relu", cuda::relu_forward_traffic(block.elements()));
      }
      return;
    }
    kernel(block.prefix + "batch statistics", "batch_norm",
           cuda::batch_norm_statistics_traffic(block.pixels(), e.channels));
    if (block.pool) {
      kernel(block.prefix + "batch norm, ReLU, pool", "batch_norm_relu_pool",
             cuda::affine_relu_pool_traffic(e, true));
    } else {
      kernel(block.prefix + "batch norm, ReLU", "batch_norm_relu_pool",
             cuda::affine_relu_traffic(e));
    }
  }

  void backward(const Block& block) {
    if (by_cudnn_) {
      backward_by_cudnn(block);
    } else {
      backward_fused(block);
    }
    const std::int64_t inputs = block.pixels() * block.channels;
    convolution(block, "weight gradient", inputs + block.elements(), block.weights());
    if (!block.first) {
      convolution(block, "data gradient", block.elements() + block.weights(), inputs);
    }
  }

  void backward_by_cudnn(const Block& block) {
    const ImageExtents& e = block.convolved;
    if (block.pool) {
      kernel(block.prefix + "ReLU, pool gradient", "relu_pool",
             cuda::relu_max_pool_backward_traffic(e));
    } else {
      kernel(block.prefix + "ReLU gradient", "relu", cuda::relu_backward_traffic(block.elements()));
    }
    const std::int64_t images = kFloat * block.elements(), channel = kFloat * e.channels;
    add(block.prefix + "batch norm gradient", WorkBy::batch_norm,
        {4 * images + 3 * channel, images + 2 * channel, 9 * block.elements(), 1});
  }

  void backward_fused(const Block& block) {
    const ImageExtents& e = block.convolved;
    kernel(block.prefix + "gradient sums", "batch_norm_relu_pool",
           block.pool ? cuda::pool_relu_batch_norm_backward_reduce_traffic(e)
                      : cuda::relu_batch_norm_backward_reduce_traffic(e));
    kernel(block.prefix + "batch norm gradient", "batch_norm_relu_pool",
           block.pool ? cuda::pool_relu_batch_norm_backward_data_traffic(e)
                      : cuda::relu_batch_norm_backward_data_traffic(e));
  }

  void loss() {
    const std::int64_t queries = layout_.queries(), way = layout_.way;
    kernel("prototypes", "segment_mean",
           cuda::segment_mean_forward_traffic(way, layout_.shot, features_));
    if (shape_.distance == DistanceMethod::direct) {
      kernel("distances", "squared_distance",
             cuda::squared_distance_direct_traffic(queries, way, features_));
    } else {
      kernel("squared norms", "squared_distance",
             cuda::both_squared_norms_traffic(queries, way, features_));
      add("queries by prototypes", WorkBy::product, product(queries, way, features_));
      kernel("distances", "squared_distance", cuda::distance_epilogue_traffic(queries, way));
    }
    // Only which outputs there are counts, not where they lie.
    float place = 0;
    kernel("loss and its gradient", "lsed_softmax",
           cuda::lsed_softmax_traffic({.distances = nullptr,
                                       .labels = nullptr,
                                       .rows = queries,
                                       .classes = way,
                                       .threshold = 0,
                                       .slope = 1,
                                       .gradient_scale = 1,
                                       .loss = &place,
                                       .hit = &place,
                                       .gradient = &place,
                                       .leaky = nullptr,
                                       .leaky_gradient = nullptr}));
    kernel("mean loss", "elementwise", cuda::mean_traffic(queries));
    kernel("scores", "scores", cuda::record_scores_traffic(queries));
  }

  void loss_gradient() {
    const std::int64_t queries = layout_.queries(), way = layout_.way;
    const std::int64_t embeddings = layout_.images() * features_;
    kernel("gradients set to 0", "elementwise", cuda::fill_traffic(buffer_elements()));
    kernel("gradient of the mean loss", "elementwise", cuda::fill_traffic(1));
    kernel("gradient of the distances", "elementwise", cuda::scale_traffic(queries * way));
    kernel("its sums", "squared_distance", cuda::row_and_column_sums_traffic(queries, way));
    add("gradient by prototypes", WorkBy::product, product(queries, features_, way));
    add("gradient by queries", WorkBy::product, product(way, features_, queries));
    kernel("gradients of both sides", "squared_distance",
           cuda::distance_backward_epilogues_traffic(queries, way, features_));
    kernel("prototypes' gradient", "segment_mean",
           cuda::segment_mean_backward_traffic(way, layout_.shot, features_));
    kernel("supports among the embeddings", "rows",
           cuda::place_rows_traffic(layout_.supports() * features_, embeddings));
    kernel("queries among the embeddings", "rows",
           cuda::place_rows_traffic(queries * features_, embeddings));
    kernel("embeddings' gradient", "elementwise", cuda::add_traffic(embeddings));
  }

  void update() {
    kernel("parameters' gradients", "elementwise", cuda::accumulate_traffic(gradients()));
    kernel("Adam", "adam", cuda::adam_step_traffic(buffer_elements()));
  }

  /// A weight, gamma and beta of each block.
  std::vector<cuda::Accumulation> gradients() const {
    std::vector<cuda::Accumulation> list;
    for (const Block& block : blocks_) {
      const std::int64_t channels = block.convolved.channels;
      for (const std::int64_t count : {block.weights(), channels, channels}) {
        list.push_back({nullptr, nullptr, count});
      }
    }
    return list;
  }

  /// ParameterBuffer starts each tensor at a multiple of 16 elements.
  std::int64_t buffer_elements() const {
    std::int64_t total = 0;
    for (const cuda::Accumulation& tensor : gradients()) total += (tensor.count + 15) / 16 * 16;
    return total;
  }

  StepShape shape_;
  bool by_cudnn_;
  EpisodeLayout layout_;
  std::int64_t features_;
  std::vector<Block> blocks_;
  std::vector<WorkCost> list_;
};

}  // namespace

std::string_view to_string(WorkBy by) {
  switch (by) {
    case WorkBy::kernel:
      return "kernel";
    case WorkBy::product:
      return "cuBLAS";
    case WorkBy::copy:
      return "copy";
    default:
      return "cuDNN";
  }
}

std::vector<WorkCost> training_step_cost(const StepShape& shape, CudaBatchNorm batch_norm) {
  return Step(shape, batch_norm).list();
}

StepTotals totals_of(std::span<const WorkCost> step) {
  StepTotals totals{.traffic = {0, 0, 0, 0}};
  for (const WorkCost& work : step) {
    totals.traffic = totals.traffic + work.traffic;
    std::int64_t& count = work.by == WorkBy::kernel    ? totals.kernels
                          : work.by == WorkBy::product ? totals.products
                          : work.by == WorkBy::copy    ? totals.copies
                                                       : totals.dnn_calls;
    count += work.traffic.launches;
  }
  return totals;
}

std::span<const DeviceRates> device_rates() {
  static const std::array<DeviceRates, 4> all{
      {{"H100 SXM 80 GB", 3.35e12, 67e12, 494e12, true, "NVIDIA H100 Tensor Core GPU datasheet"},
       {"A100 SXM 80 GB", 2.039e12, 19.5e12, 156e12, true, "NVIDIA A100 Tensor Core GPU datasheet"},
       {"A100 40 GB", 1.555e12, 19.5e12, 156e12, true, "NVIDIA A100 Tensor Core GPU datasheet"},
       {"T4", 0.32e12, 8.1e12, 0, false, "NVIDIA T4 Tensor Core GPU datasheet"}}};
  return all;
}

double floor_seconds(const WorkCost& work, const DeviceRates& device, bool tf32) {
  const bool tensor_cores = tf32 && work.by == WorkBy::convolution && device.has_tf32();
  const auto bytes = static_cast<double>(work.traffic.read + work.traffic.written);
  const auto flops = static_cast<double>(work.traffic.flops);
  return std::max(bytes / device.bandwidth, flops / (tensor_cores ? device.tf32 : device.fp32));
}

double floor_seconds(std::span<const WorkCost> step, const DeviceRates& device, bool tf32) {
  double total = 0;
  for (const WorkCost& work : step) total += floor_seconds(work, device, tf32);
  return total;
}

}  // namespace protolith
