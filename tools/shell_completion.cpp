// The three completion scripts: what a shell needs once, then what each command takes.
#include <algorithm>

#include "engine/check.h"
#include "tools/completion.h"

namespace protolith {
namespace {

using Words = std::vector<std::string>;

/// `text` with a backslash before each of `special`.
std::string escaped(const std::string& text, const std::string& special) {
  std::string result;
  for (const char c : text) {
    if (special.find(c) != std::string::npos) result += '\\';
    result += c;
  }
  return result;
}

/// One word of bash and zsh, whatever it holds.
std::string shell_quoted(const std::string& text) {
  std::string result = "'";
  for (const char c : text) result += c == '\'' ? "'\\''" : std::string(1, c);
  return result + "'";
}

/// One word of fish, which knows two escapes between quotes.
std::string fish_quoted(const std::string& text) {
  return "'" + escaped(text, "\\'") + "'";
}

std::string one_line(std::string text) {
  std::replace(text.begin(), text.end(), '\n', ' ');
  return text;
}

/// What a shell shows beside `flag`, one of the option's.
std::string help_of(const ArgumentHelp& option, const std::string& flag) {
  return flag == option.off_flag ? "not " + option.flags.front() : one_line(option.help);
}

std::string joined(const Words& words, std::string (*quote)(const std::string&),
                   const char* separator = " ") {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : separator) + quote(word);
  return text;
}

/// What may be typed where neither a flag nor a flag's value is: the first positional argument,
/// else what follows an option that takes many; nullptr where there is neither.
const ValueHelp* bare_value(const CommandHelp& command) {
  if (!command.positionals.empty()) return &command.positionals.front().value;
  for (const ArgumentHelp& option : command.options) {
    if (option.value.many) return &option.value;
  }
  return nullptr;
}

Words flags_of(const CommandHelp& command) {
  Words flags;
  for (const ArgumentHelp& option : command.options) {
    flags.insert(flags.end(), option.flags.begin(), option.flags.end());
  }
  return flags;
}

constexpr const char* kBashStart =
    R"(# Completion of protolith for bash, written by: protolith completion bash

# Offers those of the words that begin as what is being typed, and no files.
_protolith_words() {
  local word
  for word; do
    [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
  done
  compopt +o default 2>/dev/null
  return 0
}

# The same for words of which some end with a colon, where a path follows.
_protolith_prefixes() {
  _protolith_words "$@"
  [[ ${COMPREPLY[*]} == *: ]] && compopt -o nospace 2>/dev/null
  return 0
}

_protolith_folders() {
  compopt +o default -o dirnames 2>/dev/null
  return 0
}

)";

constexpr const char* kBashEnd =
    R"(
_protolith() {
  local cur=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]} command= word
  COMPREPLY=()
  # Bash takes words apart at = and : too. A path follows the colon, and readline completes it.
  [[ $cur == : || $option == : ]] && return
  if [[ $cur == = ]]; then
    cur=
  elif [[ $option == = ]]; then
    option=${COMP_WORDS[COMP_CWORD - 2]}
  fi
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    [[ $word == -* ]] && continue
    command=$word
    break
  done
  if [[ -z $command ]]; then
    _protolith_program
  elif declare -F "_protolith_at_$command" >/dev/null; then
    "_protolith_at_$command"
  fi
}

complete -o default -F _protolith protolith
)";

/// The command that completes a value; readline itself completes files.
std::string bash_action(const ValueHelp& value) {
  switch (value.offer) {
    case Offer::nothing:
      return "_protolith_words";
    case Offer::words:
      return "_protolith_words " + joined(value.words, shell_quoted);
    case Offer::prefixes:
      return "_protolith_prefixes " + joined(value.words, shell_quoted);
    case Offer::files:
      return ":";
    case Offer::folders:
      return "_protolith_folders";
  }
  throw Error("unknown offer");
}

std::string bash_function(const std::string& name, const CommandHelp& command) {
  std::string text = name + "() {\n  case $option in\n";
  for (const ArgumentHelp& option : command.options) {
    if (option.value.kind.empty()) continue;
    text += fmt::format("    {}) {} ;;\n", joined(option.flags, shell_quoted, " | "),
                        bash_action(option.value));
  }
  const std::string flags = "_protolith_words " + joined(flags_of(command), shell_quoted);
  const ValueHelp* bare = bare_value(command);
  std::string other = bare == nullptr ? flags : bash_action(*bare);
  if (!command.commands.empty()) {
    Words names;
    for (const CommandHelp& child : command.commands) names.push_back(child.name);
    other = "_protolith_words " + joined(names, shell_quoted);
  }
  return text +
         fmt::format(
             "    *)\n      case $cur in\n        -*) {} ;;\n        *) {} ;;\n      esac\n", flags,
             other) +
         "  esac\n}\n";
}

constexpr const char* kZshStart =
    R"(#compdef protolith
# Completion of protolith for zsh, written by: protolith completion zsh

# Words of which some end with a colon, where a path follows.
_protolith_prefixes() {
  if compset -P '*:'; then
    _files
  else
    compadd -S '' "$@"
  fi
}

)";

constexpr const char* kZshMiddle =
    R"(
_protolith() {
  local curcontext=$curcontext state state_descr line
  typeset -A opt_args
  local -a commands=(
)";

constexpr const char* kZshEnd =
    R"( ':command:->command' '*:: :->arguments'
  case $state in
    command) _describe -t commands command commands ;;
    arguments) (( $+functions[_protolith_at_$line[1]] )) && _protolith_at_$line[1] ;;
  esac
}

