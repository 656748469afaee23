#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/check.h"
#include "tools/command.h"
#include "tools/json_text.h"
#include "tools/presets.h"

namespace protolith {
namespace {

/// `shown`: the configuration whose values --help gives as defaults, if any.
void add_flag(CLI::App& command, const ConfigOption& option, const Config* shown) {
  CLI::Option* flag = nullptr;
  if (option.type == OptionType::toggle) {
    const std::string name = option.flag();
    flag = command.add_flag(fmt::format("{},!--no-{}", name, name.substr(2)), option.help);
  } else {
    flag = command.add_option(option.flag(), option.help);
    flag->type_name(option.values);
    if (shown != nullptr) flag->default_str(option.get(*shown));
  }
  flag->group(to_string(option.group));
}

void add_file_flags(CLI::App& command) {
  const char* const group = to_string(OptionGroup::experiment);
  const std::string file_help = "a TOML file of these options, such as a run's config.toml";
  const std::string print_help = "print the whole configuration as such a file and stop";
  command.add_option("--config", file_help)->type_name("FILE")->group(group);
  command.add_flag("--print-config", print_help)->group(group);
  std::string footer = "\n\nPresets:\n";
  for (const Preset& preset : presets()) {
    footer += fmt::format("  {:<24}{}\n", preset.config.preset, preset.description);
  }
  footer +=
      "\nPrecedence: the preset, then --config's file, then flags. The defaults shown are the\n"
      "preset demo's.";
  command.footer(command.get_footer() + footer);
}

bool given(const CLI::App& command, const std::string& flag) {
  const CLI::Option* option = command.get_option_no_throw(flag);
  return option != nullptr && option->count() > 0;
}

}  // namespace

ConfigFlags::ConfigFlags(CLI::App& command, std::initializer_list<OptionGroup> groups,
                         std::initializer_list<std::string_view> without)
    : command_(&command) {
  const auto taken = [&](OptionGroup group) {
    return std::find(groups.begin(), groups.end(), group) != groups.end();
  };
  const auto replaced = [&](const std::string& key) {
    return std::find(without.begin(), without.end(), key) != without.end();
  };
  // A command without presets starts from a run's configuration, whose values --help cannot know.
  const Config defaults = resolve_config({}, {});
  const Config* const shown = taken(OptionGroup::experiment) ? &defaults : nullptr;
  for (const ConfigOption& option : config_options()) {
    if (!option.has_flag || !taken(option.group) || replaced(option.key)) continue;
    add_flag(command, option, shown);
    if (option.group == OptionGroup::experiment) add_file_flags(command);
    options_.push_back(&option);
  }
}

Assignments ConfigFlags::given() const {
  Assignments assignments;
  for (const ConfigOption* option : options_) {
    const std::string name = option->flag();
    const CLI::Option* flag = command_->get_option(name);
    if (flag->count() == 0) continue;
    const std::string value = flag->results().back();
    assignments.push_back({option, value, fmt::format("{} {}", name, value)});
  }
  return assignments;
}

bool ConfigFlags::has(std::string_view key) const {
  return protolith::given(*command_, find_option(key)->flag());
}

Config ConfigFlags::resolve(const Assignments& more) const {
  Assignments flags = given();
  flags.insert(flags.end(), more.begin(), more.end());
  Assignments file;
  if (has_file()) file = read_config_file(command_->get_option("--config")->results().back());
  return resolve_config(file, flags);
}

Config ConfigFlags::over(const Config& base) const {
  return override_config(base, given());
}

bool ConfigFlags::has_file() const {
  return protolith::given(*command_, "--config");
}

bool ConfigFlags::print_config(const Config& config, bool json) const {
  if (!protolith::given(*command_, "--print-config")) return false;
  if (json) {
    print_json(to_json(config));
  } else {
    std::fputs(to_toml(config).c_str(), stdout);
  }
  return true;
}

void OutputFlags::add_to(CLI::App& command) {
  command.add_flag("--json", json, "print the result as one JSON object")->group("Output");
  command.add_flag("--quiet", quiet, "no progress on stderr")->group("Output");
}

void print_json(const nlohmann::json& object) {
  std::fputs(json_text(object).c_str(), stdout);
}

}  // namespace protolith
