#include "tools/checkpoint_metadata.h"

#include <cmath>
#include <cstdlib>

#include "engine/check.h"
#include "tools/json_text.h"

namespace protolith {
namespace {

using nlohmann::json;

/// A metadata text as JSON; its size is checked first, as it may be anybody's.
json parse_metadata(const std::string& text) {
  constexpr std::size_t kLargest = std::size_t{1} << 20;
  PROTOLITH_CHECK(text.size() <= kLargest, "metadata of {} bytes; at most {} are accepted",
                  text.size(), kLargest);
  json value = parse_json(text);
  PROTOLITH_CHECK(!value.is_discarded(),
                  "its metadata is not JSON, or nested deeper than {} levels; get a fresh copy",
                  kMaxJsonDepth);
  return value;
}

std::int64_t integer(const json& object, const char* key) {
  const json& value = object.at(key);
  PROTOLITH_CHECK(value.is_number_integer(), "'{}' is {}, expected an integer", key, value.dump());
  return value.get<std::int64_t>();
}

/// A double that text holds exactly.
std::string exact(double value) {
  return fmt::format("{:a}", value);
}

}  // namespace

std::string info_text(const CheckpointInfo& info) {
  return json{{"encoder",
               {{"name", "conv4"},
                {"height", info.encoder.height},
                {"width", info.encoder.width},
                {"channels", info.encoder.channels},
                {"filters", info.encoder.filters},
                {"last_pool", info.encoder.last_pool}}},
              {"metric", to_string(info.metric)},
              {"distance", info.distance == DistanceMethod::gemm ? "gemm" : "direct"},
              {"preprocessing", info.preprocessing}}
      .dump();
}

std::string state_text(const TrainingState& state) {
  return json{{"episodes", state.episodes},
              {"epoch", state.epoch},
              {"best_epoch", state.best_epoch},
              {"best_loss", exact(state.best_loss)},
              {"best_accuracy", exact(state.best_accuracy)},
              {"loss_sum", exact(state.loss_sum)},
              {"accuracy_sum", exact(state.accuracy_sum)},
              {"identity", state.identity},
              {"machine", state.machine}}
      .dump();
}

CheckpointInfo parse_info(const std::string& metadata) {
  const json text = parse_metadata(metadata);
  const json& encoder = text.at("encoder");
  PROTOLITH_CHECK(encoder.at("name") == "conv4", "unknown encoder {}", encoder.at("name").dump());
  CheckpointInfo info;
  info.encoder = {.height = integer(encoder, "height"),
                  .width = integer(encoder, "width"),
                  .channels = integer(encoder, "channels"),
                  .filters = integer(encoder, "filters"),
                  .last_pool = encoder.at("last_pool")};
  constexpr std::int64_t kLargest = 1 << 16;
  for (const std::int64_t extent :
       {info.encoder.height, info.encoder.width, info.encoder.channels, info.encoder.filters}) {
    PROTOLITH_CHECK(extent >= 1 && extent <= kLargest, "encoder extent {} is out of range", extent);
  }
  info.metric = Metric::parse(text.at("metric"));
  const std::string& distance = text.at("distance").get_ref<const std::string&>();
  PROTOLITH_CHECK(distance == "gemm" || distance == "direct", "unknown distance method '{}'",
                  distance);
  info.distance = distance == "direct" ? DistanceMethod::direct : DistanceMethod::gemm;
  info.preprocessing = text.at("preprocessing");
  return info;
}

TrainingState parse_state(const std::string& metadata) {
  const json text = parse_metadata(metadata);
  const auto number = [&](const char* key) {
    const auto& value = text.at(key).get_ref<const std::string&>();
    char* end = nullptr;
    const double result = std::strtod(value.c_str(), &end);
    PROTOLITH_CHECK(!value.empty() && *end == '\0' && std::isfinite(result),
                    "'{}' of {} is not a finite number", value, key);
    return result;
  };
  TrainingState state;
  state.episodes = integer(text, "episodes");
  state.epoch = integer(text, "epoch");
  state.best_epoch = integer(text, "best_epoch");
  PROTOLITH_CHECK(state.episodes >= 0 && state.epoch >= 0 && state.best_epoch >= 0 &&
                      state.best_epoch <= state.epoch,
                  "episode {}, epoch {} and best epoch {} do not fit together", state.episodes,
                  state.epoch, state.best_epoch);
  state.best_loss = number("best_loss");
  state.best_accuracy = number("best_accuracy");
  state.loss_sum = number("loss_sum");
  state.accuracy_sum = number("accuracy_sum");
  state.identity = text.at("identity");
  state.machine = text.at("machine");
  return state;
}

}  // namespace protolith
