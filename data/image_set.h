#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/folder_options.h"
#include "engine/tensor.h"

namespace protolith {

/// The disjoint parts of a data set; `trainval` is train followed by val.
enum class Split : std::uint32_t { train = 0, val = 1, test = 2, trainval = 3 };

/// "train", "val", "test" or "trainval".
std::string to_string(Split split);
/// The inverse of to_string. Throws UsageError that lists the four names.
Split parse_split(const std::string& name);

/// Images [first, first + count) of the store, each shown turned counter-clockwise by `turns`
/// quarter turns (0..3).
struct ImageClass {
  std::string name;
  std::int32_t first = 0;
  std::int32_t count = 0;
  std::int32_t turns = 0;
  friend bool operator==(const ImageClass&, const ImageClass&) = default;
};

/// A whole data set in host memory: packed pixels, and which of them make up which class.
struct Dataset {
  std::string kind;           ///< "omniglot", "mini-imagenet", "folder", "synthetic"
  std::string source;         ///< where it came from: an absolute path, or the generator's seed
  std::string preprocessing;  ///< what was done to the images, with its version
  Tensor images;              ///< u8 [M,H,W,C] on the host; may be a read-only mapping: never write
  std::vector<float> scale;   ///< [C]: an input value is x = pixel * scale[c] + shift[c]
  std::vector<float> shift;   ///< [C]
  std::array<std::vector<ImageClass>, 3> splits;  ///< train, val, test
  std::uint64_t content_hash = 0;                 ///< hash_bytes() of the pixels
  bool from_cache = false;                        ///< mapped from the cache, not decoded just now

  /// The classes of a split, in an order that never changes. Empty where the source has none.
  std::vector<ImageClass> classes(Split split) const;
  /// The same for who cannot do without. Throws UsageError that names the source and the remedy
  /// when it has none.
  std::vector<ImageClass> required_classes(Split split) const;
};

/// How to open a data set.
struct DatasetOptions {
  bool use_cache = true;
  /// Empty: $PROTOLITH_CACHE, else $XDG_CACHE_HOME/protolith, else ~/.cache/protolith.
  std::string cache_folder = {};
  /// What the kind `folder` goes by; the others do not look at it.
  FolderOptions folder = {};
  /// Told of what is not fatal, such as a cache folder that cannot be written; may be empty.
  std::function<void(const std::string&)> warn = {};
};

/// A data set's specification "KIND" or "KIND:ARGUMENT", taken apart.
struct DatasetSpec {
  std::string kind;
  std::string argument;
};

/// How each kind is written: "omniglot:FOLDER", "synthetic or synthetic:SEED".
std::vector<std::string> dataset_forms();

/// Throws UsageError that lists the known kinds when `spec` names another.
DatasetSpec parse_dataset_spec(const std::string& spec);

/// The data set that `spec` describes: "omniglot:FOLDER", "mini-imagenet:PATH",
/// "folder:PATH", "synthetic" or "synthetic:SEED". Throws UsageError on a specification that cannot
/// work, Error when the data is missing or damaged; the message names the file and the remedy.
Dataset open_dataset(const std::string& spec, const DatasetOptions& options = {});

/// A 64-bit hash of bytes that come in parts (FNV-1a over little-endian 64-bit words with a final
/// mix): finds damage, not malice.
class ByteHash {
 public:
  /// All parts but the last need a multiple of 8 bytes, or it is another hash than the whole's.
  void add(std::span<const std::byte> part);
  std::uint64_t value() const;

 private:
  std::uint64_t hash_ = 0xcbf29ce484222325U;
  std::uint64_t bytes_ = 0;
};

/// The same of `bytes` bytes at once.
std::uint64_t hash_bytes(const void* data, std::size_t bytes);

}  // namespace protolith
