#include "tools/run_events.h"

#include <nlohmann/json.hpp>

#include "engine/check.h"

namespace protolith {
namespace {

HistogramBins bins_of(const nlohmann::json& bins) {
  return {.edges = bins.at("edges"),
          .counts = bins.at("counts"),
          .below = bins.at("below"),
          .above = bins.at("above"),
          .nan = bins.at("nan")};
}

}  // namespace

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

void RunEvents::histograms(const nlohmann::json& line) {
  const auto step = line.at("episode").get<std::int64_t>();
  file().histogram("gradient/log_abs", step, bins_of(line.at("log_gradient")));
  file().histogram("distance/softmax", step, bins_of(line.at("distance")));
  add_scalars(step, line,
              {{"gradient/share_below_1e-5", "share_below_1e-5"},
               {"gradient/share_inside", "share_inside"},
               {"softmax/entropy", "entropy"}});
  file().flush();
}

void RunEvents::add(const nlohmann::json& metrics) {
  // A run on train + val has no validation.
  add_scalars(metrics.at("episodes").get<std::int64_t>(), metrics,
              {{"train/loss", "train_loss"},
               {"train/accuracy", "train_accuracy"},
               {"train/learning_rate", "learning_rate"},
               {"val/loss", "val_loss"},
               {"val/accuracy", "val_accuracy"}});
}

void RunEvents::add_scalars(std::int64_t step, const nlohmann::json& line,
                            std::initializer_list<Scalar> scalars) {
  for (const Scalar& scalar : scalars) {
    const auto value = line.find(scalar.key);
    if (value != line.end() && value->is_number()) {
      file().scalar(scalar.tag, step, value->get<double>());
    }
  }
}

EventFile& RunEvents::file() {
  PROTOLITH_CHECK(file_.has_value(), "{}: events were given before the run started",
                  folder_.string());
  return *file_;
}

}  // namespace protolith
