#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <new>

#include "engine/check.h"
#include "tools/arguments.h"
#include "tools/command.h"
#include "tools/nearest.h"

namespace protolith {
namespace {

constexpr const char* kDescription =
    "Protolith trains prototypical networks for few-shot classification with squared Euclidean\n"
    "(SED) and leaky squared Euclidean (LSED) distances, on an engine of its own.";

constexpr const char* kExamples =
    "A first run, without any data:\n"
    "  protolith train --preset demo --metric sed\n"
    "  protolith train --preset demo --metric lsed\n"
    "  protolith eval runs/demo-sed-1 --compare runs/demo-lsed-0-0.01-1\n"
    "\n"
    "Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted (after saving).\n"
    "Each command explains itself: protolith COMMAND --help";

void report(const std::string& message) {
  std::fflush(stdout);  // results before the error, where both go to one place
  std::fputs(("protolith: error: " + message + "\n").c_str(), stderr);
}

/// What `app` knows of the kind of `word`: its options, or its commands.
std::vector<std::string> known_words(const CLI::App& app, const std::string& word) {
  std::vector<std::string> words;
  if (word.starts_with("-")) {
    for (const CLI::Option* option : app.get_options()) {
      for (const std::string& name : option->get_lnames()) words.push_back("--" + name);
    }
  } else {
    for (const CLI::App* command : app.get_subcommands({})) words.push_back(command->get_name());
  }
  return words;
}

/// The command that was given, else the program itself.
const CLI::App& innermost(const CLI::App& app) {
  const std::vector<CLI::App*> chosen = app.get_subcommands();
  return chosen.empty() ? app : *chosen.front();
}

/// What was wrong with the command line, and the nearest word that would not have been.
std::string parse_message(const CLI::App& app, const CLI::ParseError& error) {
  const CLI::App& command = innermost(app);
  std::string message = error.what();
  const std::vector<std::string> unknown = app.remaining(true);
  // A mistyped option is why its right spelling is missing.
  const bool missing_or_unknown = dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr ||
                                  dynamic_cast<const CLI::RequiredError*>(&error) != nullptr;
  if (missing_or_unknown && !unknown.empty()) {
    const std::string word = unknown.front().substr(0, unknown.front().find('='));
    const std::vector<std::string> known = known_words(command, word);
    message = fmt::format("unexpected argument '{}'", unknown.front());
    message += std::find(known.begin(), known.end(), word) == known.end()
                   ? did_you_mean(word, known)
                   : fmt::format("; it goes after the command: protolith {} {}", command.get_name(),
                                 unknown.front());
  }
  if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr) {
    for (const CLI::Option* option : command.get_options()) {
      const bool missing = message == option->get_name() + " is required";
      if (missing && !option->nonpositional()) message += ": " + option->get_description();
    }
  }
  // "--threads: At Most 1 required but received 2": of one value each
  const std::size_t counted = message.find(": At Most 1 required");
  if (counted != std::string::npos) message.replace(counted, std::string::npos, ": given twice");
  const std::string name = &command == &app ? "" : command.get_name() + " ";
  return fmt::format("{}\nSee: protolith {}--help", message, name);
}

/// An empty value, such as that of an unset variable in a script, must not pass for an option that
/// was not given. --split-lists alone has a meaning for it: none.
void refuse_empty_values(const CLI::App& command) {
  for (const CLI::Option* option : command.get_options()) {
    const std::vector<std::string> values = option->results();
    const std::string name = option->get_name();
    PROTOLITH_CHECK_USAGE(
        name == "--split-lists" || std::find(values.begin(), values.end(), "") == values.end(),
        "{}: its value is empty", name);
  }
}

/// A result that did not reach its reader is a failure, even when it was the last thing to do.
void flush_results() {
  PROTOLITH_CHECK(std::fflush(stdout) == 0 && std::ferror(stdout) == 0,
                  "the results cannot be written to standard output; is its disk full?");
}

/// "--graph,--no-graph{false}" is CLI11's way to say what the second name means.
class HelpFormatter : public CLI::Formatter {
 public:
  std::string make_option_name(const CLI::Option* option, bool is_positional) const override {
    std::string name = CLI::Formatter::make_option_name(option, is_positional);
    const std::size_t mark = name.find("{false}");
    return mark == std::string::npos ? name : name.substr(0, mark);
  }
};

/// What --help and --version ask for.
int print_help(const CLI::App& app, const CLI::ParseError& asked) {
  const int code = app.exit(asked);
  if (std::cout.flush()) return code;
  report("the text cannot be written to standard output; is its disk full?");
  return kExitFailed;
}

}  // namespace

CommandLine::CommandLine() : app_(std::make_unique<CLI::App>(kDescription, "protolith")) {
  app_->set_version_flag("--version", "protolith " PROTOLITH_VERSION);
  // One at most: after it, words that are names of commands too ("bench eval") are words.
  app_->require_subcommand(0, 1);
  app_->footer(kExamples);
  app_->formatter(std::make_shared<HelpFormatter>());  // the commands inherit it
  app_->get_formatter()->column_width(34);
}

CommandLine::~CommandLine() = default;

CLI::App& CommandLine::add_command(const std::string& name, const std::string& description,
                                   const std::string& examples, Action action) {
  CLI::App* command = app_->add_subcommand(name, description);
  command->footer("Examples:\n" + examples);
  commands_.emplace_back(command, std::move(action));
  return *command;
}

int CommandLine::dispatch(int argc, const char* const* argv) {
  const std::vector<std::string> words(argv + std::min(argc, 1), argv + argc);
  std::vector<std::string> plain = plain_arguments(*app_, words);
  std::reverse(plain.begin(), plain.end());  // the order in which CLI11 wants them
  app_->parse(std::move(plain));
  for (const auto& [command, action] : commands_) {
    if (!command->parsed()) continue;
    refuse_empty_values(*command);
    const int code = action();
    flush_results();
    return code;
  }
  throw UsageError("a command is needed\n\n" + app_->help());
}

int CommandLine::run(int argc, const char* const* argv) {
  try {
    return dispatch(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return print_help(*app_, error);
    report(parse_message(*app_, error));
    return kExitUsage;
  } catch (const UsageError& error) {
    report(error.what());
    return kExitUsage;
  } catch (const std::bad_alloc&) {
    report("out of memory; use fewer classes or images per episode");
  } catch (const Error& error) {
    report(error.what());
#ifndef NDEBUG
    std::fputs(fmt::format("  thrown at {}\n", error.where()).c_str(), stderr);
#endif
  } catch (const std::exception& error) {
    report(error.what());
  }
  return kExitFailed;
}

}  // namespace protolith
