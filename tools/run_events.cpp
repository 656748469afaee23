#include "tools/run_events.h"

#include <nlohmann/json.hpp>

#include "engine/check.h"

namespace protolith {

void RunEvents::start(std::int64_t episodes, const nlohmann::json& last_metrics) {
  file_.emplace(folder_, episodes);
  if (last_metrics.is_object() && last_metrics.contains("episodes") &&
      last_metrics["episodes"] == episodes) {
    add(last_metrics);
  }
  file().flush();
}

void RunEvents::epoch(const nlohmann::json& metrics) {
  add(metrics);
  file().flush();
}

void RunEvents::histograms(const EpisodeHistograms& taken) {
  const std::int64_t step = taken.episode;
  file().histogram("gradient/log_abs", step, taken.log_gradient);
  file().histogram("distance/softmax", step, taken.distance);
  file().scalar("gradient/share_below_1e-5", step, taken.share_below);
  file().scalar("gradient/share_inside", step, taken.share_inside);
  file().scalar("softmax/entropy", step, taken.entropy);
  file().flush();
}

void RunEvents::add(const nlohmann::json& metrics) {
  struct Scalar {
    const char* tag;
    const char* key;
  };
  static constexpr Scalar kScalars[] = {{"train/loss", "train_loss"},
                                        {"train/accuracy", "train_accuracy"},
                                        {"train/learning_rate", "learning_rate"},
                                        {"val/loss", "val_loss"},
                                        {"val/accuracy", "val_accuracy"}};
  const auto step = metrics.at("episodes").get<std::int64_t>();
  for (const Scalar& scalar : kScalars) {
    const auto value = metrics.find(scalar.key);  // a run on train + val has no validation
    if (value != metrics.end() && value->is_number())
      file().scalar(scalar.tag, step, value->get<double>());
  }
}

EventFile& RunEvents::file() {
  PROTOLITH_CHECK(file_.has_value(), "{}: events were given before the run started",
                  folder_.string());
  return *file_;
}

}  // namespace protolith
