// What classify and embed share: image files named on the command line, and their embeddings.
#pragma once

#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/preparation.h"
#include "tools/checkpoint.h"

namespace protolith {

/// Whether a folder's sub-folders are searched too, one level deep.
enum class SubFolders : std::uint8_t { skip, search };

/// The image files that `arguments` name, in their order: a file whatever its name, so that one
/// which is none gets its message; of a folder those named as images, in the order of the names,
/// hidden ones left out. `note` is told what is skipped and may be empty. Throws UsageError on a
/// folder without images.
std::vector<std::filesystem::path> list_images(const std::vector<std::string>& arguments,
                                               SubFolders sub_folders,
                                               const std::function<void(const std::string&)>& note);

/// How the model's input is made of files. Warns on stderr when the model does not say.
Preparation preparation_for(const CheckpointInfo& info, const std::string& model);

/// Embeddings of files, by file.
struct EmbeddedFiles {
  std::int64_t features = 0;
  std::vector<float> values;        ///< [files, features], features in height, width, channel
                                    ///< order; meaningless where there is an error
  std::vector<std::string> errors;  ///< by file: why it could not be read; "": it was

  std::span<const float> row(std::size_t file) const {
    const auto width = static_cast<std::size_t>(features);
    return std::span(values).subspan(file * width, width);
  }
  bool good(std::size_t file) const { return errors[file].empty(); }
};

/// Reads and embeds the files by running statistics, few of them in memory at once. Throws Error
/// when an embedding is not finite.
EmbeddedFiles embed_files(Backend& backend, Conv4& model, const Preparation& preparation,
                          std::span<const std::filesystem::path> files, bool quiet);

}  // namespace protolith
