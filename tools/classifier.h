#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tools/embedded_files.h"

namespace protolith {

/// A class by example.
struct SupportClass {
  std::string label;
  std::vector<std::filesystem::path> files;
  std::int64_t used = 0;  ///< those that could be read
};

/// A file that could not be read, and why.
struct UnreadableFile {
  std::string file;
  std::string error;
};

/// What became of a query image.
struct Classified {
  std::string file;
  std::string error;                  ///< why it was not classified; the rest is then empty
  std::vector<float> distances;       ///< [classes], squared Euclidean, to the prototypes
  std::vector<double> probabilities;  ///< [classes]
  std::size_t best = 0;               ///< the class of the nearest prototype
  std::size_t second = 0;             ///< that of the next
};

struct Classification {
  std::vector<SupportClass> classes;
  std::vector<UnreadableFile> skipped;  ///< support images
  std::vector<Classified> queries;
};

/// The classes of the folder `support`/LABEL/FILE. Throws Error when there is none, when it has
/// fewer than two classes, or one of them no images; `note` is told what is skipped and may be
/// empty.
std::vector<SupportClass> list_support(const std::filesystem::path& support,
                                       const std::function<void(const std::string&)>& note);

/// Embeds supports and queries; a query is compared with the class means by the model's metric. A
/// support image that cannot be read is left out and listed. Throws Error when a class has no
/// other.
Classification classify_files(Backend& backend, const Checkpoint& checkpoint,
                              const Preparation& preparation, std::vector<SupportClass> classes,
                              const std::vector<std::filesystem::path>& queries, bool quiet);

}  // namespace protolith
