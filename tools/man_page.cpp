// protolith(1), in roff. Escapes and macros: groff_char(7), man(7).
#include <sstream>

#include "engine/check.h"
#include "tools/completion.h"

namespace protolith {
namespace {

/// Text that roff prints as it stands. A plain hyphen would become a typographic one, quotes and
/// accents too: commands could not be copied from the page.
std::string roff(const std::string& text) {
  std::string result;
  for (const char c : text) {
    switch (c) {
      case '\\':
        result += "\\(rs";
        break;
      case '-':
        result += "\\-";
        break;
      case '\'':
        result += "\\(aq";
        break;
      case '"':
        result += "\\(dq";
        break;
      case '`':
        result += "\\(ga";
        break;
      case '^':
        result += "\\(ha";
        break;
      case '~':
        result += "\\(ti";
        break;
      case '\n':  // the next line might begin with a dot
        result += ' ';
        break;
      default:
        result += c;
    }
  }
  return result;
}

/// A line of its own: one that begins with a dot would be a request.
std::string roff_line(const std::string& text) {
  return (text.starts_with(".") ? "\\&" : "") + roff(text) + "\n";
}

std::string bold(const std::string& text) {
  return "\\fB" + roff(text) + "\\fR";
}

std::string italic(const std::string& text) {
  return "\\fI" + roff(text) + "\\fR";
}

std::string section(const char* title) {
  return fmt::format(".SH {}\n", title);
}

/// A footer of --help: indented lines stay as they are, others are paragraphs.
std::string footer(const std::string& text) {
  std::string result;
  bool example = false;
  const auto set_example = [&](bool on) {
    if (on != example) result += on ? ".RS\n.EX\n" : ".EE\n.RE\n";
    example = on;
  };
  bool paragraph = true;  // due before the next text
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    const bool indented = line.starts_with("  ");
    if (line.empty()) paragraph = true;
    if (line.empty()) continue;
    if (example && !indented) paragraph = true;
    set_example(indented);
    if (paragraph && !indented) result += ".PP\n";
    paragraph = false;
    result += roff_line(indented ? line.substr(2) : line);
  }
  set_example(false);
  return result;
}

/// A list entry: `tag` is roff already.
std::string entry(const std::string& tag, const std::string& text) {
  return ".TP\n" + tag + "\n" + roff_line(text);
}

std::string argument(const ArgumentHelp& argument) {
  std::string tag = argument.flags.empty() ? italic(argument.name) : "";
  for (const std::string& flag : argument.flags) tag += (tag.empty() ? "" : ", ") + bold(flag);
  if (!argument.value.kind.empty()) tag += " " + italic(argument.value.kind);
  if (argument.value.many) tag += " ...";
  std::string help = argument.help;
  if (!argument.value.default_text.empty()) help += " [" + argument.value.default_text + "]";
  return entry(tag, help);
}

std::string arguments(const CommandHelp& command) {
  std::string text;
  for (const ArgumentHelp& positional : command.positionals) text += argument(positional);
  for (const ArgumentHelp& option : command.options) text += argument(option);
  return text;
}

std::string synopsis(const CommandHelp& program, const CommandHelp& command) {
  std::string text = bold(program.name + " " + command.name);
  for (const ArgumentHelp& positional : command.positionals) {
    text += " " + italic(positional.name) + (positional.value.many ? " ..." : "");
  }
  return text + " [" + italic("options") + "]\n";
}

std::string commands(const CommandHelp& program) {
  std::string text = section("COMMANDS") +
                     "Values in brackets are defaults: what an option that is not given stands "
                     "for.\n";
  for (const CommandHelp& command : program.commands) {
    text += ".SS " + roff(program.name + " " + command.name) + "\n" + synopsis(program, command) +
            ".PP\n" + roff_line(command.description + ".") + arguments(command) +
            footer(command.footer);
  }
  return text;
}

std::string exit_status() {
  return section("EXIT STATUS") + entry("0", "done") +
         entry("1", "failed: the message on standard error says why and what to do") +
         entry("2", "wrong usage") +
         entry("130", "interrupted by a signal, after saving what can be continued");
}

std::string environment() {
  return section("ENVIRONMENT") +
         entry(bold("PROTOLITH_CACHE"),
               "The folder of decoded images, instead of "
               "$XDG_CACHE_HOME/protolith or ~/.cache/protolith.") +
         entry(bold("XDG_CACHE_HOME"), "The folder of caches, where it is an absolute path.") +
         entry(bold("OMP_NUM_THREADS"), "The most threads that --threads 0 takes.") +
         entry(bold("PATH"), "Where gnuplot is looked for, which draws the figures.") +
         entry(
             bold("OMP_WAIT_POLICY") + ", " + bold("GOMP_SPINCOUNT"),
             "How threads wait for each other. Where neither is set, nor where threads run "
             "(OMP_PROC_BIND, OMP_PLACES, GOMP_CPU_AFFINITY), the program starts itself anew with "
             "GOMP_SPINCOUNT=20000: they spin for some 300 microseconds, then sleep.");
}

std::string files() {
  return section("FILES") + "In a run folder:\n" +
         entry(italic("config.toml"), "everything that the run depends on") +
         entry(italic("metrics.jsonl"), "a line for each epoch") +
         entry(italic("histograms.jsonl"), "gradient histograms, with --histogram-every") +
         entry(italic("events.out.tfevents.*"), "the same numbers for TensorBoard") +
         entry(italic("best.safetensors"), "the model of the lowest validation loss") +
         entry(italic("last.safetensors"), "the last checkpoint, from which --resume continues") +
         entry(italic("eval.json"), "the last evaluation") + ".PP\nElsewhere:\n" +
         entry(italic("~/.cache/protolith"), "decoded images, mapped at the next start");
}

}  // namespace

std::string man_page(const CommandHelp& program) {
  // Ragged lines without hyphenation: long option names leave nothing to stretch.
  return fmt::format(
             ".TH PROTOLITH 1 \"\" \"protolith {}\" \"User Commands\"\n.nr HY 0\n.ad l\n.nh\n",
             PROTOLITH_VERSION) +
         section("NAME") + roff(program.name) +
         " \\- few\\-shot learning with prototypical networks\n" + section("SYNOPSIS") +
         bold(program.name) + " " + italic("command") + " [" + italic("options") + "]\n" +
         section("DESCRIPTION") + footer(program.description) + arguments(program) +
         footer(program.footer) + commands(program) + exit_status() + environment() + files() +
         section("SEE ALSO") +
         ".BR gnuplot (1)\n.PP\nThe folder docs of the program's sources, which also has figures "
         "and\nmeasurements.\n";
}

}  // namespace protolith
