// The one description of every Config field.
#include <charconv>
#include <cmath>
#include <concepts>
#include <limits>

#include "data/class_split.h"
#include "data/image_set.h"
#include "engine/check.h"
#include "tools/nearest.h"
#include "tools/options.h"
#include "tools/presets.h"

namespace protolith {
namespace {

constexpr std::int64_t kMaxCount = 1'000'000;
constexpr std::int64_t kMaxThreads = 1024;

std::int64_t parse_integer(const std::string& text, std::int64_t min, std::int64_t max) {
  std::int64_t value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  PROTOLITH_CHECK_USAGE(error == std::errc() && end == last && value >= min && value <= max,
                        "must be an integer from {} to {}", min, max);
  return value;
}

/// The range of a real-valued option, in words and as a predicate on finite values.
struct Range {
  std::string words;
  bool (*contains)(float);
};

const Range kPositive{"greater than 0", [](float x) { return x > 0; }};
const Range kNotNegative{"at least 0", [](float x) { return x >= 0; }};
const Range kTemperature{"greater than 0 and with a finite reciprocal",
                         [](float x) { return x > 0 && std::isfinite(1.0F / x); }};
const Range kDecay{"at least 0 and less than 1", [](float x) { return x >= 0 && x < 1; }};

float parse_real(const std::string& text, const Range& range) {
  float value = 0;
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), last, value);
  PROTOLITH_CHECK_USAGE(error != std::errc::result_out_of_range,
                        "does not fit in a 32-bit floating-point number");
  PROTOLITH_CHECK_USAGE(
      error == std::errc() && end == last && std::isfinite(value) && range.contains(value),
      "must be a finite number, {}", range.words);
  return value + 0.0F;  // -0 becomes 0, as a file would give it back
}

bool parse_switch(const std::string& text) {
  const bool on = text == "on" || text == "true";
  PROTOLITH_CHECK_USAGE(on || text == "off" || text == "false", "must be on or off");
  return on;
}

std::string joined(const std::vector<std::string>& words, const char* separator) {
  return fmt::format("{}", fmt::join(words, separator));
}

std::string checked_choice(const std::string& text, const std::vector<std::string>& choices) {
  for (const std::string& choice : choices) {
    if (text == choice) return text;
  }
  throw UsageError(
      fmt::format("must be one of {}{}", joined(choices, ", "), did_you_mean(text, choices)));
}

// Each maker below takes `field`: a function from a Config, const or not, to the field.

template <class Field>
ConfigOption integer(const char* key, OptionGroup group, Field field, std::int64_t min,
                     std::int64_t max, std::string help) {
  return {key,
          group,
          OptionType::integer,
          "INT",
          fmt::format("{} (at least {})", help, min),
          [field](const Config& c) { return fmt::format("{}", field(c)); },
          [field, min, max](Config& c, const std::string& text) {
            auto& target = field(c);
            target = static_cast<std::remove_reference_t<decltype(target)>>(
                parse_integer(text, min, max));
          }};
}

template <class Field>
ConfigOption real(const char* key, OptionGroup group, Field field, const Range& range,
                  std::string help) {
  return {
      key,
      group,
      OptionType::number,
      "NUMBER",
      fmt::format("{} ({})", help, range.words),
      [field](const Config& c) { return fmt::format("{}", field(c)); },
      [field, range](Config& c, const std::string& text) { field(c) = parse_real(text, range); }};
}

template <class Field>
ConfigOption boolean(const char* key, OptionGroup group, OptionType type, Field field,
                     std::string help) {
  return {key,
          group,
          type,
          type == OptionType::toggle ? "" : "on|off",
          std::move(help),
          [field](const Config& c) { return std::string(field(c) ? "on" : "off"); },
          [field](Config& c, const std::string& text) { field(c) = parse_switch(text); }};
}

template <class Field>
ConfigOption choice(const char* key, OptionGroup group, Field field,
                    std::vector<std::string> choices, std::string help) {
  return {key,
          group,
          OptionType::text,
          joined(choices, "|"),
          std::move(help),
          [field](const Config& c) { return field(c); },
          [field, choices](Config& c, const std::string& text) {
            field(c) = checked_choice(text, choices);
          }};
}

