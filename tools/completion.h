// The command line as data, and what is written of it: completion for shells, the manual page.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace protolith {

/// What a shell offers where a value is to be typed.
enum class Offer : std::uint8_t {
  nothing,   ///< numbers and free text
  words,     ///< the fixed set
  prefixes,  ///< words, of which those that end with ":" go on with a path
  files,
  folders,
};

/// The value of an option or of a positional argument.
struct ValueHelp {
  std::string kind;                  ///< "INT", "on|off"; empty: the option takes no value
  Offer offer = Offer::nothing;      ///< what to complete it with
  std::vector<std::string> words{};  ///< the fixed set, or the prefixes
  std::string default_text{};        ///< empty: none is shown
  bool many = false;                 ///< several values may follow one another
};

/// One option ("-h", "--help"), or one positional argument, which has no flags but a name.
struct ArgumentHelp {
  std::vector<std::string> flags;
  std::string name;
  std::string help;
  ValueHelp value;
  std::string off_flag{};  ///< the one of `flags` that says no, as "--no-graph"; empty: none
};

/// The program or one of its commands.
struct CommandHelp {
  std::string name;
  std::string description;
  std::string footer;  ///< examples and more, as --help prints them
  std::vector<ArgumentHelp> options;
  std::vector<ArgumentHelp> positionals;
  std::vector<CommandHelp> commands;
};

/// All that CLI11 knows of `app`, with the fixed sets of values: those of CLI::IsMember, of type
/// names such as "auto|cpu|cuda[:I]" and of the kinds PRESET, METRIC, TARGET and KIND:PATH.
CommandHelp describe(const CLI::App& app);

/// The scripts that make a shell complete `program`'s command line.
std::string bash_completion(const CommandHelp& program);
std::string zsh_completion(const CommandHelp& program);
std::string fish_completion(const CommandHelp& program);

/// The manual page of section 1, in roff with the macros of man(7).
std::string man_page(const CommandHelp& program);

}  // namespace protolith
