#include "tools/model_source.h"

#include "tools/run_folder.h"

namespace protolith {

ModelSource open_model(Backend& backend, const std::string& path) {
  if (!std::filesystem::is_directory(path)) {
    PROTOLITH_CHECK_USAGE(std::filesystem::exists(path),
                          "{}: no such run folder or checkpoint; train one with 'protolith train'",
                          path);
    return {path, load_model(backend, path), Config{}, false};
  }
  const RunFolder run = RunFolder::open(path);
  const Config config = run.config();
  const bool has_best = std::filesystem::exists(run.best_checkpoint());
  const auto file = has_best && !config.trainval ? run.best_checkpoint() : run.last_checkpoint();
  PROTOLITH_CHECK_USAGE(std::filesystem::exists(file),
                        "{} has no checkpoint yet; its training has to finish an epoch", path);
  return {path, load_model(backend, file), config, true};
}

}  // namespace protolith