# Autoloaded by compinit, this file is the function; sourced, it names it.
if [[ $funcstack[1] == _protolith ]]; then
  _protolith "$@"
else
  compdef _protolith protolith
fi
)";

/// A word inside a specification of _arguments, which colons take apart.
std::string zsh_word(const std::string& word) {
  return escaped(word, "\\:'\"`$&;|<>()[]{}*?~#^! \t");
}

std::string zsh_action(const ValueHelp& value) {
  switch (value.offer) {
    case Offer::nothing:
      return " ";
    case Offer::words:
      return "(" + joined(value.words, zsh_word) + ")";
    case Offer::prefixes:
      return "_protolith_prefixes " + joined(value.words, zsh_word);
    case Offer::files:
      return "_files";
    case Offer::folders:
      return "_files -/";
  }
  throw Error("unknown offer");
}

/// One specification of _arguments for each flag; either excludes the other.
std::string zsh_option(const ArgumentHelp& option) {
  const ValueHelp& value = option.value;
  std::string text;
  for (const std::string& flag : option.flags) {
    std::string spec =
        fmt::format("({}){}{}[{}]", fmt::join(option.flags, " "), flag,
                    value.kind.empty() ? "" : "=", escaped(help_of(option, flag), "\\[]:"));
    if (!value.kind.empty()) {
      spec += fmt::format("{}:{}:{}", value.many ? ":*-*" : "", escaped(value.kind, "\\:"),
                          zsh_action(value));
    }
    text += " \\\n    " + shell_quoted(spec);
  }
  return text;
}

std::string zsh_arguments(const CommandHelp& command) {
  std::string text = "  _arguments -C";
  for (const ArgumentHelp& option : command.options) text += zsh_option(option);
  for (const ArgumentHelp& argument : command.positionals) {
    const std::string spec =
        fmt::format("{}:{}:{}", argument.value.many ? "*" : "",
                    escaped(one_line(argument.help), "\\:"), zsh_action(argument.value));
    text += " \\\n    " + shell_quoted(spec);
  }
  return text;
}

constexpr const char* kFishStart =
    R"(# Completion of protolith for fish, written by: protolith completion fish

# True after the command $argv[1]; without an argument, where no command is yet.
function __protolith_at
    for word in (commandline -opc)[2..-1]
        string match -q -- '-*' $word; and continue
        test "$word" = "$argv[1]"
        return
    end
    test -z "$argv[1]"
end

complete -c protolith -f
)";

/// A word of the list that `complete -a` expands.
std::string fish_word(const std::string& word) {
  return escaped(word, "\\'\"$()[]{}*?~#^&;|<> \t");
}

/// How `complete` is told of a value; `flag`: of a flag, which must have one.
std::string fish_value(const ValueHelp& value, bool flag) {
  const std::string words = fish_quoted(joined(value.words, fish_word));
  switch (value.offer) {
    case Offer::nothing:
      return flag ? " -x" : "";
    case Offer::words:
      return (flag ? " -x -a " : " -a ") + words;
    case Offer::prefixes:
      return (flag ? " -r -F -a " : " -F -a ") + words;
    case Offer::files:
      return flag ? " -r -F" : " -F";
    case Offer::folders:
      return (flag ? " -x -a " : " -a ") + std::string("'(__fish_complete_directories)'");
  }
  throw Error("unknown offer");
}

std::string fish_option(const std::string& start, const ArgumentHelp& option) {
  std::string text;
  for (const std::string& flag : option.flags) {
    const bool is_long = flag.starts_with("--");
    text += fmt::format("{} {} {}{} -d {}\n", start, is_long ? "-l" : "-s",
                        fish_quoted(flag.substr(is_long ? 2 : 1)),
                        option.value.kind.empty() ? "" : fish_value(option.value, true),
                        fish_quoted(help_of(option, flag)));
  }
  return text;
}

std::string fish_command(const CommandHelp& command, const std::string& condition) {
  const std::string start = "complete -c protolith -n " + fish_quoted(condition);
  std::string text = "\n";
  for (const CommandHelp& child : command.commands) {
    text += fmt::format("{} -a {} -d {}\n", start, fish_quoted(child.name),
                        fish_quoted(one_line(child.description)));
  }
  for (const ArgumentHelp& option : command.options) text += fish_option(start, option);
  const ValueHelp* bare = bare_value(command);
  if (bare != nullptr && bare->offer != Offer::nothing)
    text += start + fish_value(*bare, false) + "\n";
  return text;
}

}  // namespace

std::string bash_completion(const CommandHelp& program) {
  std::string text = kBashStart + bash_function("_protolith_program", program);
  for (const CommandHelp& command : program.commands) {
    text += "\n" + bash_function("_protolith_at_" + command.name, command);
  }
  return text + kBashEnd;
}

std::string zsh_completion(const CommandHelp& program) {
  std::string text = kZshStart;
  for (const CommandHelp& command : program.commands) {
    text += fmt::format("_protolith_at_{}() {{\n{}\n}}\n\n", command.name, zsh_arguments(command));
  }
  text.pop_back();
  text += kZshMiddle;
  for (const CommandHelp& command : program.commands) {
    text += fmt::format(
        "    {}\n", shell_quoted(escaped(command.name, ":") + ":" + one_line(command.description)));
  }
  return text + "  )\n" + zsh_arguments(program) + " \\\n   " + kZshEnd;
}

std::string fish_completion(const CommandHelp& program) {
  std::string text = kFishStart + fish_command(program, "__protolith_at");
  for (const CommandHelp& command : program.commands) {
    text += fish_command(command, "__protolith_at " + command.name);
  }
  return text;
}

}  // namespace protolith
