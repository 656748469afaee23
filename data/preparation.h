#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "data/image_set.h"

namespace protolith {

/// What a model's images show, which decides how a file becomes one of them.
enum class ImageKind : std::uint8_t {
  picture,  ///< folder:PATH and miniImageNet: fit_square, nothing else
  drawing,  ///< Omniglot: ink or paper, as stored there, then sampled
  glyph     ///< the synthetic glyphs: soft strokes, 255 on paper 0
};

/// How files become images of a model's input.
struct Preparation {
  ImageKind kind = ImageKind::picture;
  std::int32_t side = 0;      ///< pixels
  std::int32_t channels = 0;  ///< 1: grey, 3: RGB
  /// False: the model does not say how its images were prepared, and `kind` is a guess.
  bool known = false;
};

/// What a model takes whose training images were prepared as `preprocessing` (Dataset's) says.
/// Throws UsageError when its input is not square, or neither grey nor RGB.
Preparation preparation_of(const std::string& preprocessing, std::int64_t height,
                           std::int64_t width, std::int64_t channels);

/// "28x28 drawings, ink or paper, as Omniglot's": for messages.
std::string describe(const Preparation& preparation);

/// A PNG, JPEG or BMP as pixels [side, side, channels], in Dataset's units. `name` is what messages
/// call it. Throws Error naming it when it cannot be decoded, or shows no drawing where there has
/// to be one. Of a 105x105 PNG as Omniglot's, and of a 28x28 image of a synthetic glyph, the pixels
/// are those of the data set.
void prepare_image(const Preparation& preparation, std::span<const std::byte> bytes,
                   const std::string& name, std::uint8_t* pixels);

/// Sets scale and shift of a data set of such images.
void set_normalisation(const Preparation& preparation, Dataset& dataset);

/// Files as a data set without classes.
struct PreparedFiles {
  Dataset dataset;                  ///< images [files, side, side, channels], scale, shift
  std::vector<std::string> errors;  ///< by file: why it could not be read; "": it was
};

/// Prepares files on disk, in parallel. The pixels of one that cannot be read are 0.
PreparedFiles prepare_files(const Preparation& preparation,
                            std::span<const std::filesystem::path> files);

}  // namespace protolith
