// `protolith reproduce`: makes a figure or table of the paper by running other protolith commands.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "engine/file.h"
#include "tools/child_process.h"
#include "tools/command.h"
#include "tools/interrupt.h"
#include "tools/reproduce_results.h"
#include "tools/run_folder.h"
#include "tools/session.h"
#include "tools/settings_file.h"

namespace protolith {
namespace {

namespace fs = std::filesystem;

struct ReproduceFlags {
  ConfigFlags config;
  OutputFlags output;
  std::string target, out, seeds;
  bool quick = false, print = false;
};

ReproduceOptions checked_options(const ReproduceFlags& flags) {
  find_reproduce_target(flags.target);
  ReproduceOptions options{flags.target, flags.quick, flags.output.quiet, flags.out,
                           flags.config.given()};
  if (options.out.empty()) {
    options.out = fs::path("reproduce") / (flags.target + (flags.quick ? "-quick" : ""));
  }
  options.out = path_word(options.out.lexically_normal());
  // What is wrong is said now, not by a command hours later.
  Config config;
  protolith::apply(config, options.flags);
  bool has_data = false;
  for (Assignment& flag : options.flags) {
    const bool lists = flag.option->key == "split_lists" && !flag.value.empty();
    if (lists) flag.value = absolute_path(flag.value);
    if (flag.option->key != "data") continue;
    has_data = true;
    flag.value = absolute_data(flag.value);
  }
  PROTOLITH_CHECK_USAGE(
      has_data || flags.target == "fig2",
      "reproduce {} needs images: --data omniglot:FOLDER, the folder with Omniglot's two zip files "
      "(--data synthetic tries it without, but not the paper's numbers)",
      flags.target);
  check_folder_flags(config.data, options.flags);
  if (has_data) check_outside_data(config, options.out);
  if (flags.seeds.empty()) return options;
  PROTOLITH_CHECK_USAGE(flags.target == "table1", "--seeds is for table1 alone; {} takes --seed",
                        flags.target);
  PROTOLITH_CHECK_USAGE(
      std::none_of(options.flags.begin(), options.flags.end(),
                   [](const Assignment& flag) { return flag.option->key == "seed"; }),
      "--seeds and --seed exclude each other");
  options.seeds = parse_seeds(flags.seeds);
  return options;
}

/// What decides the numbers, and so must stay while a folder fills.
nlohmann::json settings_of(const ReproduceOptions& options) {
  nlohmann::json settings{{"target", options.target}, {"quick", options.quick}};
  for (const Assignment& flag : options.flags) {
    if (!flag.option->of_machine) settings[flag.option->key] = flag.value;
  }
  return settings;
}

/// The command line that asks for this target.
std::string own_command(const ReproduceOptions& options) {
  std::vector<std::string> words{"protolith", "reproduce", options.target};
  if (options.quick) words.emplace_back("--quick");
  for (const std::string& word : option_words({}, options.flags)) {
    words.push_back(word);
  }
  if (!options.seeds.empty()) {
    words.insert(words.end(), {"--seeds", fmt::format("{}", fmt::join(options.seeds, ","))});
  }
  words.insert(words.end(), {"--out", options.out.string()});
  return shell_line(words);
}

int print_commands(const ReproduceOptions& options, const std::vector<ReproduceStep>& steps,
                   bool as_json) {
  if (as_json) {
    nlohmann::json commands = nlohmann::json::array();
    for (const ReproduceStep& step : steps) commands.push_back(step_line(step));
    print_json({{"target", options.target}, {"commands", commands}});
    return kExitDone;
  }
  for (const ReproduceStep& step : steps) {
    std::fputs((step_line(step) + "\n").c_str(), stdout);
  }
  if (steps.empty()) {
    std::fputs("# computed by this command itself, without a model or data\n", stdout);
  }
  return kExitDone;
}

/// Runs the step, or the rest of it, and keeps its stdout. Returns whether it finished: false when
/// it was interrupted.
bool run_step(const ReproduceStep& step, const InterruptGuard& interrupt) {
  std::vector<std::string> arguments{"/proc/self/exe"};
  const bool resumed = !step.run.empty() && RunFolder::holds_run(step.run);
  const std::vector<std::string>& rest = resumed ? step.resume : step.arguments;
  arguments.insert(arguments.end(), rest.begin(), rest.end());
  if (!step.scratch.empty()) fs::remove_all(step.scratch);
  const ChildResult child =
      run_child(arguments, {.capture_output = true, .stop = [&] { return interrupt.requested(); }});
  // A second Ctrl-C ends a command at once.
  const bool killed = child.code != 0 && interrupt.requested();
  if (child.code == kExitInterrupted || killed) return false;
  PROTOLITH_CHECK(
      child.code == 0,
      "step {} failed with exit code {}, see above; the same command goes on from there", step.name,
      child.code);
  write_file_atomically(step.result, child.output);
  return true;
}

/// Runs what is not finished. Returns false when it was interrupted.
bool run_steps(const ReproduceOptions& options, const std::vector<ReproduceStep>& steps,
               const InterruptGuard& interrupt) {
  const auto say = [&](const std::string& text) {
    if (!options.quiet) std::fputs((text + "\n").c_str(), stderr);
  };
  for (const ReproduceStep& step : steps) say(step_line(step));
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const ReproduceStep& step = steps[i];
    if (interrupt.requested()) return false;
    const bool finished = fs::exists(step.result);
    say(fmt::format("step {} of {}, {}{}", i + 1, steps.size(), step.name,
                    finished ? ": already done" : ""));
    if (!finished && !run_step(step, interrupt)) return false;
  }
  return !interrupt.requested();
}

int reproduce(const ReproduceFlags& flags) {
  const ReproduceOptions options = checked_options(flags);
  const std::vector<ReproduceStep> steps = reproduce_steps(options);
  if (flags.print) return print_commands(options, steps, flags.output.json);
  const InterruptGuard interrupt;
  keep_settings(options.out / "settings.json", settings_of(options));
  if (!run_steps(options, steps, interrupt)) {
    std::fputs(fmt::format("interrupted; continue with: {}\n", own_command(options)).c_str(),
               stderr);
    return kExitInterrupted;
  }
  const ReproduceResult result = reproduce_result(options, steps);
  if (flags.output.json) {
    nlohmann::json object{{"target", options.target}, {"out", options.out.string()}};
    object.update(result.numbers);
    print_json(object);
  } else {
    std::fputs(result.text.c_str(), stdout);
  }
  PROTOLITH_CHECK(result.failure.empty(), "{}", result.failure);
  return kExitDone;
}

std::string examples() {
  std::string text =
      "  protolith reproduce fig2\n"
      "  protolith reproduce table1 --quick --data omniglot:data/omniglot    (minutes)\n"
      "  protolith reproduce table1 --data omniglot:data/omniglot            (hours)\n"
      "  protolith reproduce table1 --data omniglot:data/omniglot --seeds 1:5\n"
      "  protolith reproduce fig9 --data omniglot:data/omniglot --episodes 10000\n"
      "  protolith reproduce fig8 --data omniglot:data/omniglot --print\n"
      "\n"
      "Targets:\n";
  for (const ReproduceTarget& target : reproduce_targets()) {
    text += fmt::format("  {:<8}{}{}\n", target.name, target.description,
                        target.on_mini_imagenet ? " *" : "");
  }
  return text +
         "* in the paper on miniImageNet: --data mini-imagenet:PATH; here on what --data names,\n"
         "  by the presets of miniImageNet on that, else by those of Omniglot\n"
         "\n"
         "Runs the commands that --print shows; they use the published protocol's presets, which\n"
         "the flags above change. Ctrl-C saves and exits with 130; the same command goes on.";
}

}  // namespace

