#include "data/preparation.h"

#include <algorithm>

#include "data/drawing.h"
#include "data/image_codec.h"
#include "data/image_files.h"
#include "data/omniglot.h"
#include "data/resample.h"
#include "data/synthetic.h"
#include "engine/check.h"
#include "engine/file.h"

namespace protolith {
namespace {

void prepare_drawing(const DecodedImage& image, const std::string& name, std::uint8_t* pixels) {
  std::vector<std::uint8_t> stored(std::size_t{kOmniglotStoredSide} * kOmniglotStoredSide);
  fit_square(image, kOmniglotStoredSide, stored.data());
  separate_ink(stored, kOmniglotStoredSide, name);
  sample_drawing(stored.data(), pixels);
}

void prepare_glyph(const DecodedImage& image, const std::string& name, std::uint8_t* pixels) {
  fit_square(image, kSyntheticSide, pixels);
  stretch_ink({pixels, std::size_t{kSyntheticSide} * kSyntheticSide}, kSyntheticSide, name);
}

}  // namespace

Preparation preparation_of(const std::string& preprocessing, std::int64_t height,
                           std::int64_t width, std::int64_t channels) {
  PROTOLITH_CHECK_USAGE(height == width && (channels == 1 || channels == 3),
                        "the model takes {}x{} images of {} channels; files can be prepared for "
                        "models of square images, grey (1) or RGB (3)",
                        height, width, channels);
  Preparation result{ImageKind::picture, static_cast<std::int32_t>(height),
                     static_cast<std::int32_t>(channels), true};
  const auto takes = [&](std::int32_t side) { return height == side && channels == 1; };
  if (preprocessing == kOmniglotPreprocessing && takes(kOmniglotSide)) {
    result.kind = ImageKind::drawing;
  } else if (preprocessing == kSyntheticPreprocessing && takes(kSyntheticSide)) {
    result.kind = ImageKind::glyph;
  } else {
    result.known = preprocessing == picture_preprocessing(result.side, result.channels);
  }
  return result;
}

std::string describe(const Preparation& preparation) {
  const std::string size = fmt::format("{}x{}", preparation.side, preparation.side);
  switch (preparation.kind) {
    case ImageKind::picture:
      return fmt::format("{} {}, the centre square", size,
                         preparation.channels == 1 ? "grey" : "RGB");
    case ImageKind::drawing:
      return size + " drawings, ink or paper, as Omniglot's";
    case ImageKind::glyph:
      return size + " drawings with soft edges, as the synthetic glyphs";
  }
  throw Error("unknown kind of image");
}

void prepare_image(const Preparation& preparation, std::span<const std::byte> bytes,
                   const std::string& name, std::uint8_t* pixels) {
  const DecodedImage image = decode_image(bytes, preparation.channels, name);
  switch (preparation.kind) {
    case ImageKind::picture:
      return fit_square(image, preparation.side, pixels);
    case ImageKind::drawing:
      return prepare_drawing(image, name, pixels);
    case ImageKind::glyph:
      return prepare_glyph(image, name, pixels);
  }
}

void set_normalisation(const Preparation& preparation, Dataset& dataset) {
  if (preparation.kind == ImageKind::picture) {
    set_picture_normalisation(dataset, preparation.channels);
  } else {
    dataset.scale = {1.0F / 255.0F};
    dataset.shift = {0.0F};
  }
}

PreparedFiles prepare_files(const Preparation& preparation,
                            std::span<const std::filesystem::path> files) {
  PreparedFiles result;
  Dataset& dataset = result.dataset;
  dataset.kind = "files";
  set_normalisation(preparation, dataset);
  const std::int32_t side = preparation.side;
  const auto size = static_cast<std::size_t>(std::int64_t{side} * side * preparation.channels);
  dataset.images = Tensor::host(
      {static_cast<std::int64_t>(files.size()), side, side, preparation.channels}, DType::u8);
  std::uint8_t* const pixels = dataset.images.data<std::uint8_t>();
  result.errors.resize(files.size());
#pragma omp parallel for schedule(dynamic, 1)
  for (std::size_t i = 0; i < files.size(); ++i) {
    std::uint8_t* const target = pixels + i * size;
    try {
      prepare_image(preparation, read_file(files[i], kMaxImageBytes), files[i].string(), target);
    } catch (const std::exception& error) {  // must not leave a parallel region
      result.errors[i] = error.what();
      std::fill(target, target + size, std::uint8_t{0});
    }
  }
  return result;
}

}  // namespace protolith
