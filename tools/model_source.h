#pragma once

#include <filesystem>
#include <string>

#include "tools/checkpoint.h"
#include "tools/config.h"

namespace protolith {

/// A trained model, and the settings it brings along.
struct ModelSource {
  std::string name;  ///< as the user gave it
  Checkpoint checkpoint;
  Config config;  ///< the run's; the defaults for a checkpoint file
  bool is_run = false;
  std::filesystem::path file = {};  ///< the checkpoint's
};

/// Opens a run folder (its best checkpoint; its last one where there is no best, as after
/// --trainval), or a checkpoint file, which says nothing of where its data lies. Throws UsageError
/// when there is no such thing, Error naming the file when it cannot be read.
ModelSource open_model(Backend& backend, const std::string& path);

}  // namespace protolith
