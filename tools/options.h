#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "tools/config.h"

namespace protolith {

/// What a command may take a part of: `eval`, say, takes data and device options only.
enum class OptionGroup : std::uint8_t { experiment, data, model, episodes, schedule, device };

/// The group's heading in --help and in files.
const char* to_string(OptionGroup group);

/// How a value is written in TOML. A toggle is a boolean whose flag needs no value.
enum class OptionType : std::uint8_t { text, integer, number, boolean, toggle };

/// All that the program knows of one Config field: the same entry serves the command line, the
/// reading and writing of config files, and their error messages.
struct ConfigOption {
  std::string key;  ///< in files, "train_way"; the flag is "--train-way"
  OptionGroup group;
  OptionType type;
  std::string values;  ///< what may be given, for --help: "INT", "on|off"
  std::string help;
  /// The field as text that `set` reads back exactly.
  std::function<std::string(const Config&)> get;
  /// Throws UsageError that says what the value must be; apply() adds whose value it was.
  std::function<void(Config&, const std::string&)> set;
  /// False for what a command sets by a flag of its own, such as train's --trainval RUN.
  bool has_flag = true;
  bool for_folders = false;  ///< says how to read folders of images, and nothing of other data
  bool of_machine = false;   ///< where and how fast, not what: a run may go on with another value

  std::string flag() const;
};

/// Every option, in the order in which they are applied and written.
const std::vector<ConfigOption>& config_options();

/// The option of that key, or nullptr.
const ConfigOption* find_option(std::string_view key);

/// A value given to an option, and where: "--lr 0.01", "config.toml:3: lr = 0.01".
struct Assignment {
  const ConfigOption* option;
  std::string value;
  std::string origin;
};
using Assignments = std::vector<Assignment>;

/// Sets the assigned fields in config_options()'s order, so that `metric` comes before the numbers
/// that refine it. Throws UsageError that starts with the origin of the value that is wrong, such
/// as text that is not UTF-8.
void apply(Config& config, const Assignments& assignments);

/// Throws UsageError when flags say how to read folders of images and `data` are others.
void check_folder_flags(const std::string& data, const Assignments& flags);

/// Defaults < preset < `file` < `flags`. The preset is the one that `flags` name, else `file`.
/// Throws UsageError when a flag refines a metric, or says how to read data, that is not in use.
Config resolve_config(const Assignments& file, const Assignments& flags);

/// `base`, a run's own configuration, with `flags` over it. Throws UsageError when they name a
/// preset, which would change no value but its name, or refine a metric, or say how to read data,
/// that is not in use.
Config override_config(Config base, const Assignments& flags);

/// The keys whose values differ.
std::vector<std::string> differing_keys(const Config& a, const Config& b);

/// Every option's value by key, as JSON strings, numbers and booleans.
nlohmann::json to_json(const Config& config);

/// The values that a file's text assigns. Throws UsageError naming `file_name`, the line, the key
/// and, for an unknown key, the nearest known one.
Assignments parse_config(std::string_view toml, const std::string& file_name);
/// The same from a file. Throws UsageError when it cannot be read.
Assignments read_config_file(const std::string& path);

/// The whole configuration as commented TOML; parse_config and resolve_config give it back exactly.
std::string to_toml(const Config& config);

}  // namespace protolith
