// `protolith export`: the encoder as ONNX, for other programs.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/file.h"
#include "tools/command.h"
#include "tools/embedded_files.h"
#include "tools/model_source.h"
#include "tools/onnx_file.h"
#include "tools/output_file.h"
#include "tools/session.h"

namespace protolith {
namespace {

struct ExportFlags {
  OutputFlags output;
  std::string model, out;
};

/// What a user of the model has to know besides its shapes.
nlohmann::json usage_of(const CheckpointInfo& info, const Preparation& preparation) {
  Dataset prepared;
  set_normalisation(preparation, prepared);
  return {{"metric", to_string(info.metric)},
          {"preparation", describe(preparation)},
          {"pixel_scale", prepared.scale},
          {"pixel_shift", prepared.shift}};
}

/// The same as ONNX's metadata, which are texts: lists as numbers with blanks between them.
std::map<std::string, std::string> metadata_of(const nlohmann::json& usage) {
  std::map<std::string, std::string> metadata;
  for (const auto& [key, value] : usage.items()) {
    metadata[key] = value.is_string()
                        ? value.get<std::string>()
                        : fmt::format("{}", fmt::join(value.get<std::vector<float>>(), " "));
  }
  return metadata;
}

int export_model(const ExportFlags& flags) {
  check_output("--out", flags.out, {flags.model});
  warn_of_extension("--out", flags.out, ".onnx");
  const auto backend = make_cpu_backend();
  const ModelSource source = open_model(*backend, flags.model);
  const CheckpointInfo& info = source.checkpoint.info;
  const Conv4& model = *source.checkpoint.model;
  const nlohmann::json usage = usage_of(info, preparation_for(info, flags.model));
  const std::string bytes = encode_onnx(model, metadata_of(usage));
  write_file_atomically(flags.out, bytes);
  const Conv4Options& options = model.options();
  if (flags.output.json) {
    nlohmann::json result{{"file", flags.out},
                          {"bytes", bytes.size()},
                          {"input", {options.channels, options.height, options.width}},
                          {"features", model.features()}};
    result.update(usage);
    print_json(result);
  } else {
    std::fputs(fmt::format("{}: images [count, {}, {}, {}] -> embeddings [count, {}]\n", flags.out,
                           options.channels, options.height, options.width, model.features())
                   .c_str(),
               stdout);
  }
  return kExitDone;
}

}  // namespace

void add_export_command(CommandLine& program) {
  const auto flags = std::make_shared<ExportFlags>();
  CLI::App& command = program.add_command(
      "export", "Write the encoder as ONNX, for other programs",
      "  protolith export --model runs/mine --out encoder.onnx\n"
      "\n"
      "In Python:\n"
      "  session = onnxruntime.InferenceSession('encoder.onnx')\n"
      "  embeddings, = session.run(None, {'images': x})\n"
      "\n"
      "x is f32 [count, channels, height, width] with values pixel * pixel_scale + pixel_shift,\n"
      "pixels from 0 to 255; the model's metadata holds both (one number a channel) and says how\n"
      "images are prepared. The rows are those of 'protolith embed'. Operator set 13.",
      [flags] { return export_model(*flags); });
  command.add_option("--model", flags->model, "a run folder (its best model) or a checkpoint file")
      ->type_name("RUN-or-CHECKPOINT")
      ->required();
  command.add_option("--out", flags->out, "the file to write")->type_name("FILE.onnx")->required();
  flags->output.add_to(command);
}

}  // namespace protolith