ConfigOption preset_option() {
  return {"preset",
          OptionGroup::experiment,
          OptionType::text,
          "PRESET",
          "the configuration to start from, see below",
          [](const Config& c) { return c.preset; },
          [](Config& c, const std::string& text) { c.preset = preset_config(text).preset; }};
}

ConfigOption data_option() {
  return {"data",
          OptionGroup::data,
          OptionType::text,
          "KIND:PATH",
          "omniglot:FOLDER, mini-imagenet:PATH, folder:PATH, synthetic or synthetic:SEED",
          [](const Config& c) { return c.data; },
          [](Config& c, const std::string& text) {
            parse_dataset_spec(text);
            c.data = text;
          }};
}

ConfigOption split_shares_option() {
  return {"split_shares",
          OptionGroup::data,
          OptionType::text,
          "TRAIN,VAL,TEST",
          "folder: shares of the classes in each split, dealt out by split_seed",
          [](const Config& c) { return c.folder.split_shares; },
          [](Config& c, const std::string& text) {
            parse_shares(text);
            c.folder.split_shares = text;
          }};
}

void add_folder_options(std::vector<ConfigOption>& options) {
  const auto group = OptionGroup::data;
  constexpr std::int64_t kMaxSide = 1024;
  const std::size_t first = options.size();
  options.push_back(integer(
      "image_size", group, [](auto& c) -> auto& { return c.folder.image_size; }, 1, kMaxSide,
      "folder: images become squares of so many pixels, scaled and cut"));
  options.push_back(choice(
      "image_mode", group, [](auto& c) -> auto& { return c.folder.image_mode; }, {"rgb", "grey"},
      "folder: colours or grey"));
  options.push_back(split_shares_option());
  options.push_back(integer(
      "split_seed", group, [](auto& c) -> auto& { return c.folder.split_seed; }, 0,
      std::numeric_limits<std::int64_t>::max(), "folder: which classes go into which split"));
  options.push_back({"split_lists", group, OptionType::text, "DIR",
                     "folder: train.txt, val.txt, test.txt with a class a line, not split_shares",
                     [](const Config& c) { return c.folder.split_lists; },
                     [](Config& c, const std::string& text) { c.folder.split_lists = text; }});
  for (std::size_t i = first; i < options.size(); ++i) options[i].for_folders = true;
}

/// The kind of a metric and those of its numbers that the text gives: `lsed` keeps s and r as the
/// preset or the file has them, `lsed:4:0.1` replaces both.
void set_metric(Metric& metric, const std::string& text) {
  const Metric parsed = Metric::parse(text);
  metric.kind = parsed.kind;
  if (text.find(':') == std::string::npos) return;
  if (parsed.kind == MetricKind::lsed) {
    metric.s = parsed.s;
    metric.r = parsed.r;
  } else {
    metric.temperature = parsed.temperature;
  }
}

ConfigOption metric_option() {
  return {"metric",
          OptionGroup::model,
          OptionType::text,
          "METRIC",
          "sed, lsed, lsed:S:R or temperature:T",
          [](const Config& c) {
            const std::string text = to_string(c.metric);
            return text.substr(0, text.find(':'));  // its numbers have keys of their own
          },
          [](Config& c, const std::string& text) { set_metric(c.metric, text); }};
}

ConfigOption distance_option() {
  return {"distance",
          OptionGroup::model,
          OptionType::text,
          "gemm|direct",
          "by matrix product, or as exact sums of squared differences",
          [](const Config& c) {
            return std::string(c.distance == DistanceMethod::gemm ? "gemm" : "direct");
          },
          [](Config& c, const std::string& text) {
            c.distance = checked_choice(text, {"gemm", "direct"}) == "gemm"
                             ? DistanceMethod::gemm
                             : DistanceMethod::direct;
          }};
}

