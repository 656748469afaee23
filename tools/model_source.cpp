#include "tools/model_source.h"

#include "tools/run_folder.h"
#include "tools/session.h"

namespace protolith {
namespace {

void warn_of_guesses(const std::string& path, const Conv4Options& encoder) {
  warn(
      fmt::format("{} is a bare state dictionary: it is taken for a model of {}x{} images with the "
                  "fourth block's pool, and SED; where that is wrong, so are its results",
                  path, encoder.height, encoder.width));
}

}  // namespace

ModelSource open_model(Backend& backend, const std::string& path) {
  if (!std::filesystem::is_directory(path)) {
    PROTOLITH_CHECK_USAGE(std::filesystem::exists(path),
                          "{}: no such run folder or checkpoint; train one with 'protolith train'",
                          path);
    ModelSource source{path, load_model(backend, path), Config{}, false, path};
    if (source.checkpoint.bare) warn_of_guesses(path, source.checkpoint.info.encoder);
    return source;
  }
  const RunFolder run = RunFolder::open(path);
  const Config config = run.config();
  const bool has_best = std::filesystem::exists(run.best_checkpoint());
  const auto file = has_best && !config.trainval ? run.best_checkpoint() : run.last_checkpoint();
  PROTOLITH_CHECK_USAGE(std::filesystem::exists(file),
                        "{} has no checkpoint yet; its training has to finish an epoch", path);
  if (!has_best && !config.trainval) {
    warn(fmt::format("{} has no best.safetensors: its last model is taken", path));
  }
  return {path, load_model(backend, file), config, true, file};
}

}  // namespace protolith
