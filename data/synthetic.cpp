#include "data/synthetic.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <vector>

#include "engine/check.h"
#include "engine/random.h"

// Only the four operations and square roots are used, which every machine rounds alike: no sines,
// no logarithms. Glyphs live in the unit square, y down.

namespace protolith {
namespace {

struct Point {
  float x = 0.0F;
  float y = 0.0F;
};

/// The points that one stroke of the pen goes through.
using Stroke = std::vector<Point>;
using Glyph = std::vector<Stroke>;

/// Roughly normal with standard deviation `deviation`, never beyond 3.5 of them (a sum of four
/// uniforms).
float wobble(Random& random, float deviation) {
  const float sum = random.uniform() + random.uniform() + random.uniform() + random.uniform();
  return (sum - 2.0F) * 1.7320508F * deviation;
}

float distance(Point a, Point b) {
  return std::sqrt((a.x - b.x) * (a.x - b.x) + (a.y - b.y) * (a.y - b.y));
}

/// A point that keeps its distance from all earlier ones where it can, so that strokes stay apart.
Point fresh_point(Random& random, const Glyph& glyph) {
  constexpr float kApart = 0.28F;
  constexpr int kTries = 16;
  Point point;
  for (int i = 0; i < kTries; ++i) {
    point = {random.uniform(0.12F, 0.88F), random.uniform(0.12F, 0.88F)};
    float nearest = 1.0F;
    for (const Stroke& stroke : glyph) {
      for (const Point& other : stroke) nearest = std::min(nearest, distance(point, other));
    }
    if (nearest >= kApart) break;
  }
  return point;
}

/// Two or three strokes: a long one of three or four points, then shorter ones of two or three,
/// most of which begin on an earlier point, as in writing.
Glyph make_glyph(Random& random) {
  Glyph glyph(2 + random.below(2));
  for (std::size_t s = 0; s < glyph.size(); ++s) {
    Stroke& stroke = glyph[s];
    if (s > 0 && random.below(4) != 0) {
      const Stroke& earlier = glyph[random.below(static_cast<std::uint32_t>(s))];
      stroke.push_back(earlier[random.below(static_cast<std::uint32_t>(earlier.size()))]);
    }
    const std::size_t points = (s == 0 ? 3 : 2) + random.below(2);
    while (stroke.size() < points) stroke.push_back(fresh_point(random, glyph));
  }
  return glyph;
}

/// The same glyph by another hand: one slant, size and place for the whole, and each point off.
Glyph redraw(const Glyph& glyph, Random& random) {
  constexpr float kUnsteady = 0.03F;
  const float stretch_x = 1.0F + wobble(random, 0.1F);
  const float stretch_y = 1.0F + wobble(random, 0.1F);
  const float slant_x = wobble(random, 0.13F);
  const float slant_y = wobble(random, 0.1F);
  const Point move{wobble(random, 0.035F), wobble(random, 0.035F)};
  Glyph drawn = glyph;
  for (Stroke& stroke : drawn) {
    for (Point& point : stroke) {
      const float x = point.x - 0.5F + wobble(random, kUnsteady);
      const float y = point.y - 0.5F + wobble(random, kUnsteady);
      point = {0.5F + move.x + stretch_x * x + slant_x * y,
               0.5F + move.y + slant_y * x + stretch_y * y};
    }
  }
  return drawn;
}

/// Position t in [0, 1] between points b and c of a Catmull-Rom spline through a, b, c, d.
Point on_curve(Point a, Point b, Point c, Point d, float t) {
  const auto blend = [t](float p, float q, float r, float s) {
    return 0.5F * (2.0F * q + t * ((r - p) + t * ((2.0F * p - 5.0F * q + 4.0F * r - s) +
                                                  t * (3.0F * (q - r) + s - p))));
  };
  return {blend(a.x, b.x, c.x, d.x), blend(a.y, b.y, c.y, d.y)};
}

/// A sheet of kSyntheticSide^2 pixels that remembers the darkest ink on each.
class Sheet {
 public:
  explicit Sheet(std::uint8_t* pixels) : pixels_(pixels) {}