void parse_device(const std::string& text) {
  const std::string message = "must be auto, cpu, cuda or cuda:INDEX";
  if (text == "auto" || text == "cpu" || text == "cuda") return;
  PROTOLITH_CHECK_USAGE(text.starts_with("cuda:"), "{}", message);
  parse_integer(text.substr(5), 0, 127);
}

ConfigOption device_option() {
  return {"device",
          OptionGroup::device,
          OptionType::text,
          "auto|cpu|cuda[:I]",
          "where to compute; auto: the best there is",
          [](const Config& c) { return c.device; },
          [](Config& c, const std::string& text) {
            parse_device(text);
            c.device = text;
          }};
}

void add_model_options(std::vector<ConfigOption>& options) {
  const auto group = OptionGroup::model;
  options.push_back(metric_option());
  options.push_back(real(
      "s", group, [](auto& c) -> auto& { return c.metric.s; }, kNotNegative,
      "LSED's threshold: the slope is 1 up to it"));
  options.push_back(real(
      "r", group, [](auto& c) -> auto& { return c.metric.r; }, kNotNegative,
      "LSED's slope beyond s; 1 is SED"));
  options.push_back(real(
      "temperature", group, [](auto& c) -> auto& { return c.metric.temperature; }, kTemperature,
      "what metric temperature divides SED by"));
  options.push_back(distance_option());
  options.push_back(choice(
      "batch_norm", group, [](auto& c) -> auto& { return c.batch_norm; },
      {"auto", "fused", "cudnn", "composed"},
      "of blocks: fused with ReLU and pool, cuDNN's, or single operations; auto: cudnn on CUDA"));
  options.push_back(choice(
      "bn_eval", group, [](auto& c) -> auto& { return c.bn_eval; }, {"running", "episode"},
      "batch-norm statistics in evaluation"));
  options.push_back(choice(
      "bn_init", group, [](auto& c) -> auto& { return c.bn_init; }, {"uniform", "ones"},
      "batch norm's initial scale: uniform in [0, 1), or 1"));
  options.push_back(boolean(
      "last_pool", group, OptionType::boolean, [](auto& c) -> auto& { return c.last_pool; },
      "the fourth block's pool; 28x28 images: on 64 features, off 576"));
}

void add_episode_options(std::vector<ConfigOption>& options, const std::string& prefix,
                         const std::string& what, EpisodeConfig Config::*episode) {
  const auto group = OptionGroup::episodes;
  options.push_back(integer((prefix + "_way").c_str(),
                            group, [episode](auto& c) -> auto& { return (c.*episode).way; }, 2,
                            kMaxCount, "classes in a " + what + " episode"));
  options.push_back(integer((prefix + "_shot").c_str(),
                            group, [episode](auto& c) -> auto& { return (c.*episode).shot; }, 1,
                            kMaxCount, "support images per class in a " + what + " episode"));
  options.push_back(integer((prefix + "_query").c_str(),
                            group, [episode](auto& c) -> auto& { return (c.*episode).query; }, 1,
                            kMaxCount, "query images per class in a " + what + " episode"));
}

void add_schedule_options(std::vector<ConfigOption>& options) {
  const auto group = OptionGroup::schedule;
  options.push_back(integer(
      "episodes", group, [](auto& c) -> auto& { return c.train.episodes; }, 0, kMaxEpisodes,
      "training episodes in all; 0: until patience or max_epochs"));
  options.push_back(integer(
      "epoch_episodes", group, [](auto& c) -> auto& { return c.epoch_episodes; }, 1, kMaxEpisodes,
      "training episodes between validations"));
  options.push_back(integer(
      "val_episodes", group, [](auto& c) -> auto& { return c.val.episodes; }, 1, kMaxEpisodes,
      "validation episodes after each epoch"));
  options.push_back(integer(
      "test_episodes", group, [](auto& c) -> auto& { return c.test.episodes; }, 1, kMaxEpisodes,
      "test episodes in an evaluation"));
  options.push_back(integer(
      "patience", group, [](auto& c) -> auto& { return c.patience; }, 1, kMaxEpisodes,
      "epochs without a better validation loss that end training"));
  options.push_back(integer(
      "max_epochs", group, [](auto& c) -> auto& { return c.max_epochs; }, 1, kMaxEpisodes,
      "epochs at most"));
  options.push_back(integer(
      "histogram_every", group, [](auto& c) -> auto& { return c.histogram_every; }, 0, kMaxEpisodes,
      "episodes between gradient histograms in histograms.jsonl; 0: none"));
  options.push_back(boolean(
      "trainval", group, OptionType::toggle, [](auto& c) -> auto& { return c.trainval; },
      "train on the training and validation classes together; set by --trainval RUN"));
  options.back().has_flag = false;
}

