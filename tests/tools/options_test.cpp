#include "tools/options.h"

#include <doctest/doctest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/check.h"
#include "tests/tools/program.h"
#include "tools/nearest.h"
#include "tools/presets.h"

namespace protolith {
namespace {

using testing::contains;

/// A value of each option that is not the default, as on the command line.
const std::map<std::string, std::string>& other_values() {
  static const std::map<std::string, std::string> values{
      {"preset", "omniglot-20w5s-lsed"},
      {"data", "omniglot:a folder/with \"quotes\", back\\slash and ümlaut"},
      {"image_size", "28"},
      {"image_mode", "grey"},
      {"split_shares", "3,1,0"},
      {"split_seed", "9223372036854775806"},
      {"split_lists", "some where"},
      {"metric", "temperature"},
      {"s", "4.1"},
      {"r", "0.1"},
      {"temperature", "33.333332"},
      {"distance", "direct"},
      {"batch_norm", "composed"},
      {"bn_eval", "episode"},
      {"bn_init", "ones"},
      {"last_pool", "on"},
      {"train_way", "7"},
      {"train_shot", "2"},
      {"train_query", "3"},
      {"val_way", "8"},
      {"val_shot", "4"},
      {"val_query", "9"},
      {"test_way", "11"},
      {"test_shot", "12"},
      {"test_query", "13"},
      {"episodes", "123456789012"},
      {"epoch_episodes", "14"},
      {"val_episodes", "16"},
      {"test_episodes", "17"},
      {"patience", "18"},
      {"max_epochs", "19"},
      {"trainval", "on"},
      {"histogram_every", "7"},
      {"lr", "1.1754942e-38"},
      {"lr_halve_every", "0"},
      {"adam_beta1", "0.85"},
      {"adam_beta2", "0.98"},
      {"adam_epsilon", "1e-10"},
      {"device", "cuda:1"},
      {"threads", "3"},
      {"seed", "9223372036854775807"},
      {"precision", "tf32"},
      {"convolution", "direct"},
      {"deterministic", "off"},
      {"graph", "off"},
  };
  return values;
}

Assignment assign(const std::string& key, const std::string& value) {
  const ConfigOption* option = find_option(key);
  REQUIRE_MESSAGE(option != nullptr, key);
  return {option, value, option->flag() + " " + value};
}

std::string usage_error(const Assignments& file, const Assignments& flags) {
  try {
    resolve_config(file, flags);
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

std::string file_error(const std::string& toml) {
  try {
    resolve_config(parse_config(toml, "c.toml"), {});
  } catch (const UsageError& error) {
    return error.what();
  }
  return "accepted";
}

Config through_file(const Config& config) {
  return resolve_config(parse_config(to_toml(config), "c.toml"), {});
}

TEST_CASE("the table names each key once and knows a second value for each") {
  std::set<std::string> keys;
  for (const ConfigOption& option : config_options()) {
    CHECK(keys.insert(option.key).second);
    CHECK_MESSAGE(other_values().contains(option.key), option.key);
    CHECK(!option.help.empty());
  }
  CHECK(keys.size() == other_values().size());
  CHECK(find_option("train_way")->flag() == "--train-way");
  CHECK(find_option("train-way") == nullptr);
}

TEST_CASE("each key is set, and each alone survives the file exactly") {
  const Config base = resolve_config({}, {});
  for (const auto& entry : other_values()) {
    const std::string& key = entry.first;
    const std::string& value = entry.second;
    CAPTURE(key);
    Config config = base;
    apply(config, {assign(key, value)});
    CHECK(find_option(key)->get(config) == value);
    CHECK(differing_keys(base, config) == std::vector<std::string>{key});
    CHECK(differing_keys(config, through_file(config)).empty());
  }
}

TEST_CASE("all keys together survive the file exactly") {
  Config config;
  for (const auto& [key, value] : other_values()) apply(config, {assign(key, value)});
  const Config again = through_file(config);
  CHECK(differing_keys(config, again).empty());
  CHECK(again.adam.learning_rate == 1.1754942e-38F);
  CHECK(again.metric.temperature == 33.333332F);
  CHECK(again.seed == 9223372036854775807U);
  CHECK(to_toml(again) == to_toml(config));
}

TEST_CASE("floats whose shortest decimal is long come back bit for bit") {
  Config config = resolve_config({}, {});
  for (const float value : {0.1F, 0.01F, 1.0F / 3.0F, 16777217.0F, 3.4028235e38F, 1e-45F, 100.0F}) {
    config.metric.s = value;
    CHECK(through_file(config).metric.s == value);
  }
  apply(config, {assign("s", "-0")});
  CHECK(!std::signbit(config.metric.s));
}

TEST_CASE("strings with every kind of awkward character come back") {
  Config config = resolve_config({}, {});
  config.data =
      "omniglot:tab\t newline\n return\r nul-less \x01 \x7f 'single' \"double\" \\u0041 é";
  CHECK(through_file(config).data == config.data);
}

TEST_CASE("text is UTF-8, or refused with the option's name: no file could hold it") {
  for (const char* text :
       {"\x80", "\xc3", "\xc3(", "\xe2\x82", "\xed\xa0\x80", "\xf4\x90\x80\x80"}) {
    const Assignment assignment = assign("data", std::string("omniglot:") + text);
    CHECK(contains(usage_error({}, {assignment}), assignment.origin + ": must be UTF-8"));
  }
  // The ends of each length of character, and what editors treat in special ways.
  for (const char* text : {"\u0080", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\uffff", "\U00010000",
                           "\U0010ffff", "\u0085", "\u2028", "\ufeff"}) {
    Config config = resolve_config({}, {});
    apply(config, {assign("data", std::string("omniglot:") + text)});
    CHECK(through_file(config).data == config.data);
  }
}

TEST_CASE("JSON holds every key with its type") {
  const nlohmann::json json = to_json(preset_config("omniglot-20w1s-lsed"));
  CHECK(json.size() == config_options().size());
  CHECK(json["train_way"] == 60);
  CHECK(json["r"] == 0.01);
  CHECK(json["last_pool"] == false);
  CHECK(json["deterministic"] == true);
  CHECK(json["metric"] == "lsed");
}

TEST_CASE("precedence: defaults < preset < file < flags") {
  const Assignments file = parse_config("preset = 'omniglot-20w1s-sed'\nlr = 0.5\nseed = 7", "f");
  const Config from_file = resolve_config(file, {});
  CHECK(from_file.train.way == 60);  // the file's preset over the default's 20
  CHECK(from_file.adam.learning_rate == 0.5F);
  const Config flagged = resolve_config(file, {assign("lr", "0.25")});
  CHECK(flagged.adam.learning_rate == 0.25F);
  CHECK(flagged.seed == 7);
  const Config other = resolve_config(file, {assign("preset", "omniglot-20w5s-sed")});
  CHECK(other.preset == "omniglot-20w5s-sed");
  CHECK(other.train.shot == 5);  // the flag's preset lies under the file's other keys
  CHECK(other.adam.learning_rate == 0.5F);
  CHECK(override_config(from_file, {assign("seed", "9")}).seed == 9);
}

TEST_CASE("a preset over an existing configuration is refused: it would change only its name") {
  const Config base = resolve_config({}, {assign("preset", "omniglot-20w1s-sed")});
  for (const char* preset : {"demo", "omniglot-20w1s-sed"}) {
    CHECK_THROWS_WITH_AS(override_config(base, {assign("preset", preset)}),
                         doctest::Contains("--preset does not go with --resume or --trainval"),
                         UsageError);
  }
}

TEST_CASE("a metric's numbers refine it, whatever the order they are given in") {
  const Config before = resolve_config({}, {assign("s", "4"), assign("metric", "lsed")});
  CHECK(to_string(before.metric) == "lsed:4:0.01");
  const Config after = resolve_config({}, {assign("metric", "lsed:4:0.1"), assign("r", "0.2")});
  CHECK(to_string(after.metric) == "lsed:4:0.2");
  const Config kept =
      resolve_config(parse_config("metric = 'lsed:4:0.1'", "f"), {assign("metric", "lsed")});
  CHECK(to_string(kept.metric) == "lsed:4:0.1");
  const Config hot = resolve_config({}, {assign("metric", "temperature:50")});
  CHECK(hot.metric.kind == MetricKind::temperature);
  CHECK(hot.metric.temperature == 50.0F);
  CHECK(hot.metric.r == Config{}.metric.r);
}

TEST_CASE("a flag that would have no effect on the metric in use is refused") {
  CHECK(contains(usage_error({}, {assign("s", "4")}), "--s 4 has no effect with metric sed"));
  CHECK(
      contains(usage_error({}, {assign("temperature", "4"), assign("metric", "lsed")}),
               "--temperature 4 has no effect with metric lsed:0:0.01; add --metric temperature"));
  CHECK(file_error("s = 4") == "accepted");  // a whole configuration lists all three
}

TEST_CASE("a flag for folders of images is refused with other data") {
  CHECK(contains(usage_error({}, {assign("image_size", "20")}),
                 "--image-size 20 has no effect with data synthetic, only with folder:PATH"));
  for (const auto& [key, value] :
       std::map<std::string, std::string>{{"image_mode", "grey"},
                                          {"split_seed", "3"},
                                          {"split_shares", "0.5,0.25,0.25"},
                                          {"split_lists", "lists"}}) {
    CHECK(contains(usage_error({}, {assign(key, value), assign("data", "omniglot:x")}),
                   "has no effect with data omniglot:x"));
    CHECK(usage_error({}, {assign(key, value), assign("data", "folder:x")}) == "accepted");
  }
  CHECK(file_error("image_size = 20") == "accepted");  // a whole configuration lists them
}

TEST_CASE("values that cannot work are refused, naming option and value") {
  const std::vector<std::pair<std::string, std::string>> bad{{"s", "-1"},
                                                             {"s", "nan"},
                                                             {"r", "-0.1"},
                                                             {"r", "inf"},
                                                             {"r", "1e99"},
                                                             {"temperature", "0"},
                                                             {"temperature", "1e-39"},
                                                             {"lr", "0"},
                                                             {"lr", "-inf"},
                                                             {"lr", "-nan"},
                                                             {"lr", "1e-3x"},
                                                             {"lr", ""},
                                                             {"lr", " 1"},
                                                             {"adam_beta1", "1"},
                                                             {"adam_beta2", "-1"},
                                                             {"adam_epsilon", "0"},
                                                             {"train_way", "1"},
                                                             {"train_way", "0"},
                                                             {"train_way", "-5"},
                                                             {"train_way", "2.5"},
                                                             {"train_way", "1e3"},
                                                             {"train_way", "4294967298"},
                                                             {"train_shot", "0"},
                                                             {"train_query", "0"},
                                                             {"val_way", "1"},
                                                             {"val_shot", "0"},
                                                             {"val_query", "0"},
                                                             {"val_episodes", "0"},
                                                             {"test_way", "1"},
                                                             {"test_shot", "-1"},
                                                             {"test_query", "0"},
                                                             {"episodes", "-1"},
                                                             {"epoch_episodes", "0"},
                                                             {"test_episodes", "0"},
                                                             {"patience", "0"},
                                                             {"max_epochs", "0"},
                                                             {"lr_halve_every", "-1"},
                                                             {"threads", "-1"},
                                                             {"threads", "100000"},
                                                             {"seed", "-1"},
                                                             {"seed", "9223372036854775808"},
                                                             {"distance", "fast"},
                                                             {"batch_norm", "x"},
                                                             {"bn_eval", ""},
                                                             {"bn_init", "Ones"},
                                                             {"last_pool", "1"},
                                                             {"device", "gpu"},
                                                             {"convolution", "fft"},
                                                             {"device", "cuda:"},
                                                             {"device", "cuda:-1"},
                                                             {"device", "cuda:x"},
                                                             {"precision", "fp8"},
                                                             {"metric", "euclid"},
                                                             {"metric", "lsed:-1:0.1"},
                                                             {"metric", "lsed:nan:0.1"},
                                                             {"metric", "temperature:inf"},
                                                             {"data", "imagenet:x"},
                                                             {"data", "omniglot:\xff"},
                                                             {"data", "omniglot:\xc0\xaf"},
                                                             {"preset", "omniglot"},
                                                             {"deterministic", "maybe"}};
  for (const auto& [key, value] : bad) {
    const Assignment assignment = assign(key, value);
    const std::string message = usage_error({}, {assignment});
    CHECK_MESSAGE(message.starts_with(assignment.origin + ": "), message);
  }
  CHECK(contains(usage_error({}, {assign("bn_init", "unifrom")}), "did you mean 'uniform'?"));
  CHECK(usage_error({}, {assign("r", "1e99")}) ==
        "--r 1e99: does not fit in a 32-bit floating-point number");
}

TEST_CASE("a file's mistakes are named with file, line, key and remedy") {
  CHECK(file_error("seed = 1\ntrain_wya = 3") ==
        "c.toml:2: unknown key 'train_wya'; did you mean 'train_way'?");
  CHECK(file_error("[train]\nway = 3") ==
        "c.toml:1: unknown key 'train'; did you mean 'trainval'?");
  CHECK(file_error("lr = nan") == "c.toml:1: lr = nan: must be a finite number, greater than 0");
  CHECK(contains(file_error("r = -inf\nmetric='lsed'"), "c.toml:1: r = -inf: must be a finite"));
  CHECK(file_error("train_way = 20.0") == "c.toml:1: train_way = 20.0: must be an integer");
  CHECK(contains(file_error("lr = '0.1'"), "must be a number"));
  CHECK(contains(file_error("last_pool = 'on'"), "must be true or false"));
  CHECK(contains(file_error("metric = 3"), "must be a string, in quotes"));
  CHECK(contains(file_error("data = ['a']"), "must be a string, in quotes"));
  CHECK(contains(file_error("seed = {a = 1}"), "must be an integer"));
  CHECK(contains(file_error("seed = 1\nseed = 2"), "c.toml:2: not valid TOML"));
  CHECK(contains(file_error("seed = "), "c.toml:1: not valid TOML"));
  CHECK(contains(file_error("seed = 9223372036854775808"), "not valid TOML"));
  CHECK(contains(file_error("\xff = 1"), "not valid TOML"));
  CHECK(contains(file_error("preset = 'nope'"), "c.toml:1: preset = 'nope': unknown preset"));
  CHECK(contains(file_error(std::string(100000, '[')), "more than 1000 brackets"));
  CHECK(file_error("") == "accepted");
}

TEST_CASE("a file that cannot be read is named") {
  const testing::TemporaryFolder folder;
  CHECK_THROWS_WITH_AS(read_config_file("/no/such.toml"), doctest::Contains("/no/such.toml: "),
                       UsageError);
  CHECK_THROWS_AS(read_config_file(folder.path().string()), UsageError);
  const std::string large = (folder / "large.toml").string();
  testing::spill(large, std::string((1 << 20) + 1, '\n'));
  CHECK_THROWS_WITH_AS(read_config_file(large), doctest::Contains("at most 1048576 bytes"),
                       UsageError);
  testing::spill(large, std::string(1 << 20, '\n'));
  CHECK(read_config_file(large).empty());
}

TEST_CASE("the nearest word has the fewest edits, less than half its length; the first wins") {
  CHECK(nearest("kitten", {"sitting", "mitten", "bitten"}) == "mitten");
  CHECK(nearest("--patince", {"--precision", "--patience"}) == "--patience");
  CHECK(nearest("--wya", {"--shot", "--way"}) == "--way");
  CHECK(nearest("", {"abc", "a"}).empty());
  CHECK(nearest("a", {"s", "b"}).empty());
  CHECK(nearest("--batch-norm", {"--support", "--query"}).empty());
  CHECK(did_you_mean("abd", {"abc"}) == "; did you mean 'abc'?");
  CHECK(did_you_mean("foo", {"s"}).empty());
  CHECK(nearest("x", {}).empty());
}

}  // namespace
}  // namespace protolith
