// The walk through CLI11's tree that completion and the manual page share.
#include <CLI/CLI.hpp>
#include <algorithm>

#include "data/image_set.h"
#include "engine/text.h"
#include "tools/completion.h"
#include "tools/presets.h"
#include "tools/reproduce_plan.h"

namespace protolith {
namespace {

/// "omniglot:" of "omniglot:FOLDER", "synthetic" of "synthetic or synthetic:SEED".
std::vector<std::string> dataset_prefixes() {
  std::vector<std::string> words;
  for (const std::string& form : dataset_forms()) {
    const std::size_t end = form.find_first_of(": ");
    words.push_back(form.substr(0, form[end] == ':' ? end + 1 : end));
  }
  return words;
}

/// The words of a kind of value whose set the program keeps elsewhere; none for other kinds.
std::vector<std::string> known_words(const std::string& kind) {
  std::vector<std::string> words;
  if (kind == "PRESET") {
    for (const Preset& preset : presets()) words.push_back(preset.config.preset);
  } else if (kind == "TARGET") {
    for (const ReproduceTarget& target : reproduce_targets()) words.push_back(target.name);
  } else if (kind == "METRIC") {
    words = {"sed", "lsed", "temperature"};
  } else if (kind == "KIND:PATH") {
    words = dataset_prefixes();
  }
  return words;
}

/// "auto|cpu|cuda[:I]" gives auto, cpu and cuda.
std::vector<std::string> alternatives(const std::string& kind) {
  std::vector<std::string> words = split_text(kind, '|');
  for (std::string& word : words) word = word.substr(0, word.find('['));
  return words;
}

Offer offer_without_words(const std::string& kind) {
  for (const char* folder : {"DIR", "RUN"}) {
    if (kind == folder) return Offer::folders;
  }
  const bool path = kind.find("FILE") != std::string::npos || kind.starts_with("RUN");
  return path ? Offer::files : Offer::nothing;
}

/// `type`: CLI11's name of the type, where validators follow after colons: "TEXT:{step,eval}",
/// "INT:INT in [2 - 10000]".
ValueHelp value_of_type(const std::string& type) {
  ValueHelp value;
  const std::size_t set = type.find(":{");
  const std::size_t range = type.find(" in [");
  if (set != std::string::npos) {
    const std::size_t end = type.find('}', set);
    value.words = split_text(type.substr(set + 2, end - set - 2), ',');
    value.kind = fmt::format("{}", fmt::join(value.words, "|"));
  } else {
    value.kind = range == std::string::npos ? type : type.substr(0, type.find(':'));
    const bool listed = value.kind.find('|') != std::string::npos;
    value.words = listed ? alternatives(value.kind) : known_words(value.kind);
  }
  const bool prefixes = std::any_of(value.words.begin(), value.words.end(),
                                    [](const std::string& word) { return word.ends_with(":"); });
  if (value.words.empty()) {
    value.offer = offer_without_words(value.kind);
  } else {
    value.offer = prefixes ? Offer::prefixes : Offer::words;
  }
  return value;
}

ArgumentHelp describe_option(const CLI::Option& option) {
  ArgumentHelp argument;
  for (const std::string& name : option.get_snames()) argument.flags.push_back("-" + name);
  for (const std::string& name : option.get_lnames()) argument.flags.push_back("--" + name);
  if (!option.get_fnames().empty()) argument.off_flag = "--" + option.get_fnames().front();
  if (!option.nonpositional()) argument.name = option.get_name();
  argument.help = option.get_description();
  if (option.get_items_expected_max() > 0) {
    argument.value = value_of_type(option.get_type_name());
    argument.value.default_text = option.get_default_str();
    argument.value.many = option.get_items_expected_max() > 1 && option.get_allow_extra_args();
  }
  return argument;
}

}  // namespace

CommandHelp describe(const CLI::App& app) {
  CommandHelp command{app.get_name(), app.get_description(), app.get_footer(), {}, {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    auto& list = option->nonpositional() ? command.options : command.positionals;
    list.push_back(describe_option(*option));
  }
  for (const CLI::App* child : app.get_subcommands({}))
    command.commands.push_back(describe(*child));
  return command;
}

}  // namespace protolith
