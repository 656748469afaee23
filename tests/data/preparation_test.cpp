// Files become the pixels that a model knows, however they were drawn or photographed.
#include "data/preparation.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>

#include "data/drawing.h"
#include "data/image_files.h"
#include "data/mini_imagenet.h"
#include "data/synthetic.h"
#include "engine/check.h"
#include "tests/data/fixtures.h"

namespace protolith {
namespace {

using testing::contains;
using testing::error_of;

using Pixels = std::vector<std::uint8_t>;

Pixels prepared(const Preparation& preparation, const std::string& file) {
  Pixels pixels(
      static_cast<std::size_t>(preparation.side * preparation.side * preparation.channels));
  prepare_image(preparation, std::as_bytes(std::span(file.data(), file.size())), "x.png",
                pixels.data());
  return pixels;
}

/// A BMP of grey values.
template <class Grey>
std::string grey_file(int width, int height, Grey grey) {
  std::string rgb;
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) rgb += std::string(3, static_cast<char>(grey(x, y)));
  }
  return testing::bmp_file(width, height, rgb);
}

const Preparation kDrawing = preparation_of(kOmniglotPreprocessing, 28, 28, 1);
const Preparation kGlyph = preparation_of(kSyntheticPreprocessing, 28, 28, 1);

/// A hook of strokes 12 wide in a square of 210.
bool hook(int x, int y) {
  return (x >= 60 && x < 72 && y >= 40 && y < 170) || (y >= 158 && y < 170 && x >= 60 && x < 150);
}

}  // namespace

TEST_CASE("the preparation follows from what the data sets say of their images") {
  CHECK(kDrawing.kind == ImageKind::drawing);
  CHECK(kDrawing.known);
  CHECK(kGlyph.kind == ImageKind::glyph);
  CHECK(kGlyph.known);
  CHECK(make_synthetic(1).preprocessing == kSyntheticPreprocessing);
  const Preparation colour = preparation_of(picture_preprocessing(84, 3), 84, 84, 3);
  CHECK(colour.kind == ImageKind::picture);
  CHECK(colour.side == 84);
  CHECK(colour.channels == 3);
  CHECK(colour.known);
  CHECK(preparation_of("84x84 RGB, version 1", 84, 84, 3).known);  // as older models say it
  CHECK(preparation_of("28x28 grey, version 1", 28, 28, 1).known);
  for (const char* other : {"", "84x84 RGB, version 2", "28x28 grey, version 1"}) {
    CAPTURE(other);
    CHECK_FALSE(preparation_of(other, 84, 84, 3).known);
    CHECK(preparation_of(other, 84, 84, 3).kind == ImageKind::picture);
  }
  CHECK_FALSE(preparation_of(kOmniglotPreprocessing, 84, 84, 3).known);
  CHECK(contains(error_of([] { preparation_of("", 28, 20, 1); }), "28x20"));
  CHECK(contains(error_of([] { preparation_of("", 28, 28, 4); }), "4 channels"));
}

TEST_CASE("a drawing of Omniglot's becomes the pixels of the data set") {
  const testing::TemporaryFolder folder;
  testing::write_folder(folder.path(), testing::mini_background());
  testing::write_folder(folder.path(), testing::mini_evaluation());
  const Dataset dataset = read_omniglot(folder.path(), testing::kMiniRanges).dataset;
  const std::vector<std::filesystem::path> files = {folder / testing::mini_path("Alpha", 1, 1),
                                                    folder / testing::mini_path("Alpha", 1, 2),
                                                    folder / testing::mini_path("Alpha", 2, 1)};
  const PreparedFiles read = prepare_files(kDrawing, files);
  CHECK(read.errors == std::vector<std::string>(3));
  CHECK(read.dataset.images.shape() == Shape{3, 28, 28, 1});
  CHECK(read.dataset.scale == dataset.scale);
  CHECK(read.dataset.shift == dataset.shift);
  const auto* ours = read.dataset.images.data<std::uint8_t>();
  const auto* theirs = dataset.images.data<std::uint8_t>();
  constexpr std::ptrdiff_t kSize = 28 * 28;
  CHECK(std::equal(ours, ours + 2 * kSize, theirs));
  CHECK(std::equal(ours + 2 * kSize, ours + 3 * kSize, theirs + 20 * kSize));
}

