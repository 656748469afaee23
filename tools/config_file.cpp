// Reading and writing Config as TOML.
#include <fmt/format.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <system_error>

#include "engine/check.h"
#include "tools/nearest.h"
#include "tools/options.h"
#include "tools/toml.h"
#include "tools/toml_nesting.h"

namespace protolith {
namespace {

constexpr std::size_t kMaxFileBytes = std::size_t{1} << 20;
/// A configuration has no tables and a number's dot an option; toml++ destroys and prints nested
/// values by calling itself for each level, and bounds the depth of brackets but not of dots.
constexpr std::size_t kMaxNesting = 1000;

/// `value` as one line of TOML, cut to a length that fits in a message.
std::string shown(const toml::node& value) {
  std::ostringstream text;
  value.visit([&](const auto& node) { text << toml::toml_formatter(node); });
  std::string line = text.str();
  if (line.size() > 80) line = line.substr(0, 77) + "...";
  return line;
}

/// The text that a value has on the command line, or the reason why it has none.
std::string value_text(const toml::node& value, OptionType type) {
  switch (type) {
    case OptionType::text:
      PROTOLITH_CHECK_USAGE(value.is_string(), "must be a string, in quotes");
      return value.as_string()->get();
    case OptionType::integer:
      PROTOLITH_CHECK_USAGE(value.is_integer(), "must be an integer");
      return fmt::format("{}", value.as_integer()->get());
    case OptionType::number:
      PROTOLITH_CHECK_USAGE(value.is_number(), "must be a number");
      if (value.is_integer()) return fmt::format("{}", value.as_integer()->get());
      return fmt::format("{}", value.as_floating_point()->get());
    case OptionType::boolean:
    case OptionType::toggle:
      PROTOLITH_CHECK_USAGE(value.is_boolean(), "must be true or false");
      return value.as_boolean()->get() ? "on" : "off";
  }
  throw Error("unknown option type");
}

std::vector<std::string> known_keys() {
  std::vector<std::string> keys;
  for (const ConfigOption& option : config_options()) keys.push_back(option.key);
  return keys;
}

Assignment read_entry(std::string_view key, const toml::node& value, const std::string& file_name) {
  const std::string place = fmt::format("{}:{}", file_name, value.source().begin.line);
  const ConfigOption* option = find_option(key);
  PROTOLITH_CHECK_USAGE(option != nullptr, "{}: unknown key '{}'{}", place, key,
                        did_you_mean(key, known_keys()));
  const std::string origin = fmt::format("{}: {} = {}", place, key, shown(value));
  try {
    return {option, value_text(value, option->type), origin};
  } catch (const UsageError& error) {
    throw UsageError(fmt::format("{}: {}", origin, error.what()));
  }
}

/// `text` as a TOML basic string.
std::string toml_quoted(const std::string& text) {
  std::string out = "\"";
  for (const char c : text) {
    const auto code = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += fmt::format("\\{}", c);
    } else if (code < 0x20 || code == 0x7f) {
      out += fmt::format("\\u{:04x}", code);
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string toml_literal(const ConfigOption& option, const std::string& text) {
  switch (option.type) {
    case OptionType::text:
      return toml_quoted(text);
    case OptionType::integer:
    case OptionType::number:
      return text;
    case OptionType::boolean:
    case OptionType::toggle:
      return text == "on" ? "true" : "false";
  }
  throw Error("unknown option type");
}

}  // namespace

Assignments parse_config(std::string_view toml, const std::string& file_name) {
  PROTOLITH_CHECK_USAGE(count_toml_nesting(toml) <= kMaxNesting,
                        "{}: more than {} brackets and dots; a configuration is a list of "
                        "'key = value' without tables",
                        file_name, kMaxNesting);
  toml::table table;
  try {
    table = toml::parse(toml, file_name);
  } catch (const toml::parse_error& error) {
    throw UsageError(fmt::format("{}:{}: not valid TOML: {}", file_name, error.source().begin.line,
                                 error.description()));
  }
  Assignments assignments;
  for (const auto& [key, value] : table) {
    assignments.push_back(read_entry(key.str(), value, file_name));
  }
  return assignments;
}

Assignments read_config_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);  // a stream, so that a pipe will do
  PROTOLITH_CHECK_USAGE(file.is_open(),
                        "{}: {}; give the path of a TOML file, such as a run's "
                        "config.toml",
                        path, std::system_category().message(errno));
  std::string text(kMaxFileBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  PROTOLITH_CHECK_USAGE(file.eof() && !file.bad(),
                        "{}: cannot be read as a configuration; give the path of a TOML file of "
                        "at most {} bytes, such as a run's config.toml",
                        path, kMaxFileBytes);
  text.resize(static_cast<std::size_t>(file.gcount()));
  return parse_config(text, path);
}

std::string to_toml(const Config& config) {
  std::string text;
  const ConfigOption* previous = nullptr;
  for (const ConfigOption& option : config_options()) {
    if (previous == nullptr || previous->group != option.group) {
      text += fmt::format("{}# {}\n", previous == nullptr ? "" : "\n", to_string(option.group));
    }
    const std::string entry =
        fmt::format("{} = {}", option.key, toml_literal(option, option.get(config)));
    text += fmt::format("{:<32}  # {}\n", entry, option.help);
    previous = &option;
  }
  return text;
}

}  // namespace protolith
