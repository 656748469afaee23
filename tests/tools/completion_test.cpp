#include "tools/completion.h"

#include <doctest/doctest.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <map>

#include "data/image_set.h"
#include "models/metric.h"
#include "tests/tools/program.h"
#include "tools/command.h"
#include "tools/presets.h"
#include "tools/reproduce_plan.h"

namespace protolith::testing {
namespace {

using Printer = std::function<std::string(const CommandHelp&)>;
using Words = std::vector<std::string>;

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = text.find(from); at != std::string::npos;
       at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

/// The part of `text` from the line that begins with `start` to the next one that begins with
/// `end`.
std::string part(const std::string& text, const std::string& start, const std::string& end) {
  const std::size_t first = text.find("\n" + start);
  REQUIRE_MESSAGE(first != std::string::npos, start);
  return text.substr(first, text.find("\n" + end, first + 1) - first);
}

/// What each script has on one command, and how it writes a long flag there.
struct Script {
  std::string text;
  std::function<std::string(const std::string&)> part_of;  ///< of a command's name
  std::function<std::string(const std::string&)> written;  ///< a flag, with what ends it
};

std::map<std::string, Script> scripts(const CommandHelp& program) {
  const std::string bash = bash_completion(program);
  const std::string zsh = zsh_completion(program);
  const std::string fish = fish_completion(program);
  const std::string man = man_page(program);
  return {
      {"bash",
       {bash,
        [bash](const std::string& name) { return part(bash, "_protolith_at_" + name + "()", "}"); },
        [](const std::string& flag) { return "'" + flag + "'"; }}},
      {"zsh",
       {zsh,
        [zsh](const std::string& name) { return part(zsh, "_protolith_at_" + name + "()", "}"); },
        [](const std::string& flag) { return ")" + flag; }}},
      {"fish",
       {fish,
        [fish](const std::string& name) {
          return part(fish, "complete -c protolith -n '__protolith_at " + name + "'", "\n");
        },
        [](const std::string& flag) { return "-l '" + flag.substr(2) + "'"; }}},
      {"man",
       {man,
        [man](const std::string& name) {
          return part(man, ".SS protolith " + replaced(name, "-", "\\-"), ".S");
        },
        [](const std::string& flag) { return "\\fB" + replaced(flag, "-", "\\-") + "\\fR"; }}},
  };
}

TEST_CASE("every command and every long option of the command line is in each output") {
  CommandLine program;
  add_commands(program);
  const std::map<std::string, Script> all = scripts(describe(program.tree()));
  int flags = 0;
  for (const CLI::App* command : program.tree().get_subcommands({})) {
    const std::string name = command->get_name();
    for (const auto& [name_of_reader, script] : all) {
      const std::string reader = name_of_reader;  // clang 14 captures no structured bindings
      CAPTURE(reader);
      CAPTURE(name);
      const std::string text = script.part_of(name);
      for (const CLI::Option* option : command->get_options()) {
        for (const std::string& flag : option->get_lnames()) {
          CHECK_MESSAGE(contains(text, script.written("--" + flag)), flag);
          ++flags;
        }
      }
    }
    CHECK(contains(part(all.at("bash").text, "_protolith_program()", "}"), "'" + name + "'"));
    CHECK(contains(part(all.at("zsh").text, "  local -a commands=(", "  )"), "'" + name + ":"));
    CHECK(contains(all.at("fish").text, "'__protolith_at' -a '" + name + "' -d '"));
  }
  CHECK(flags > 4 * 200);
}

TEST_CASE("the program prints what the functions write, for the program's own command line") {
  CommandLine program;
  add_commands(program);
  const CommandHelp help = describe(program.tree());
  const std::map<std::string, std::string> expected{{"bash", bash_completion(help)},
                                                    {"zsh", zsh_completion(help)},
                                                    {"fish", fish_completion(help)},
                                                    {"man", man_page(help)}};
  for (const auto& [name_of_reader, text] : expected) {
    const std::string reader = name_of_reader;
    const ProgramResult result = run_program("completion " + reader);
    CHECK(result.code == 0);
    CHECK(result.errors.empty());
    const bool same = result.output == text;
    CHECK_MESSAGE(same, reader);
  }
}

TEST_CASE("another shell, or none, is wrong usage; the help teaches where the output goes") {
  for (const std::string arguments : {"completion", "completion tcsh", "completion bash zsh"}) {
    CAPTURE(arguments);
    const ProgramResult result = run_program(arguments);
    CHECK(result.code == 2);
    CHECK(result.output.empty());
    CHECK(result.errors.starts_with("protolith: error: "));
  }
  CHECK(contains(run_program("completion tcsh").errors, "{bash,zsh,fish,man}"));
  const std::string help = run_program("completion --help").output;
  for (const char* place : {"bash-completion/completions/protolith", "~/.zfunc/_protolith",
                            "completions/protolith.fish", "man/man1/protolith.1",
                            "source <(protolith completion bash)", "man -l -"}) {
    CHECK_MESSAGE(contains(help, place), place);
  }
}

const ArgumentHelp& find(const std::vector<ArgumentHelp>& arguments, const std::string& flag) {
  const auto found = std::find_if(arguments.begin(), arguments.end(), [&](const ArgumentHelp& a) {
    return a.name == flag || std::find(a.flags.begin(), a.flags.end(), flag) != a.flags.end();
  });
  REQUIRE_MESSAGE(found != arguments.end(), flag);
  return *found;
}

const CommandHelp& find(const CommandHelp& program, const std::string& name) {
  const auto found = std::find_if(program.commands.begin(), program.commands.end(),
                                  [&](const CommandHelp& c) { return c.name == name; });
  REQUIRE_MESSAGE(found != program.commands.end(), name);
  return *found;
}

TEST_CASE("the fixed sets of values are those of the type names, validators and lists") {
  CommandLine line;
  add_commands(line);
  const CommandHelp program = describe(line.tree());
  const CommandHelp& train = find(program, "train");
  CHECK(find(train.options, "--device").value.words == Words{"auto", "cpu", "cuda"});
  CHECK(find(train.options, "--last-pool").value.words == Words{"on", "off"});
  CHECK(find(program, "eval").positionals.at(0).value.offer == Offer::files);
  CHECK(find(find(program, "eval").options, "--split").value.words ==
        Words{"train", "val", "test", "trainval"});
  const CommandHelp& bench = find(program, "bench");
  CHECK(find(bench.positionals, "what").value.words ==
        Words{"step", "eval", "ops", "kernels", "cost"});
  CHECK(find(bench.options, "--way").value.kind == "INT");
  CHECK(find(bench.options, "--way").value.offer == Offer::nothing);
  CHECK(find(train.options, "--deterministic").value.kind.empty());
  CHECK(find(train.options, "--deterministic").off_flag == "--no-deterministic");
  CHECK(find(train.options, "--config").value.offer == Offer::files);
  CHECK(find(train.options, "--resume").value.offer == Offer::folders);
  CHECK(find(find(program, "classify").options, "--query").value.many);
  CHECK(find(find(program, "report").positionals, "runs").value.many);
  CHECK(!find(find(program, "sweep").options, "--s").value.many);
}

TEST_CASE("the words of presets, targets, metrics and data sets are those that the program takes") {
  CommandLine line;
  add_commands(line);
  const CommandHelp program = describe(line.tree());
  const CommandHelp& train = find(program, "train");
  const Words named = find(train.options, "--preset").value.words;
  CHECK(named.size() == presets().size());
  for (const std::string& name : named) CHECK_NOTHROW(preset_config(name));
  const Words targets = find(find(program, "reproduce").positionals, "target").value.words;
  CHECK(targets.size() == reproduce_targets().size());
  for (const std::string& name : targets) CHECK_NOTHROW(find_reproduce_target(name));
  const Words metrics = find(train.options, "--metric").value.words;
  CHECK(metrics.size() == 3);
  for (const std::string& name : metrics) CHECK_NOTHROW(Metric::parse(name));
  const ValueHelp& data = find(train.options, "--data").value;
  CHECK(data.offer == Offer::prefixes);
  CHECK(data.words == Words{"omniglot:", "mini-imagenet:", "folder:", "synthetic"});
  for (const std::string& word : data.words) CHECK_NOTHROW(parse_dataset_spec(word));
}

/// A program whose texts are as awkward as they can be.
CommandHelp awkward() {
  CommandHelp command{"odd-one", "It's 100 % \"odd\": [a] \\ b", "", {}, {}, {}};
  command.footer = "Examples:\n  .leading 'dot' ~/x\n  a\\\n\n.dot first\n'quote first";
  ArgumentHelp choice{{"--choice"}, "", "what: [it's] \\n\n$(touch x) `y`", {}};
  choice.value = {"a|b", Offer::words, {"plain", "it's", "a b", "c:d", "$HOME", "(x)"}};
  command.options.push_back(choice);
  return {"protolith", "About.", "", {}, {}, {command}};
}

TEST_CASE("bash: words and flags are quoted") {
  const std::string text = bash_completion(awkward());
  CHECK(
      contains(text, "'--choice') _protolith_words 'plain' 'it'\\''s' 'a b' 'c:d' '$HOME' '(x)'"));
}

TEST_CASE("zsh: brackets, colons and backslashes of texts are escaped, all of it is quoted") {
  const std::string text = zsh_completion(awkward());
  CHECK(contains(text, "'odd-one:It'\\''s 100 % \"odd\": [a] \\ b'"));
  CHECK(contains(text, "--choice=[what\\: \\[it'\\''s\\] \\\\n $(touch x) `y`]:a|b:"));
  CHECK(contains(text, "(plain it\\'\\''s a\\ b c\\:d \\$HOME \\(x\\))'"));
}

TEST_CASE("fish: quotes and backslashes are escaped, and the words that it expands once more") {
  const std::string text = fish_completion(awkward());
  CHECK(contains(text, "-a 'odd-one' -d 'It\\'s 100 % \"odd\": [a] \\\\ b'"));
  CHECK(contains(text, "-a 'plain it\\\\\\'s a\\\\ b c:d \\\\$HOME \\\\(x\\\\)'"));
  CHECK(contains(text, "-d 'what: [it\\'s] \\\\n $(touch x) `y`'"));
}

TEST_CASE("man: no text is taken for a request, no backslash for an escape") {
  const std::string text = man_page(awkward());
  CHECK(contains(text, ".SS protolith odd\\-one\n"));
  CHECK(contains(text, "\\fB\\-\\-choice\\fR \\fIa|b\\fR\n"));
  CHECK(contains(text, "\nIt\\(aqs 100 % \\(dqodd\\(dq: [a] \\(rs b.\n"));
  CHECK(contains(text, ".EX\n\\&.leading \\(aqdot\\(aq \\(ti/x\na\\(rs\n.EE\n"));
  CHECK(contains(text, ".PP\n\\&.dot first\n\\(aqquote first\n"));
  CHECK(contains(text, "what: [it\\(aqs] \\(rsn $(touch x) \\(gay\\(ga\n"));
  for (const char* title : {"NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "EXIT STATUS",
                            "ENVIRONMENT", "FILES", "SEE ALSO"}) {
    CHECK_MESSAGE(contains(text, std::string(".SH ") + title + "\n"), title);
  }
}

TEST_CASE("man: every line that begins with a dot is a request of the page's own") {
  CommandLine program;
  add_commands(program);
  std::istringstream lines(man_page(describe(program.tree())));
  const Words requests{".TH", ".SH", ".SS", ".TP", ".PP", ".EX", ".EE",
                       ".RS", ".RE", ".BR", ".ad", ".nh", ".nr"};
  for (std::string line; std::getline(lines, line);) {
    CHECK(!line.empty());
    CHECK(!line.starts_with("'"));
    if (!line.starts_with(".")) continue;
    const std::string request = line.substr(0, line.find(' '));
    CHECK_MESSAGE(std::find(requests.begin(), requests.end(), request) != requests.end(), line);
  }
}

}  // namespace
}  // namespace protolith::testing
