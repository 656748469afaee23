// 2x2 windows with stride 2 over NHWC images, on the device: where they lie, and who wins. The
// windows of a batch are the rows of RowTiles. The first maximum in row-major order wins; a NaN
// wins over every number. A winner's place, 2 * dy + dx in 0..3, is one byte in memory.
#pragma once

#include <cstdint>

#include "kernels/cuda/pack.cuh"
#include "kernels/cuda/row_tiles.cuh"
#include "kernels/image_extents.h"

namespace protolith::cuda {

/// The windows of a batch of images; extents in pixels and in windows.
struct Windows {
  std::int64_t images, height, width;
  std::int64_t down, across;

  std::int64_t count() const { return images * down * across; }
};

/// Those whose four pixels exist: the outputs of a pool.
inline Windows whole_windows(const ImageExtents& e) {
  return {e.images, e.height, e.width, e.height / 2, e.width / 2};
}
/// Those as well that an odd last row or column leaves with two pixels or one.
inline Windows all_windows(const ImageExtents& e) {
  return {e.images, e.height, e.width, (e.height + 1) / 2, (e.width + 1) / 2};
}

/// One window; `first` and `output` count pixels, of the images and of the pool's output.
struct Window {
  std::int64_t first, output;
  std::int64_t image_width;
  bool below, right;  ///< whether it has a second row and column

  __device__ bool whole() const { return below && right; }
  __device__ bool has(int place) const { return (place < 2 || below) && (place % 2 == 0 || right); }
  __device__ std::int64_t pixel(int place) const {
    return first + place / 2 * image_width + place % 2;
  }
};

__device__ __forceinline__ Window window_at(const Windows& w, std::int64_t index) {
  // Unsigned: a division of numbers that fit 32 bits then is one of 32 bits.
  const auto i = static_cast<std::uint64_t>(index);
  const auto across = static_cast<std::uint64_t>(w.across);
  const auto down = static_cast<std::uint64_t>(w.down);
  const std::uint64_t line = i / across;
  const auto image = static_cast<std::int64_t>(line / down);
  const std::int64_t row = static_cast<std::int64_t>(line) - image * w.down;
  const std::int64_t column = index - static_cast<std::int64_t>(line) * w.across;
  return {(image * w.height + 2 * row) * w.width + 2 * column,
          (image * (w.height / 2) + row) * (w.width / 2) + column, w.width, 2 * row + 1 < w.height,
          2 * column + 1 < w.width};
}

/// The winners' places of a pack of windows.
template <int kWidth>
struct Places {
  unsigned v[kWidth];
};

template <int kWidth>
__device__ __forceinline__ void store_places(std::uint8_t* target, const Places<kWidth>& places) {
  if constexpr (kWidth == 4) {
    *reinterpret_cast<std::uint32_t*>(target) =
        places.v[0] | places.v[1] << 8 | places.v[2] << 16 | places.v[3] << 24;
  } else {
    *target = static_cast<std::uint8_t>(places.v[0]);
  }
}

template <int kWidth>
__device__ __forceinline__ Places<kWidth> load_places(const std::uint8_t* source) {
  if constexpr (kWidth == 4) {
    const std::uint32_t all = *reinterpret_cast<const std::uint32_t*>(source);
    return {{all & 0xff, all >> 8 & 0xff, all >> 16 & 0xff, all >> 24}};
  } else {
    return {{*source}};
  }
}

/// Whether packs of four may be used, as far as the winners' bytes go (null is no obstacle).
inline bool aligned4(const std::uint8_t* winner) {
  return reinterpret_cast<std::uintptr_t>(winner) % 4 == 0;
}

/// g where the winner is `place`, else 0.
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> gradient_at(unsigned place, const Places<kWidth>& places,
                                                    const Pack<kWidth>& g) {
  Pack<kWidth> result;
  for (int k = 0; k < kWidth; ++k) result.v[k] = places.v[k] == place ? g.v[k] : 0.0F;
  return result;
}

/// What a pool writes, each of the shape [windows, channels].
struct PoolOutputs {
  float* y;
  std::uint8_t* winner;  ///< null: not kept
  float* selected;       ///< the x that won; null: not kept
};

/// This thread's outputs: y = the maximum of activation(x) over whole windows; activation() maps
/// a pack.
template <int kWidth, class Activation>
__device__ __forceinline__ void pool_forward(const RowTiles& tiles, const Tile<kWidth>& tile,
                                             const Windows& windows, const float* x,
                                             const PoolOutputs& out, const Activation& activation) {
  tile.template for_each_row<1>([&](std::int64_t row) {
    const Window window = window_at(windows, row);
    const auto value_at = [&](int place) {
      return load<kWidth>(x + window.pixel(place) * tiles.channels + tile.channel);
    };
    Pack<kWidth> selected = value_at(0);
    Pack<kWidth> best = activation(selected);
    Places<kWidth> places{};
    for (int place = 1; place < 4; ++place) {
      const Pack<kWidth> value = value_at(place);
      const Pack<kWidth> active = activation(value);
      for (int k = 0; k < kWidth; ++k) {
        if (active.v[k] > best.v[k] || isnan(active.v[k])) {
          best.v[k] = active.v[k];
          selected.v[k] = value.v[k];
          places.v[k] = static_cast<unsigned>(place);
        }
      }
    }
    const std::int64_t i = row * tiles.channels + tile.channel;
    store(out.y + i, best);
    if (out.winner != nullptr) store_places(out.winner + i, places);
    if (out.selected != nullptr) store(out.selected + i, selected);
  });
}

/// This thread's pixels of dx, those of all windows: gradient(i) (a pack of the pooled tensors from
/// element i on) at the winners, 0 elsewhere.
template <int kWidth, class Gradient>
__device__ __forceinline__ void pool_backward(const RowTiles& tiles, const Windows& windows,
                                              const std::uint8_t* winner, float* dx,
                                              const Gradient& gradient) {
  const Tile<kWidth> tile(tiles);
  tile.template for_each_row<1>([&](std::int64_t row) {
    const Window window = window_at(windows, row);
    Pack<kWidth> g{};
    Places<kWidth> places{};
    if (window.whole()) {
      const std::int64_t i = window.output * tiles.channels + tile.channel;
      g = gradient(i);
      places = load_places<kWidth>(winner + i);
    }
    for (int place = 0; place < 4; ++place) {
      if (!window.has(place)) continue;
      store(dx + window.pixel(place) * tiles.channels + tile.channel,
            gradient_at(static_cast<unsigned>(place), places, g));
    }
  });
}

}  // namespace protolith::cuda
