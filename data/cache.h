#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "data/image_set.h"

namespace protolith {

/// What a cached data set was made from.
struct CacheKey {
  std::string identity;  ///< kind, source and preprocessing: names the file
  std::string state;     ///< sizes and times of the source: must match, else the cache is stale
};

/// The outcome of looking into the cache.
struct CacheLookup {
  enum class State : std::uint8_t { absent, stale, damaged, valid };
  State state = State::absent;
  std::string reason;              ///< why it is not valid; empty when it is
  std::optional<Dataset> dataset;  ///< when valid
};

/// The folder that `options` and the environment ask for; empty when none can be determined.
std::filesystem::path cache_folder(const DatasetOptions& options);

/// The one file in which a data set of this identity is cached.
std::filesystem::path cache_file(const std::filesystem::path& folder, const CacheKey& key);

/// Maps a cached data set. Sizes and the description's checksum are checked first, the pixels' is
/// not (check_pixels does). Never throws on a bad file: it says so in the result.
CacheLookup read_cache(const std::filesystem::path& file, const CacheKey& key);

/// Writes atomically, making the folder where needed. Throws Error naming the file.
void write_cache(const std::filesystem::path& file, const CacheKey& key, const Dataset& dataset);

/// Whether a cache file's pixels still have the hash that they were stored with. Keeps a block of
/// them in memory at a time. Throws Error when it cannot be read or is no cache file.
bool check_pixels(const std::filesystem::path& file);

/// The cached data set, every byte checked, or else what `build` returns, which is then cached and
/// mapped. While another process builds the same, that is waited for (with a warning) instead. A
/// cache that cannot be written only warns.
Dataset open_cached(const CacheKey& key, const DatasetOptions& options,
                    const std::function<Dataset()>& build);

}  // namespace protolith