TEST_CASE("ink is told from paper on a photograph, in uneven light, light on dark too") {
  const Pixels plain =
      prepared(kDrawing, grey_file(210, 210, [](int x, int y) { return hook(x, y) ? 0 : 255; }));
  const auto ink = std::count(plain.begin(), plain.end(), std::uint8_t{255});
  CHECK(ink + std::count(plain.begin(), plain.end(), std::uint8_t{0}) == 28 * 28);
  CHECK(ink > 25);
  CHECK(ink < 90);
  CHECK(plain[12 * 28 + 8] == 255);  // of the long stroke
  CHECK(plain[0] == 0);
  const auto photo = [](int x, int y) {
    return (hook(x, y) ? 60 : 190) + (x + y) / 12 + (x * 7 + y * 13) % 5;
  };
  CHECK(prepared(kDrawing, grey_file(210, 210, photo)) == plain);
  CHECK(prepared(kDrawing, grey_file(210, 210, [&](int x, int y) { return 255 - photo(x, y); })) ==
        plain);
  // Grey paper; a pencil beside a blot (between the samples) so dark that half way to it is paper.
  CHECK(prepared(kDrawing,
                 grey_file(210, 210, [](int x, int y) { return hook(x, y) ? 20 : 100; })) == plain);
  CHECK(prepared(kDrawing, grey_file(210, 210, [](int x, int y) {
                   return x > 13 && x < 17 && y > 13 && y < 17 ? 0 : hook(x, y) ? 170 : 230;
                 })) == plain);
  // Upright format: the square in the middle is the same.
  CHECK(prepared(kDrawing, grey_file(210, 310, [&](int x, int y) {
                   return y >= 50 && y < 260 ? photo(x, y - 50) : 200;
                 })) == plain);

  const Pixels soft = prepared(kGlyph, grey_file(210, 210, photo));
  CHECK(soft[12 * 28 + 8] > 180);
  CHECK(soft[14 * 28 + 20] < 40);
}

TEST_CASE("a synthetic glyph's file becomes the glyph, ink light or dark") {
  const Dataset glyphs = make_synthetic(1);
  const std::uint8_t* pixels = glyphs.images.data<std::uint8_t>();
  int compared = 0;
  for (int i = 0; i < 40; ++i, pixels += 28 * 28) {
    const Pixels glyph(pixels, pixels + 28 * 28);
    if (*std::max_element(glyph.begin(), glyph.end()) < 255) continue;
    ++compared;
    const auto at = [&](int x, int y) { return glyph[static_cast<std::size_t>(y * 28 + x)]; };
    CHECK(prepared(kGlyph, grey_file(28, 28, at)) == glyph);
    CHECK(prepared(kGlyph, grey_file(28, 28, [&](int x, int y) { return 255 - at(x, y); })) ==
          glyph);
  }
  CHECK(compared >= 10);
}

TEST_CASE("pictures are fitted and nothing else") {
  const Preparation grey = preparation_of(picture_preprocessing(8, 1), 8, 8, 1);
  CHECK(prepared(grey, grey_file(8, 8, [](int x, int y) { return 20 * x + y; }))[8 + 3] == 61);
  CHECK(prepared(grey, grey_file(30, 20, [](int, int) { return 99; })) == Pixels(64, 99));
  const testing::TemporaryFolder folder;
  testing::spill(folder / "a.bmp", grey_file(9, 9, [](int, int) { return 50; }));
  const std::vector<std::filesystem::path> files = {folder / "a.bmp"};
  const PreparedFiles read = prepare_files(preparation_of("", 8, 8, 3), files);
  REQUIRE(read.dataset.scale.size() == 3);
  CHECK(read.dataset.scale[0] == doctest::Approx(1 / (255 * 0.229)));
  CHECK(read.dataset.shift[2] == doctest::Approx(-0.406 / 0.225));
}

TEST_CASE("what shows no drawing, or cannot be read, is an error of that file alone") {
  for (const Preparation& preparation : {kDrawing, kGlyph}) {
    const auto message = error_of([&] {
      prepared(preparation, grey_file(50, 50, [](int x, int y) { return 200 + (x * y) % 7; }));
    });
    CHECK(contains(message, "x.png: no drawing stands out"));
    CHECK(error_of([&] { prepared(preparation, grey_file(5, 5, [](int, int) { return 0; })); }) !=
          "");
  }
  const testing::TemporaryFolder folder;
  testing::spill(folder / "good.bmp",
                 grey_file(28, 28, [](int x, int) { return x == 9 ? 0 : 255; }));
  testing::spill(folder / "bad.png", "text");
  const std::vector<std::filesystem::path> files = {folder / "bad.png", folder / "good.bmp",
                                                    folder / "none.png", folder.path()};
  const PreparedFiles read = prepare_files(kGlyph, files);
  CHECK(contains(read.errors[0], "bad.png: not a PNG, JPEG or BMP"));
  CHECK(read.errors[1].empty());
  CHECK(contains(read.errors[2], "none.png"));
  CHECK(contains(read.errors[3], "is a folder"));
  const auto* pixels = read.dataset.images.data<std::uint8_t>();
  CHECK(pixels[28 * 28 + 9] == 255);
  CHECK(std::count(pixels, pixels + 28 * 28, 0) == 28 * 28);
}

}  // namespace protolith
