#pragma once

#include <functional>
#include <initializer_list>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tools/options.h"

namespace CLI {
class App;
}

namespace protolith {

/// The program's exit codes.
inline constexpr int kExitDone = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;
inline constexpr int kExitInterrupted = 130;  ///< by a signal, after saving

/// The program's command line: sub-commands, their help, and errors mapped to exit codes.
class CommandLine {
 public:
  /// Does a command's work after parsing and returns the exit code. May throw anything.
  using Action = std::function<int()>;

  CommandLine();
  ~CommandLine();
  CommandLine(const CommandLine&) = delete;
  CommandLine& operator=(const CommandLine&) = delete;

  /// Adds a sub-command whose --help ends with `examples`. Add its options to the result.
  CLI::App& add_command(const std::string& name, const std::string& description,
                        const std::string& examples, Action action);

  /// All that can be given, for who writes it down.
  const CLI::App& tree() const { return *app_; }

  /// Parses, runs one command, reports errors on stderr and returns the exit code.
  int run(int argc, const char* const* argv);

 private:
  int dispatch(int argc, const char* const* argv);

  std::unique_ptr<CLI::App> app_;
  std::vector<std::pair<CLI::App*, Action>> commands_;
};

/// The flags of Config's options on one command; a view of the CLI::App that parses them.
class ConfigFlags {
 public:
  ConfigFlags() = default;
  /// Adds the flags of `groups`; the group `experiment` brings --config and --print-config along,
  /// and the preset demo's values as the defaults in --help.
  /// `without`: keys whose flags the command replaces by its own.
  ConfigFlags(CLI::App& command, std::initializer_list<OptionGroup> groups,
              std::initializer_list<std::string_view> without = {});

  /// What was given, after parsing.
  Assignments given() const;
  /// Whether the option of that key was given as a flag.
  bool has(std::string_view key) const;
  /// Defaults < preset < --config's file < flags, with `more` as if they were flags.
  Config resolve(const Assignments& more = {}) const;
  /// `base` with the flags over it: for commands that work from a run's own configuration.
  Config over(const Config& base) const;
  /// Whether --config was given.
  bool has_file() const;
  /// Prints `config` on stdout (as JSON when asked) and returns true, when --print-config was
  /// given.
  bool print_config(const Config& config, bool json) const;

 private:
  CLI::App* command_ = nullptr;
  std::vector<const ConfigOption*> options_;
};

/// How a command reports: results on stdout, progress on stderr.
struct OutputFlags {
  bool json = false;
  bool quiet = false;
  /// Adds --json and --quiet. `this` must outlive the parsing.
  void add_to(CLI::App& command);
};

/// One JSON object on one line of stdout; bytes that are not UTF-8 become U+FFFD.
void print_json(const nlohmann::json& object);

// One per file tools/NAME.cpp.
void add_train_command(CommandLine& program);
void add_eval_command(CommandLine& program);
void add_classify_command(CommandLine& program);
void add_embed_command(CommandLine& program);
void add_export_command(CommandLine& program);
void add_grad_hist_command(CommandLine& program);
void add_bench_command(CommandLine& program);
void add_sweep_command(CommandLine& program);
void add_reproduce_command(CommandLine& program);
void add_verify_command(CommandLine& program);
void add_info_command(CommandLine& program);
void add_report_command(CommandLine& program);
void add_completion_command(CommandLine& program);

/// All of them, in the order in which --help lists them.
void add_commands(CommandLine& program);

}  // namespace protolith
