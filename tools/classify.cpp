// `protolith classify`: names the class of images from a few labelled examples.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/file.h"
#include "tools/classifier.h"
#include "tools/command.h"
#include "tools/json_text.h"
#include "tools/model_source.h"
#include "tools/output_file.h"
#include "tools/plot.h"
#include "tools/session.h"

namespace protolith {
namespace {

struct ClassifyFlags {
  ConfigFlags config;
  OutputFlags output;
  std::string model, support, out;
  std::vector<std::string> queries;
  bool csv = false;
};

const std::string& label_of(const Classification& result, std::size_t index) {
  return result.classes[index].label;
}

nlohmann::json query_json(const Classification& result, const Classified& query) {
  if (!query.error.empty()) return {{"file", query.file}, {"error", query.error}};
  nlohmann::json probabilities = nlohmann::json::object();
  nlohmann::json distances = nlohmann::json::object();
  for (std::size_t i = 0; i < result.classes.size(); ++i) {
    probabilities[label_of(result, i)] = query.probabilities[i];
    distances[label_of(result, i)] = query.distances[i];
  }
  return {{"file", query.file},
          {"label", label_of(result, query.best)},
          {"probability", query.probabilities[query.best]},
          {"distance", query.distances[query.best]},
          {"runner_up",
           {{"label", label_of(result, query.second)},
            {"probability", query.probabilities[query.second]},
            {"distance", query.distances[query.second]}}},
          {"probabilities", probabilities},
          {"distances", distances}};
}

nlohmann::json result_json(const Classification& result, const ClassifyFlags& flags,
                           const CheckpointInfo& info, const Preparation& preparation) {
  nlohmann::json support = nlohmann::json::object();
  for (const SupportClass& c : result.classes) support[c.label] = c.used;
  nlohmann::json skipped = nlohmann::json::array();
  for (const UnreadableFile& file : result.skipped) {
    skipped.push_back({{"file", file.file}, {"error", file.error}});
  }
  nlohmann::json results = nlohmann::json::array();
  for (const Classified& query : result.queries) results.push_back(query_json(result, query));
  return {{"model", flags.model},
          {"metric", to_string(info.metric)},
          {"images", describe(preparation)},
          {"support", support},
          {"skipped", skipped},
          {"results", results}};
}

std::string result_csv(const Classification& result) {
  std::string text =
      "file,label,probability,distance,runner_up,runner_up_probability,runner_up_distance,error\n";
  for (const Classified& query : result.queries) {
    if (!query.error.empty()) {
      text += fmt::format("{},,,,,,,{}\n", csv_text(query.file), csv_text(query.error));
      continue;
    }
    const auto [a, b] = std::pair(query.best, query.second);
    text += fmt::format("{},{},{},{},{},{},{},\n", csv_text(query.file),
                        csv_text(label_of(result, a)), query.probabilities[a], query.distances[a],
                        csv_text(label_of(result, b)), query.probabilities[b], query.distances[b]);
  }
  return text;
}

/// A name without what a terminal would obey: control characters as "\\x1b".
std::string shown(const std::string& name) {
  std::string text;
  for (const char c : name) {
    const auto code = static_cast<unsigned char>(c);
    text += code < 0x20 || code == 0x7f ? fmt::format("\\x{:02x}", code) : std::string(1, c);
  }
  return text;
}

/// Characters of UTF-8 text.
std::size_t width_of(const std::string& text) {
  return static_cast<std::size_t>(std::count_if(
      text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) >> 6U) != 2; }));
}