void add_reproduce_command(CommandLine& program) {
  const auto flags = std::make_shared<ReproduceFlags>();
  CLI::App& command = program.add_command(
      "reproduce", "Make a figure or table of the paper, with its numbers beside", examples(),
      [flags] { return reproduce(*flags); });
  command.add_option("target", flags->target, "fig2 ... fig9 or table1")
      ->type_name("TARGET")
      ->required();
  command.add_flag("--quick", flags->quick, "a version of minutes")->group("Experiment");
  command
      .add_option("--seeds", flags->seeds,
                  "table1 for each of these seeds, as 1,2,5 or 1:5, and their mean; more may be "
                  "added to the same folder later")
      ->type_name("LIST")
      ->group("Experiment");
  command.add_flag("--print", flags->print, "print the commands and stop")->group("Experiment");
  flags->config = ConfigFlags(command,
                              {OptionGroup::data, OptionGroup::model, OptionGroup::episodes,
                               OptionGroup::schedule, OptionGroup::device},
                              {"metric", "s", "r", "temperature"});
  command
      .add_option("--out", flags->out,
                  "the folder of its runs and results, made or continued (default: "
                  "reproduce/TARGET, or reproduce/TARGET-quick with --quick)")
      ->type_name("DIR")
      ->group("Output");
  flags->output.add_to(command);
}

}  // namespace protolith
