// What batch norm's backward passes share, with and without a fused ReLU and pool: the two sums per
// channel, and the data gradient from them.
#pragma once

#include <cstdint>

#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/row_tiles.cuh"
#include "kernels/cuda/stream.h"

namespace protolith::cuda {

/// A tile's sums of g and g * (x - mean), with gradient(i) the pack of g from element i on, to
/// partial [tiles.down, 2, channels].
template <int kWidth, class Gradient>
__device__ void sum_gradients(const RowTiles& tiles, const float* x, const float* mean,
                              float* partial, const Gradient& gradient) {
  const Tile<kWidth> tile(tiles);
  Pack<kWidth> sums[2] = {};
  Pack<kWidth> centre{};
  if (tile.inside) centre = load_constants<kWidth>(mean + tile.channel);
  tile.template for_each_row<4>([&](std::int64_t row) {
    const std::int64_t i = row * tiles.channels + tile.channel;
    const Pack<kWidth> g = gradient(i);
    const Pack<kWidth> value = load<kWidth>(x + i);
    for (int k = 0; k < kWidth; ++k) {
      sums[0].v[k] += g.v[k];
      sums[1].v[k] = fmaf(g.v[k], value.v[k] - centre.v[k], sums[1].v[k]);
    }
  });
  sum_over_rows<kTileThreads>(sums);
  if (threadIdx.y == 0 && tile.inside) {
    float* const target = partial + 2 * blockIdx.x * tiles.channels + tile.channel;
    store(target, sums[0]);
    store(target + tiles.channels, sums[1]);
  }
}

/// The second launch: dbeta = sum g and dgamma = inv_std * sum g * (x - mean) from what
/// sum_gradients() left in `partial`.
void finish_parameter_gradients(const RowTiles& tiles, const float* partial, const float* inv_std,
                                float* dgamma, float* dbeta, Stream stream);

/// What the data gradient depends on besides x and g; all f32[channels].
struct DataGradientInputs {
  const float* gamma;
  const float* mean;
  const float* inv_std;
  const float* dgamma;
  const float* dbeta;
  double per_row;  ///< 1 / rows that the statistics were taken over
};

/// dx = factor * g + slope * (x - mean) + offset for a pack of channels: the formula of
/// batch_norm_backward_data() with its constants gathered, each rounded once from double.
template <int kWidth>
class DataGradient {
 public:
  __device__ DataGradient(const DataGradientInputs& in, std::int64_t channel) {
    for (int k = 0; k < kWidth; ++k) {
      const double deviation = in.inv_std[channel + k];
      const double factor = in.gamma[channel + k] * deviation;
      const double per_row = factor * in.per_row;
      mean_.v[k] = in.mean[channel + k];
      factor_.v[k] = static_cast<float>(factor);
      slope_.v[k] = static_cast<float>(-per_row * deviation * in.dgamma[channel + k]);
      offset_.v[k] = static_cast<float>(-per_row * in.dbeta[channel + k]);
    }
  }
  __device__ __forceinline__ Pack<kWidth> operator()(const Pack<kWidth>& x,
                                                     const Pack<kWidth>& g) const {
    return map(
        [](float value, float gradient, float mean, float factor, float slope, float offset) {
          return fmaf(gradient, factor, fmaf(value - mean, slope, offset));
        },
        x, g, mean_, factor_, slope_, offset_);
  }

 private:
  Pack<kWidth> mean_, factor_, slope_, offset_;
};

/// This thread's rows of dx [rows, channels], which may be x or one of gradient()'s operands.
template <int kWidth, class Gradient>
__device__ void write_data_gradient(const RowTiles& tiles, const float* x,
                                    const DataGradientInputs& inputs, float* dx,
                                    const Gradient& gradient) {
  const Tile<kWidth> tile(tiles);
  if (!tile.inside) return;
  const DataGradient<kWidth> result(inputs, tile.channel);
  tile.template for_each_row<1>([&](std::int64_t row) {
    const std::int64_t i = row * tiles.channels + tile.channel;
    store(dx + i, result(load<kWidth>(x + i), gradient(i)));
  });
}

}  // namespace protolith::cuda
