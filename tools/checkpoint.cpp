#include "tools/checkpoint.h"

#include <cmath>
#include <cstdlib>
#include <nlohmann/json.hpp>

#include "engine/safetensors.h"

namespace protolith {
namespace {

using nlohmann::json;

constexpr const char* kFormat = "1";

json info_to_json(const CheckpointInfo& info) {
  return {{"encoder",
           {{"name", "conv4"},
            {"height", info.encoder.height},
            {"width", info.encoder.width},
            {"channels", info.encoder.channels},
            {"filters", info.encoder.filters},
            {"last_pool", info.encoder.last_pool}}},
          {"metric", to_string(info.metric)},
          {"distance", info.distance == DistanceMethod::gemm ? "gemm" : "direct"},
          {"preprocessing", info.preprocessing}};
}

/// A metadata text as JSON; its size is checked first, as it may be anybody's.
json parse_metadata(const std::string& text) {
  constexpr std::size_t kLargest = std::size_t{1} << 20;
  PROTOLITH_CHECK(text.size() <= kLargest, "metadata of {} bytes; at most {} are accepted",
                  text.size(), kLargest);
  return json::parse(text);
}

std::int64_t integer(const json& object, const char* key) {
  const json& value = object.at(key);
  PROTOLITH_CHECK(value.is_number_integer(), "'{}' is {}, expected an integer", key, value.dump());
  return value.get<std::int64_t>();
}

CheckpointInfo info_from_json(const json& text) {
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

/// The architecture of a bare state dictionary, from the shape of its first filters.
CheckpointInfo info_from_tensors(const std::map<std::string, Tensor>& tensors) {
  const auto first = tensors.find("encoder.0.0.weight");
  PROTOLITH_CHECK(first != tensors.end() && first->second.shape().rank() == 4,
                  "it has no tensor 'encoder.0.0.weight': not a conv4 checkpoint");
  const Shape& s = first->second.shape();
  const std::int64_t side = s[1] == 1 ? 28 : 84;
  CheckpointInfo info;
  info.encoder = {.height = side, .width = side, .channels = s[1], .filters = s[0]};
  return info;
}

/// Before a model of that size is made: the file must hold its filters.
void check_filters(const std::map<std::string, Tensor>& tensors, const Conv4Options& encoder) {
  for (int i = 0; i < Conv4::kBlocks; ++i) {
    const std::string name = fmt::format("encoder.{}.0.weight", i);
    const Shape wanted{encoder.filters, i == 0 ? encoder.channels : encoder.filters, 3, 3};
    const auto found = tensors.find(name);
    PROTOLITH_CHECK(found != tensors.end(), "tensor '{}' is missing: not a conv4 checkpoint", name);
    PROTOLITH_CHECK(found->second.shape() == wanted, "tensor '{}' is {}, its metadata asks for {}",
                    name, to_string(found->second.shape()), to_string(wanted));
  }
}

CheckpointInfo info_of(const SafeTensors& file) {
  const auto text = file.metadata.find("protolith");
  if (text == file.metadata.end()) return info_from_tensors(file.tensors);
  const auto format = file.metadata.find("format_version");
  PROTOLITH_CHECK(format != file.metadata.end() && format->second == kFormat,
                  "its format version is not {}; use a newer protolith", kFormat);
  return info_from_json(parse_metadata(text->second));
}

/// Runs `read`, turning every failure into an Error that starts with the file's name.
template <class F>
auto with_file_name(const std::filesystem::path& path, F&& read) {
  try {
    return read();
  } catch (const std::exception& error) {
    const std::string message = error.what();
    const bool named = message.find(path.string()) != std::string::npos;
    throw Error(named ? message : fmt::format("{}: {}", path.string(), message));
  }
}

SafeTensors model_file(const Conv4& model, const CheckpointInfo& info) {
  SafeTensors file;
  file.tensors = model.state();
  file.metadata["protolith"] = info_to_json(info).dump();
  file.metadata["format_version"] = kFormat;
  return file;
}

/// A double that text holds exactly.
std::string exact(double value) {
  return fmt::format("{:a}", value);
}

json state_to_json(const TrainingState& state) {
  return {{"episodes", state.episodes},
          {"epoch", state.epoch},
          {"best_epoch", state.best_epoch},
          {"best_loss", exact(state.best_loss)},
          {"best_accuracy", exact(state.best_accuracy)},
          {"last_loss", exact(state.last_loss)},
          {"last_accuracy", exact(state.last_accuracy)},
          {"loss_sum", exact(state.loss_sum)},
          {"accuracy_sum", exact(state.accuracy_sum)},
          {"identity", state.identity},
          {"machine", state.machine}};
}

TrainingState state_from_json(const json& text) {
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
  state.last_loss = number("last_loss");
  state.last_accuracy = number("last_accuracy");
  state.loss_sum = number("loss_sum");
  state.accuracy_sum = number("accuracy_sum");
  state.identity = text.at("identity");
  state.machine = text.at("machine");
  return state;
}

TrainingState state_of(const SafeTensors& file) {
  const auto text = file.metadata.find("training_state");
  PROTOLITH_CHECK(text != file.metadata.end(),
                  "it holds a model but no training state; resume from a run's last.safetensors");
  return state_from_json(parse_metadata(text->second));
}

}  // namespace

void save_model(const std::filesystem::path& path, const Conv4& model, const CheckpointInfo& info) {
  write_safetensors(path, model_file(model, info));
}

Checkpoint load_model(Backend& backend, const std::filesystem::path& path) {
  return with_file_name(path, [&] {
    const SafeTensors file = read_safetensors(path);
    Checkpoint checkpoint{info_of(file), nullptr};
    check_filters(file.tensors, checkpoint.info.encoder);
    checkpoint.model = std::make_unique<Conv4>(backend, checkpoint.info.encoder);
    checkpoint.model->load_state(file.tensors);
    return checkpoint;
  });
}

void save_training(const std::filesystem::path& path, Learner& learner, Backend& backend,
                   const CheckpointInfo& info, const TrainingState& state) {
  SafeTensors file = model_file(learner.model(), info);
  file.tensors["optimizer.first_moment"] = backend.to_host(learner.optimizer().first_moment());
  file.tensors["optimizer.second_moment"] = backend.to_host(learner.optimizer().second_moment());
  file.metadata["training_state"] = state_to_json(state).dump();
  write_safetensors(path, file);
}

TrainingState load_training(const std::filesystem::path& path, Learner& learner, Backend& backend,
                            const CheckpointInfo& info) {
  return with_file_name(path, [&] {
    const SafeTensors file = read_safetensors(path);
    TrainingState state = state_of(file);
    PROTOLITH_CHECK(info_to_json(info_of(file)) == info_to_json(info),
                    "it holds another model ({}) than this run's configuration ({})",
                    info_to_json(info_of(file)).dump(), info_to_json(info).dump());
    Adam& optimizer = learner.optimizer();
    const Shape& flat = optimizer.first_moment().shape();
    const auto moment = [&](const char* name) {
      const auto found = file.tensors.find(name);
      PROTOLITH_CHECK(found != file.tensors.end() && found->second.dtype() == DType::f32 &&
                          found->second.shape() == flat,
                      "tensor '{}' is missing or not f32 {}", name, to_string(flat));
      return found->second;
    };
    const Tensor first = moment("optimizer.first_moment");
    const Tensor second = moment("optimizer.second_moment");
    learner.model().load_state(file.tensors);
    backend.copy(first, optimizer.first_moment());
    backend.copy(second, optimizer.second_moment());
    optimizer.restore_steps(state.episodes);
    return state;
  });
}

TrainingState read_training_state(const std::filesystem::path& path) {
  return with_file_name(path, [&] { return state_of(read_safetensors(path)); });
}

}  // namespace protolith
