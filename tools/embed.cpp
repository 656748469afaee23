// `protolith embed`: the embeddings of images, for other programs.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/file.h"
#include "tools/command.h"
#include "tools/embedded_files.h"
#include "tools/model_source.h"
#include "tools/npy.h"
#include "tools/output_file.h"
#include "tools/session.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

struct EmbedFlags {
  ConfigFlags config;
  OutputFlags output;
  std::string model, out, names;
  std::vector<std::string> images;
};

/// Where the list of files goes: --names, else beside the embeddings.
fs::path names_file(const EmbedFlags& flags) {
  const fs::path names =
      flags.names.empty() ? fs::path(flags.out).replace_extension(".txt") : fs::path(flags.names);
  PROTOLITH_CHECK_USAGE(names != fs::path(flags.out),
                        "{} cannot hold both the embeddings and the names; give --names FILE",
                        flags.out);
  // The list of an earlier call has its array beside it.
  std::error_code ignored;
  PROTOLITH_CHECK_USAGE(
      !flags.names.empty() || !fs::exists(names, ignored) || fs::exists(flags.out, ignored),
      "{} is there already and would be replaced by the list of files; give --names FILE",
      names.string());
  return names;
}

/// What could be read.
struct Kept {
  std::vector<float> values;  ///< [count, features] in channel, height, width order, as in PyTorch
  std::string names;
  std::int64_t count = 0;
  nlohmann::json results = nlohmann::json::array(), errors = nlohmann::json::array();
};

/// Appends a row in height, width, channel order in PyTorch's order.
void append_channels_first(std::span<const float> row, std::size_t channels,
                           std::vector<float>& values) {
  for (std::size_t c = 0; c < channels; ++c) {
    for (std::size_t i = c; i < row.size(); i += channels) values.push_back(row[i]);
  }
}

/// Leaves out what could not be read, with a warning each.
Kept keep_good(const EmbeddedFiles& embedded, const std::vector<fs::path>& files,
               std::size_t channels) {
  Kept kept;
  for (std::size_t i = 0; i < files.size(); ++i) {
    if (!embedded.good(i)) {
      warn(embedded.errors[i]);
      kept.errors.push_back({{"file", files[i].string()}, {"error", embedded.errors[i]}});
      continue;
    }
    append_channels_first(embedded.row(i), channels, kept.values);
    kept.names += files[i].string() + "\n";
    kept.results.push_back({{"file", files[i].string()}, {"row", kept.count}});
    ++kept.count;
  }
  return kept;
}

int embed(const EmbedFlags& flags) {
  const fs::path names = names_file(flags);
  const std::vector<fs::path> files =
      list_images(flags.images, SubFolders::search, [&](const std::string& text) {
        if (!flags.output.quiet) warn(text);
      });
  for (const fs::path& file : files) {
    PROTOLITH_CHECK(file.string().find('\n') == std::string::npos,
                    "'{}': a name with a line break has no place in a list; rename the file",
                    file.string());
  }
  std::vector<fs::path> inputs = files;
  inputs.emplace_back(flags.model);
  check_output("--out", flags.out, inputs);
  warn_of_extension("--out", flags.out, ".npy");
  check_output(flags.names.empty() ? "the list of files" : "--names", names, inputs);
  const Config defaults;
  const auto backend = open_backend(flags.config.over(defaults), flags.output.quiet);
  const ModelSource source = open_model(*backend, flags.model);
  const Preparation preparation = preparation_for(source.checkpoint.info, flags.model);
  Conv4& model = *source.checkpoint.model;
  const EmbeddedFiles embedded =
      embed_files(*backend, model, preparation, files, flags.output.quiet);
  const Kept kept = keep_good(embedded, files, static_cast<std::size_t>(model.options().filters));
  PROTOLITH_CHECK(kept.count > 0, "none of {} images can be read; nothing was written",
                  files.size());
  write_npy(flags.out, kept.values, {kept.count, embedded.features});
  write_file_atomically(names, kept.names);
  if (flags.output.json) {
    print_json({{"embeddings", flags.out},
                {"names", names.string()},
                {"images", kept.count},
                {"features", embedded.features},
                {"prepared", describe(preparation)},
                {"results", kept.results},
                {"errors", kept.errors}});
  } else {
    std::fputs(fmt::format("{}: {} images of {} features; their files: {}\n", flags.out, kept.count,
                           embedded.features, names.string())
                   .c_str(),
               stdout);
  }
  PROTOLITH_CHECK(kept.errors.empty(), "{} of {} images could not be read and are left out",
                  kept.errors.size(), files.size());
  return kExitDone;
}

}  // namespace

void add_embed_command(CommandLine& program) {
  const auto flags = std::make_shared<EmbedFlags>();
  CLI::App& command = program.add_command(
      "embed", "Write the embeddings of your images as a numpy array",
      "  protolith embed --model runs/mine --images trees --out trees.npy\n"
      "  protolith embed --model model.safetensors --images a.png b.png --out two.npy \\\n"
      "      --names two.lst\n"
      "\n"
      "numpy.load('trees.npy') is f32 [images, features], by the batch-norm statistics of the\n"
      "training: a row depends on its image alone, and has the order of PyTorch's flatten\n"
      "(channels, height, width). trees.txt has the file of each row, a line each. Of a folder\n"
      "come the images in it and in its sub-folders (CLASS/FILE), in the order of the names;\n"
      "hidden files and what lies deeper are skipped. Images are prepared as in 'protolith\n"
      "classify'.\n"
      "\n"
      "An image that cannot be read is left out of both files with a message, and the exit code\n"
      "is 1.",
      [flags] { return embed(*flags); });
  command.add_option("--model", flags->model, "a run folder (its best model) or a checkpoint file")
      ->type_name("RUN-or-CHECKPOINT")
      ->required();
  command
      .add_option("--images,--query,--support", flags->images,
                  "images, or folders of them; the other names are those of 'protolith classify'")
      ->type_name("FILE-or-DIR")
      ->required();
  command.add_option("--out", flags->out, "the array to write")->type_name("FILE.npy")->required();
  command.add_option("--names", flags->names, "the list of files (default: FILE.txt beside it)")
      ->type_name("FILE");
  flags->config = ConfigFlags(command, {OptionGroup::device});
  flags->output.add_to(command);
}

}  // namespace protolith
