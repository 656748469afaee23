#include "tools/options.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tools/json_text.h"
#include "tools/presets.h"

namespace protolith {
namespace {

/// The preset that the last assignment to `preset` names, else `fallback`.
std::string preset_of(const Assignments& assignments, const std::string& fallback) {
  std::string name = fallback;
  for (const Assignment& assignment : assignments) {
    if (assignment.option->key != "preset") continue;
    Config unused;
    apply(unused, {assignment});  // names the origin when there is no such preset
    name = assignment.value;
  }
  return name;
}

/// A flag that refines another metric than the one in use would have no effect.
void check_refinements(const Config& config, const Assignments& flags) {
  for (const Assignment& flag : flags) {
    const std::string& key = flag.option->key;
    const bool lsed_only = key == "s" || key == "r";
    if (!lsed_only && key != "temperature") continue;
    const MetricKind refined = lsed_only ? MetricKind::lsed : MetricKind::temperature;
    PROTOLITH_CHECK_USAGE(config.metric.kind == refined,
                          "{} has no effect with metric {}; add --metric {}", flag.origin,
                          to_string(config.metric), lsed_only ? "lsed" : "temperature");
  }
}

Config with_flags(Config base, const Assignments& flags) {
  apply(base, flags);
  check_refinements(base, flags);
  check_folder_flags(base.data, flags);
  return base;
}

nlohmann::json json_value(const ConfigOption& option, const std::string& text) {
  switch (option.type) {
    case OptionType::text:
      return text;
    case OptionType::integer:
    case OptionType::number:
      return nlohmann::json::parse(text);
    case OptionType::boolean:
    case OptionType::toggle:
      return text == "on";
  }
  throw Error("unknown option type");
}

}  // namespace

const char* to_string(OptionGroup group) {
  switch (group) {
    case OptionGroup::experiment:
      return "Experiment";
    case OptionGroup::data:
      return "Data";
    case OptionGroup::model:
      return "Model";
    case OptionGroup::episodes:
      return "Episodes";
    case OptionGroup::schedule:
      return "Schedule and optimizer";
    case OptionGroup::device:
      return "Device";
  }
  throw Error("unknown option group");
}

std::string ConfigOption::flag() const {
  std::string name = "--" + key;
  std::replace(name.begin(), name.end(), '_', '-');
  return name;
}

const ConfigOption* find_option(std::string_view key) {
  for (const ConfigOption& option : config_options()) {
    if (option.key == key) return &option;
  }
  return nullptr;
}

void check_folder_flags(const std::string& data, const Assignments& flags) {
  if (data.starts_with("folder:")) return;
  for (const Assignment& flag : flags) {
    PROTOLITH_CHECK_USAGE(!flag.option->for_folders,
                          "{} has no effect with data {}, only with folder:PATH", flag.origin,
                          data);
  }
}

void apply(Config& config, const Assignments& assignments) {
  for (const ConfigOption& option : config_options()) {
    for (const Assignment& assignment : assignments) {
      if (assignment.option != &option) continue;
      try {
        PROTOLITH_CHECK_USAGE(is_utf8(assignment.value), kNotUtf8);
        PROTOLITH_CHECK_USAGE(assignment.value.find('\0') == std::string::npos,
                              "has a NUL character");
        option.set(config, assignment.value);
      } catch (const UsageError& error) {
        throw UsageError(fmt::format("{}: {}", assignment.origin, error.what()));
      }
    }
  }
}

Config resolve_config(const Assignments& file, const Assignments& flags) {
  const std::string file_preset = preset_of(file, Config{}.preset);
  Config config = preset_config(preset_of(flags, file_preset));
  apply(config, file);
  return with_flags(std::move(config), flags);
}

Config override_config(Config base, const Assignments& flags) {
  for (const Assignment& flag : flags) {
    PROTOLITH_CHECK_USAGE(flag.option->key != "preset",
                          "{} does not go with --resume or --trainval: a run keeps its own "
                          "configuration, and flags change single values of it",
                          flag.option->flag());
  }
  return with_flags(std::move(base), flags);
}

std::vector<std::string> differing_keys(const Config& a, const Config& b) {
  std::vector<std::string> keys;
  for (const ConfigOption& option : config_options()) {
    if (option.get(a) != option.get(b)) keys.push_back(option.key);
  }
  return keys;
}

nlohmann::json to_json(const Config& config) {
  nlohmann::json object = nlohmann::json::object();
  for (const ConfigOption& option : config_options()) {
    object[option.key] = json_value(option, option.get(config));
  }
  return object;
}

}  // namespace protolith