void add_optimizer_options(std::vector<ConfigOption>& options) {
  const auto group = OptionGroup::schedule;
  options.push_back(real(
      "lr", group, [](auto& c) -> auto& { return c.adam.learning_rate; }, kPositive,
      "Adam's learning rate"));
  options.push_back(integer(
      "lr_halve_every", group, [](auto& c) -> auto& { return c.lr_halve_every; }, 0, kMaxEpisodes,
      "episodes after which the learning rate is halved; 0: never"));
  options.push_back(real(
      "adam_beta1", group, [](auto& c) -> auto& { return c.adam.beta1; }, kDecay,
      "Adam's decay of the gradient's mean"));
  options.push_back(real(
      "adam_beta2", group, [](auto& c) -> auto& { return c.adam.beta2; }, kDecay,
      "Adam's decay of the squared gradient's mean"));
  options.push_back(real(
      "adam_epsilon", group, [](auto& c) -> auto& { return c.adam.epsilon; }, kPositive,
      "Adam's term against division by 0"));
}

void add_device_options(std::vector<ConfigOption>& options) {
  const auto group = OptionGroup::device;
  const auto add_of_machine = [&](ConfigOption option) {
    option.of_machine = true;
    options.push_back(std::move(option));
  };
  add_of_machine(device_option());
  add_of_machine(integer(
      "threads", group, [](auto& c) -> auto& { return c.threads; }, 0, kMaxThreads,
      "CPU threads; 0: one per core, as far as OMP_NUM_THREADS and a container's quota allow"));
  // TOML integers are signed, so that a seed beyond them could not be written down.
  options.push_back(integer(
      "seed", group, [](auto& c) -> auto& { return c.seed; }, 0,
      std::numeric_limits<std::int64_t>::max(),
      "of the network and the episodes; data have seeds of their own"));
  options.push_back(choice(
      "precision", group, [](auto& c) -> auto& { return c.precision; },
      {"auto", "fp32", "tf32", "bf16"},
      "of convolutions; auto: tf32 on CUDA, fp32 on the CPU. bf16: on a CPU with AVX512-BF16. "
      "Distances are always fp32"));
  options.push_back(choice(
      "convolution", group, [](auto& c) -> auto& { return c.convolution; },
      {"auto", "winograd", "direct"},
      "convolution blocks on the CPU: fused, by Winograd's algorithm, or as direct sums; auto: "
      "direct in bf16, else winograd"));
  add_of_machine(boolean(
      "deterministic", group, OptionType::toggle, [](auto& c) -> auto& { return c.deterministic; },
      "same seed, device and threads: same bits (default)"));
  add_of_machine(boolean(
      "graph", group, OptionType::toggle, [](auto& c) -> auto& { return c.graph; },
      "a training step on CUDA is one graph launch (default)"));
}

std::vector<ConfigOption> make_options() {
  std::vector<ConfigOption> options;
  options.push_back(preset_option());
  options.push_back(data_option());
  add_folder_options(options);
  add_model_options(options);
  add_episode_options(options, "train", "training", &Config::train);
  add_episode_options(options, "val", "validation", &Config::val);
  add_episode_options(options, "test", "test", &Config::test);
  add_schedule_options(options);
  add_optimizer_options(options);
  add_device_options(options);
  return options;
}

}  // namespace

const std::vector<ConfigOption>& config_options() {
  static const std::vector<ConfigOption> options = make_options();
  return options;
}

}  // namespace protolith
