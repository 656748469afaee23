#include "tools/checkpoint.h"

#include <algorithm>
#include <cstring>

#include "engine/safetensors.h"

namespace protolith {
namespace {

constexpr const char* kFormat = "1";

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
  return parse_info(text->second);
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
  file.metadata["protolith"] = info_text(info);
  file.metadata["format_version"] = kFormat;
  return file;
}

TrainingState state_of(const SafeTensors& file) {
  const auto text = file.metadata.find("training_state");
  PROTOLITH_CHECK(text != file.metadata.end(),
                  "it holds a model but no training state; resume from a run's last.safetensors");
  return parse_state(text->second);
}

}  // namespace

void save_model(const std::filesystem::path& path, const Conv4& model, const CheckpointInfo& info) {
  write_safetensors(path, model_file(model, info));
}

bool holds_model(const std::filesystem::path& path, const Conv4& model) try {
  const auto same = [](const Tensor& a, const Tensor& b) {
    return a.shape() == b.shape() && a.dtype() == b.dtype() &&
           std::memcmp(a.raw(), b.raw(), a.bytes()) == 0;
  };
  // A file of training holds the optimizer's moments besides.
  const std::map<std::string, Tensor> held = read_safetensors(path).tensors;
  return std::ranges::all_of(model.state(), [&](const auto& wanted) {
    const auto found = held.find(wanted.first);
    return found != held.end() && same(found->second, wanted.second);
  });
} catch (const Error&) {
  return false;
}

Checkpoint load_model(Backend& backend, const std::filesystem::path& path) {
  return with_file_name(path, [&] {
    const SafeTensors file = read_safetensors(path);
    Checkpoint checkpoint{info_of(file), nullptr, !file.metadata.contains("protolith")};
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
  file.metadata["training_state"] = state_text(state);
  write_safetensors(path, file);
}

TrainingState load_training(const std::filesystem::path& path, Learner& learner, Backend& backend,
                            const CheckpointInfo& info) {
  return with_file_name(path, [&] {
    const SafeTensors file = read_safetensors(path);
    TrainingState state = state_of(file);
    PROTOLITH_CHECK(info_text(info_of(file)) == info_text(info),
                    "it holds another model ({}) than this run's configuration ({})",
                    info_text(info_of(file)), info_text(info));
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