  /// A round nib of `radius` pixels at `at` (in the unit square), with a soft edge one pixel wide.
  void stamp(Point at, float radius) {
    constexpr float kSide = kSyntheticSide;
    const Point centre{at.x * kSide - 0.5F, at.y * kSide - 0.5F};
    const float reach = radius + 0.5F;
    for (std::int32_t y = first(centre.y - reach); y <= last(centre.y + reach); ++y) {
      for (std::int32_t x = first(centre.x - reach); x <= last(centre.x + reach); ++x) {
        const Point pixel{static_cast<float>(x), static_cast<float>(y)};
        const float ink = std::clamp(reach - distance(pixel, centre), 0.0F, 1.0F);
        std::uint8_t& value = pixels_[y * kSyntheticSide + x];
        value = std::max(value, static_cast<std::uint8_t>(ink * 255.0F + 0.5F));
      }
    }
  }

 private:
  static std::int32_t first(float position) {
    return static_cast<std::int32_t>(std::ceil(std::max(position, 0.0F)));
  }
  static std::int32_t last(float position) {
    constexpr float kEnd = kSyntheticSide - 1;
    return static_cast<std::int32_t>(std::floor(std::min(position, kEnd)));
  }
  std::uint8_t* pixels_;
};

void draw(const Glyph& glyph, float radius, std::uint8_t* pixels) {
  constexpr float kStep = 0.35F / kSyntheticSide;  // a third of a pixel between stamps
  Sheet sheet(pixels);
  for (const Stroke& stroke : glyph) {
    for (std::size_t i = 0; i + 1 < stroke.size(); ++i) {
      const Point b = stroke[i];
      const Point c = stroke[i + 1];
      const Point a = i > 0 ? stroke[i - 1] : b;
      const Point d = i + 2 < stroke.size() ? stroke[i + 2] : c;
      const auto steps = static_cast<std::int32_t>(distance(b, c) / kStep) + 1;
      for (std::int32_t k = 0; k <= steps; ++k) {
        const float t = static_cast<float>(k) / static_cast<float>(steps);
        sheet.stamp(on_curve(a, b, c, d, t), radius);
      }
    }
  }
}

/// All drawings of class number `index`. A class is one random stream, whatever its split.
void draw_class(std::uint64_t seed, std::uint64_t index, std::uint8_t* pixels) {
  Random random(seed, Purpose::synthetic, 0, index);
  const Glyph glyph = make_glyph(random);
  for (std::int32_t i = 0; i < kSyntheticDrawings; ++i) {
    const float radius = random.uniform(0.45F, 0.85F);
    draw(redraw(glyph, random), radius, pixels + i * kSyntheticSide * kSyntheticSide);
  }
}

}  // namespace

Dataset make_synthetic(std::uint64_t seed) {
  Dataset dataset;
  dataset.kind = "synthetic";
  dataset.source = fmt::format("seed {}", seed);
  dataset.preprocessing = kSyntheticPreprocessing;
  dataset.scale = {1.0F / 255.0F};
  dataset.shift = {0.0F};
  std::int32_t classes = 0;
  for (std::size_t split = 0; split < kSyntheticClasses.size(); ++split) {
    for (std::int32_t i = 0; i < kSyntheticClasses[split]; ++i, ++classes) {
      dataset.splits[split].push_back({fmt::format("glyph{:03}", classes),
                                       classes * kSyntheticDrawings, kSyntheticDrawings, 0});
    }
  }
  constexpr std::int64_t kClassPixels =
      std::int64_t{kSyntheticDrawings} * kSyntheticSide * kSyntheticSide;
  dataset.images = Tensor::host(
      {std::int64_t{classes} * kSyntheticDrawings, kSyntheticSide, kSyntheticSide, 1}, DType::u8);
  std::uint8_t* pixels = dataset.images.data<std::uint8_t>();
#pragma omp parallel for schedule(dynamic, 16)
  for (std::int32_t c = 0; c < classes; ++c) {
    draw_class(seed, static_cast<std::uint64_t>(c), pixels + c * kClassPixels);
  }
  dataset.content_hash = hash_bytes(pixels, dataset.images.bytes());
  return dataset;
}

Dataset open_synthetic(const std::string& seed, const DatasetOptions&) {
  std::uint64_t value = 1;
  const auto [end, error] = std::from_chars(seed.data(), seed.data() + seed.size(), value);
  PROTOLITH_CHECK_USAGE(
      seed.empty() || (error == std::errc() && end == seed.data() + seed.size()),
      "synthetic:{}: the seed must be a whole number from 0 to 18446744073709551615", seed);
  return make_synthetic(value);
}

}  // namespace protolith