/// Rows of cells in columns as wide as their widest cell; `right` aligns to the right. The last
/// cell of a shorter row may be of any width.
std::string aligned(const std::vector<std::vector<std::string>>& rows,
                    const std::vector<bool>& right) {
  std::vector<std::size_t> widths(right.size());
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < row.size() && row.size() == right.size(); ++c) {
      widths[c] = std::max(widths[c], width_of(row[c]));
    }
    widths[0] = std::max(widths[0], width_of(row[0]));
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t c = 0; c < row.size(); ++c) {
      const std::size_t width = width_of(row[c]);
      const std::string gap(widths[c] > width ? widths[c] - width : 0, ' ');
      line += (c > 0 ? "  " : "") + (right[c] ? gap + row[c] : row[c] + gap);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

/// Without the file's name, which stands beside it.
std::string short_error(const Classified& query) {
  const std::string lead = query.file + ": ";
  return query.error.starts_with(lead) ? query.error.substr(lead.size()) : query.error;
}

std::string result_table(const Classification& result) {
  std::vector<std::vector<std::string>> rows = {
      {"image", "label", "probability", "distance", "runner-up", "probability"}};
  const auto percent = [](double p) { return fmt::format("{:.1f} %", 100 * p); };
  for (const Classified& query : result.queries) {
    if (!query.error.empty()) {
      rows.push_back({shown(query.file), "not classified: " + shown(short_error(query))});
      continue;
    }
    rows.push_back({shown(query.file), shown(label_of(result, query.best)),
                    percent(query.probabilities[query.best]),
                    fmt::format("{:.2f}", query.distances[query.best]),
                    shown(label_of(result, query.second)),
                    percent(query.probabilities[query.second])});
  }
  return aligned(rows, {false, false, true, true, false, true});
}

/// Tells of every file that could not be read; throws Error when a query is among them.
void check_files(const Classification& result) {
  for (const UnreadableFile& file : result.skipped) {
    warn(file.error + "; the class goes by its other images");
  }
  std::size_t failed = 0;
  for (const Classified& query : result.queries) {
    if (query.error.empty()) continue;
    warn(query.error);
    ++failed;
  }
  PROTOLITH_CHECK(failed == 0, "{} of {} images were not classified", failed,
                  result.queries.size());
}

int classify(const ClassifyFlags& flags) {
  PROTOLITH_CHECK_USAGE(!(flags.csv && flags.output.json),
                        "--csv and --json exclude each other; give one");
  const auto note = [&](const std::string& text) {
    if (!flags.output.quiet) warn(text);
  };
  // What is cheap to find wrong comes first.
  const std::vector<std::filesystem::path> queries =
      list_images(flags.queries, SubFolders::skip, note);
  std::vector<SupportClass> classes = list_support(flags.support, note);
  std::vector<std::filesystem::path> inputs = queries;
  inputs.emplace_back(flags.model);
  if (!flags.out.empty()) check_output("--out", flags.out, inputs);
  const Config defaults;
  const auto backend = open_backend(flags.config.over(defaults), flags.output.quiet);
  const ModelSource source = open_model(*backend, flags.model);
  const CheckpointInfo& info = source.checkpoint.info;
  const Preparation preparation = preparation_for(info, flags.model);
  const Classification result = classify_files(*backend, source.checkpoint, preparation,
                                               std::move(classes), queries, flags.output.quiet);
  const std::string text = flags.output.json
                               ? json_text(result_json(result, flags, info, preparation))
                           : flags.csv ? result_csv(result)
                                       : result_table(result);
  if (flags.out.empty()) {
    std::fputs(text.c_str(), stdout);
  } else {
    write_file_atomically(flags.out, text);
  }
  check_files(result);
  return kExitDone;
}

}  // namespace

void add_classify_command(CommandLine& program) {
  const auto flags = std::make_shared<ClassifyFlags>();
  CLI::App& command = program.add_command(
      "classify", "Name the class of your images from a few examples of each",
      "  protolith classify --model models/pretrained/omniglot-20w1s-lsed.safetensors \\\n"
      "      --support letters --query unknown.png\n"
      "  protolith classify --model runs/mine --support trees --query photos --csv\n"
      "  protolith classify --model runs/mine --support trees --query a.jpg b.jpg --json\n"
      "\n"
      "The support folder holds a folder of examples for each class, named as the class: with\n"
      "trees/oak/*.jpg, trees/elm/*.jpg and trees/ash/*.jpg every query is an oak, an elm or an\n"
      "ash. One example of each is enough, five are better, and their numbers may differ. The\n"
      "classes need not be those that the model was trained on.\n"
      "\n"
      "Images are PNG, JPEG or BMP of up to 16,384 pixels a side, in the order of their names;\n"
      "sub-folders of a query folder and hidden files are skipped. They are prepared as the\n"
      "model's training images were: for a model trained on Omniglot, dark pen strokes on light\n"
      "paper (or light on dark) become its ink and paper; photograph or draw one character an\n"
      "image, in the middle. Of the models that ship, omniglot-20w1s-lsed is for drawings,\n"
      "mini-5w1s-lsed for photographs.\n"
      "\n"
      "An image is embedded and belongs to the class whose mean of embeddings is nearest: the\n"
      "distance is squared Euclidean; the probabilities are the softmax of minus these distances,\n"
      "after the model's metric (LSED, say). They are shares among the classes given: an image of\n"
      "none of them still gets a label, often at a large distance.\n"
      "\n"
      "A support image that cannot be read is left out with a warning when its class has others;\n"
      "a query that cannot be read has its error in its row, and the exit code is 1.",
      [flags] { return classify(*flags); });
  command.add_option("--model", flags->model, "a run folder (its best model) or a checkpoint file")
      ->type_name("RUN-or-CHECKPOINT")
      ->required();
  command
      .add_option("--support", flags->support, "a folder that holds a folder of images per class")
      ->type_name("DIR")
      ->required();
  command.add_option("--query", flags->queries, "images to classify, or folders of them")
      ->type_name("FILE-or-DIR")
      ->required();
  command.add_flag("--csv", flags->csv, "print the results as CSV");
  command.add_option("--out", flags->out, "write the results to this file, not to the terminal")
      ->type_name("FILE");
  flags->config = ConfigFlags(command, {OptionGroup::device});
  flags->output.add_to(command);
}

}  // namespace protolith
